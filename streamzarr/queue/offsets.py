"""Which offset of a partition may be committed, when records are settled in any order.

A commit says "everything below this offset is done". Records finish out of order, so the position to
commit is the lowest offset that was delivered and is not settled yet (design promise P1): after a crash
everything from there on is delivered again, nothing is lost.
"""

from __future__ import annotations

from collections import deque


class OffsetWindow:
    """Delivered and not yet committable offsets of one partition, during one assignment.

    ``deliver`` takes offsets in the order of the log, ``ack`` takes them back in any order, and
    ``watermark`` is the position to commit. Both cost O(1) amortised: each offset enters and leaves each
    container once. Owned by one thread; make a new window when the partition is assigned again or sought,
    so that acknowledgements of the old assignment can never be counted for the new one.

    Parameters
    ----------
    start
        Position at which reading begins; what ``watermark`` says before the first delivery.

    Notes
    -----
    Why it is right. Let D be the offsets delivered and A those acknowledged. Two containers hold::

        _open   D - A                                    (a set: what is in flight)
        _order  D, ascending, without its settled prefix (a deque: what the watermark still waits for)

    ``ack`` drops the head of ``_order`` while it is not in ``_open``, so the head is always the smallest
    member of ``_open``, or ``_order`` is empty. Hence:

    * safe: the watermark is that head, so no offset below it is unsettled;
    * tight: no larger position is safe, because the head itself is unsettled;
    * gaps are free: only members of D count. An offset that compaction removed or that a transaction
      marker occupies is never delivered, is in neither container, and so can hold nothing back. Behind the
      last record, where no delivery tells of them, ``advance`` does.

    Examples
    --------
    >>> window = OffsetWindow(start=10)
    >>> for offset in (10, 11, 15):         # 12 to 14 were compacted away
    ...     window.deliver(offset)
    >>> window.ack(11)
    >>> window.watermark, window.in_flight  # 10 is not settled
    (10, 2)
    >>> window.ack(10)
    >>> window.watermark
    15
    >>> window.ack(15)
    >>> window.watermark, window.in_flight
    (16, 0)
    """

    __slots__ = ("_next", "_open", "_order")

    def __init__(self, start: int | None = None) -> None:
        self._next = start  # one past the last delivered offset: the watermark when nothing is pending
        self._open: set[int] = set()
        self._order: deque[int] = deque()

    def deliver(self, offset: int) -> None:
        """Note that the record at `offset` is on its way.

        Raises
        ------
        ValueError
            An offset at or past this one was delivered already.
        """
        if self._next is not None and offset < self._next:
            raise ValueError(f"offset {offset} delivered, expected {self._next} or later")
        self._open.add(offset)
        self._order.append(offset)
        self._next = offset + 1

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

    def ack(self, offset: int) -> None:
        """Note that the record at `offset` is settled.

        Raises
        ------
        ValueError
            It was never delivered in this window, or is settled already.
        """
        try:
            self._open.remove(offset)
        except KeyError:
            raise ValueError(f"offset {offset} acknowledged, but it is not in flight") from None
        order, still_open = self._order, self._open
        while order and order[0] not in still_open:
            order.popleft()

    @property
    def watermark(self) -> int | None:
        """Position to commit: the next offset that is not settled. ``None`` if no position is known yet."""
        return self._order[0] if self._order else self._next

    @property
    def in_flight(self) -> int:
        """Number of delivered records that are not settled."""
        return len(self._open)

    @property
    def span(self) -> int:
        """Number of records a crash would deliver again; this window's memory grows with it."""
        return len(self._order)
