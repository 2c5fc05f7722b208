"""Which offset of a partition may be committed, when records are settled in any order.

A commit says "everything below this offset is done". Records finish out of order, so the position to
commit is the lowest offset that was delivered and is not settled yet (design promise P1): after a crash
everything from there on is delivered again, nothing is lost.
"""

from __future__ import annotations

from collections import deque


class OffsetWindow:
    """Delivered and not yet committable offsets of one partition, during one assignment.

    What is delivered together is settled together: an entry is a *run*, the records of the offsets
    ``[first, stop)``, named by its first offset; a single record is a run of one. ``deliver`` takes runs in
    the order of the log, ``ack`` takes them back in any order, and ``watermark`` is the position to commit.
    Both cost O(1) amortised, however long the run: each enters and leaves each container once. Owned by one
    thread; make a new window when the partition is assigned again or sought, so that acknowledgements of the
    old assignment can never be counted for the new one.

    Parameters
    ----------
    start
        Position at which reading begins; what ``watermark`` says before the first delivery.

    Notes
    -----
    Why it is right. Let D be the first offsets of the runs delivered and A of those acknowledged. Two
    containers hold::

        _open   D - A                                    (a set: what is in flight)
        _order  D, ascending, without its settled prefix (a deque: what the watermark still waits for)

    ``ack`` drops the head of ``_order`` while it is not in ``_open``, so the head is always the smallest
    member of ``_open``, or ``_order`` is empty. Hence:

    * safe: the watermark is that head. Runs do not overlap and ascend, so every offset below the head
      belongs to a run before it, which is settled, or to none;
    * tight: no larger position is safe, because the record at the head itself is unsettled;
    * gaps are free, between runs and within them: only what was delivered counts. An offset that compaction
      removed or that a transaction marker occupies is never delivered, so it can hold nothing back. Behind
      the last record, where no delivery tells of them, ``advance`` does.

    Examples
    --------
    >>> window = OffsetWindow(start=10)
    >>> window.deliver(10)
    >>> window.deliver(11, stop=500)        # what was polled together, whatever compaction left of it
    >>> window.deliver(600)
    >>> window.ack(11)
    >>> window.watermark, window.in_flight  # 10 is not settled
    (10, 2)
    >>> window.ack(10)
    >>> window.watermark
    600
    >>> window.ack(600)
    >>> window.watermark, window.in_flight
    (601, 0)
    """

    __slots__ = ("_next", "_open", "_order")

    def __init__(self, start: int | None = None) -> None:
        self._next = start  # the end of the last run delivered: the watermark when nothing is pending
        self._open: set[int] = set()
        self._order: deque[int] = deque()

    def deliver(self, first: int, stop: int | None = None) -> None:
        """Note that the records from `first` on, before `stop`, are on their way together.

        Parameters
        ----------
        first
            Offset of the run's first record, and its name.
        stop
            Offset of its last record + 1; without it the run is the one record at `first`.

        Raises
        ------
        ValueError
            An offset at or past `first` was delivered already, or `stop` is not past `first`.
        """
        end = first + 1 if stop is None else stop
        if self._next is not None and first < self._next:
            raise ValueError(f"offset {first} delivered, expected {self._next} or later")
        if end <= first:
            raise ValueError(f"offsets {first} to {end} delivered, expected a stop of {first + 1} or more")
        self._open.add(first)
        self._order.append(first)
        self._next = end

    def advance(self, position: int) -> None:
        """Note that reading goes on at `position`: no record lies between the last delivered one and it.

        >>> window = OffsetWindow(start=10)
        >>> window.deliver(10)
        >>> window.advance(13)              # 11 and 12 are transaction markers
        >>> window.watermark
        10
        >>> window.ack(10)
        >>> window.watermark
        13
        """
        if self._next is None or position > self._next:
            self._next = position

    def ack(self, first: int) -> None:
        """Note that the run delivered from `first` on is settled, all of it.

        Raises
        ------
        ValueError
            No run of this window begins there, or it is settled already.
        """
        try:
            self._open.remove(first)
        except KeyError:
            raise ValueError(f"offset {first} acknowledged, but no run in flight begins there") from None
        order, still_open = self._order, self._open
        while order and order[0] not in still_open:
            order.popleft()

    @property
    def watermark(self) -> int | None:
        """Position to commit: the next offset that is not settled. ``None`` if no position is known yet."""
        return self._order[0] if self._order else self._next

    @property
    def end(self) -> int | None:
        """Where reading goes on: behind all that was delivered. ``None`` if no position is known yet."""
        return self._next

    @property
    def in_flight(self) -> int:
        """Number of delivered runs that are not settled."""
        return len(self._open)

    @property
    def span(self) -> int:
        """Number of runs a crash would deliver again; this window's memory grows with it."""
        return len(self._order)
