"""Messages that entered a chain together, and which of them are settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple


class Fate(IntEnum):
    """What became of a message. Of the outcomes of a record's pieces the greatest is the record's."""

    SKIPPED = 0
    OK = 1
    FOLDED = 2
    """Its data are in an accumulator; the accumulator's result decides."""
    FAILED = 3
    HANDED_BACK = 4
    """It will be delivered again."""


class Released(NamedTuple):
    """Records of which nothing is left in the chain."""

    records: int
    nbytes: int
    fate: Fate


_OUT, _ACKNOWLEDGED, _HANDED_BACK, _DIVIDED, _PARKED = (bytes([state]) for state in range(5))


class Delivery:
    """Messages of one claim that entered together, by consecutive sequence numbers.

    Whole stretches of them are settled at once: what is done for each message is a byte.

    Parameters
    ----------
    seq
        Sequence number of the first message.
    sizes
        Bytes of each.
    counts
        Records of each; ``None``: one each.
    offsets
        First offset of each, ascending; ``None``: they came from no topic.
    parent
        The message that they are parts of, by its delivery and its place in it.

    Examples
    --------
    >>> delivery = Delivery(seq=5, sizes=[10, 10, 30], offsets=[100, 101, 105])
    >>> delivery.release(1, 3, Fate.OK), delivery.left, delivery.low
    ((2, 40), 1, 100)
    >>> delivery.release(0, 1, Fate.OK), delivery.left
    ((1, 10), 0)
    """

    __slots__ = (
        "_low",
        "_open_states",
        "_state",
        "counts",
        "first",
        "handed_back",
        "left",
        "offsets",
        "parent",
        "seq",
        "sizes",
        "stop",
    )

    def __init__(
        self,
        seq: int,
        sizes: list[int],
        counts: list[int] | None = None,
        offsets: Sequence[int] | None = None,
        parent: tuple[Delivery, int] | None = None,
    ) -> None:
        self.seq = seq
        self.sizes = sizes
        self.counts = counts
        self.offsets = offsets
        self.parent = parent
        self.first = 0 if parent is None else parent[0].number(parent[1])
        """Records of its claim that entered before it."""
        self.stop: int | None = None
        """Offset behind the last record, if they came from a topic."""
        self.left = len(sizes)
        """Messages that are out, in parts or as a whole."""
        self.handed_back = False
        # Those in which a message is not acknowledged, as far as they have occurred.
        self._open_states: tuple[bytes, ...] = (_OUT,)
        self._state = bytearray(len(sizes))
        self._low = 0  # no message before this one is out or handed back

    def __len__(self) -> int:
        return len(self.sizes)

    def count(self, start: int, stop: int) -> int:
        """Return the records of a stretch of messages."""
        return stop - start if self.counts is None else sum(self.counts[start:stop])

    def number(self, place: int) -> int:
        """Return how many records of its claim entered before a message."""
        return self.first + self.count(0, place)

    def is_out(self, start: int, stop: int) -> bool:
        """Tell whether all messages of a stretch are out."""
        state = self._state
        return state.count(_OUT, start, stop) == stop - start

    def is_back(self, place: int) -> bool:
        """Tell whether a message was handed back; false as well of one that is none of these."""
        return self._state[place : place + 1] == _HANDED_BACK

    def release(self, start: int, stop: int, fate: Fate) -> tuple[int, int]:
        """Note that the messages of a stretch, all of them out, have left; return their records and bytes."""
        back = fate is Fate.HANDED_BACK
        self._state[start:stop] = (_HANDED_BACK if back else _ACKNOWLEDGED) * (stop - start)
        if back:
            self.handed_back = True
            self._occurs(_HANDED_BACK)
        self.left -= stop - start
        return self.count(start, stop), sum(self.sizes[start:stop])

    def divide(self, place: int) -> None:
        """Note that a message has become parts, in a delivery of their own; they release it in the end."""
        self._state[place : place + 1] = _DIVIDED
        self._occurs(_DIVIDED)

    def park(self, place: int) -> None:
        """Note that the data of a message have left memory, and will come back (:meth:`unpark`)."""
        self._state[place : place + 1] = _PARKED
        self._occurs(_PARKED)

    def unpark(self, place: int, nbytes: int) -> None:
        """Note that a message of `nbytes` is in memory again."""
        self._state[place : place + 1] = _OUT
        self._low = min(self._low, place)
        self.sizes[place] = nbytes

    def open_ranges(self) -> Iterator[range]:
        """Yield the offsets of messages that are not acknowledged, in their order."""
        if self.offsets is None:
            return
        for place, state in enumerate(self._state):
            if state != _ACKNOWLEDGED[0]:
                first = self.offsets[place]
                yield range(first, self._stop_of(place))

    def _stop_of(self, place: int) -> int:
        assert self.offsets is not None
        if self.counts is None or self.counts[place] == 1:
            return self.offsets[place] + 1
        following = self.stop if place + 1 == len(self.offsets) else self.offsets[place + 1]
        return self.offsets[place] + self.counts[place] if following is None else following

    def out(self) -> tuple[int, int]:
        """Return the records and the bytes of all messages that are out as a whole."""
        places = [place for place, state in enumerate(self._state) if not state]
        records = len(places) if self.counts is None else sum(self.counts[place] for place in places)
        return records, sum(self.sizes[place] for place in places)

    def _occurs(self, state: bytes) -> None:
        if state not in self._open_states:
            self._open_states = (*self._open_states, state)

    @property
    def low(self) -> int | None:
        """First offset that is not acknowledged; ``None``: all are, or there are none."""
        if self.offsets is None:
            return None
        state = self._state
        places = [state.find(kind, self._low) for kind in self._open_states]
        found = [place for place in places if place >= 0]
        if not found:
            return None
        self._low = min(found)
        return self.offsets[self._low]


def seqs_follow(seqs: Sequence[int]) -> bool:
    """Tell whether sequence numbers follow on one another.

    >>> seqs_follow([4, 5, 6]), seqs_follow([4, 6]), seqs_follow([])
    (True, False, True)
    """
    return not seqs or (
        seqs[-1] - seqs[0] == len(seqs) - 1 and list(seqs) == list(range(seqs[0], seqs[-1] + 1))
    )
