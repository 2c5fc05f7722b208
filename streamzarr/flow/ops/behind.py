"""Markers behind messages that leave in another order than they came in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from streamzarr.flow.message import Marker, Message


class Behind:
    """Tells when all messages that came before a marker have left, whatever came after it.

    Messages are told apart only while a marker waits, and only those that came behind one: without markers
    nothing is kept. Owned by the chain's thread. The caller holds the messages until it says that they left.

    Examples
    --------
    >>> from streamzarr.flow import Message
    >>> from streamzarr.flow.message import Flush
    >>> early, late, behind = Message(data=1), Message(data=2), Behind()
    >>> behind.mark(Flush(), 1)
    >>> behind.came([late])
    >>> behind.left([late])
    >>> list(behind.passing())
    []
    >>> behind.left([early])
    >>> list(behind.passing())
    [Flush(on_passed=None)]
    """

    def __init__(self) -> None:
        self._markers: deque[Marker] = deque()
        self._open: deque[int] = deque()  # messages before each marker, behind the last; then behind all
        self._first = 0  # number of the first marker that waits
        self._number: dict[int, int] = {}  # of the marker after a message, by its id; others: the first

    def mark(self, marker: Marker, held: int) -> None:
        """Take a marker in, when `held` messages have come and not left."""
        if not self._markers:
            self._open = deque([held])
        self._markers.append(marker)
        self._open.append(0)

    def came(self, messages: Sequence[Message]) -> None:
        """Note messages that have come."""
        if self._markers:
            self._open[-1] += len(messages)
            self._number.update(dict.fromkeys(map(id, messages), self._first + len(self._markers)))

    def left(self, messages: Sequence[Message]) -> None:
        """Note messages that have left."""
        if self._markers:
            for message in messages:
                self._open[self._number.pop(id(message), self._first) - self._first] -= 1

    def became(self, message: Message, others: Sequence[Message]) -> None:
        """Note that a message is now `others`, which came when it came."""
        if self._markers:
            number = self._number.pop(id(message), self._first)
            self._open[number - self._first] += len(others) - 1
            self._number.update(dict.fromkeys(map(id, others), number))

    def passing(self) -> Iterator[Marker]:
        """Yield the markers, in their order, before which nothing is left."""
        while self._markers and not self._open[0]:
            self._open.popleft()
            self._first += 1
            yield self._markers.popleft()
        if not self._markers:
            self._number.clear()
