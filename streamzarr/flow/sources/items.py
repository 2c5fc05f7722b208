"""What all sources of items without positions share: how an item becomes a message."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Generic, TypeAlias, TypeVar

from streamzarr.errors import ConfigError, is_interrupt
from streamzarr.flow.arguments import Check, function, instance, optional
from streamzarr.flow.demand.credits import Credits, Room
from streamzarr.flow.graph import Graph
from streamzarr.flow.lazy import Entry, LazyMessages
from streamzarr.flow.message import Message
from streamzarr.flow.sizes import checked_nbytes
from streamzarr.flow.stop import Stop

T = TypeVar("T")

SizeOf: TypeAlias = Callable[[Any], int]
Sized: TypeAlias = tuple[Any, int]
"""An item, and the bytes that it counts for."""

IDLE = 0.05
"""Seconds until a source that had nothing is asked again; it is asked earlier when the chain's bell rings."""


def size_of(item: Any) -> int:
    """Return the bytes an item counts for: its own of bytes and arrays, 0 of what does not say.

    Examples
    --------
    >>> size_of(b"abc"), size_of({"task": 1})
    (3, 0)
    """
    if isinstance(item, (bytes, bytearray)):
        return len(item)
    nbytes = getattr(item, "nbytes", 0)
    return nbytes if isinstance(nbytes, int) else 0


def sized_by(size_of: Callable[[T], int]) -> Callable[[T], int]:
    """Return `size_of`, whose sizes are checked: a ``ConfigError`` says which one cannot be."""
    name = f"size_of={size_of!r}"
    return lambda item: checked_nbytes(size_of(item), name, ConfigError)


class Gathering(Generic[T]):
    """Takes items from an iterator one by one, as many as there is room for.

    What the iterator raises is raised behind the items before it, which are delivered first.

    Examples
    --------
    >>> gathering = Gathering(iter([b"abc", b"def", b"g"]), len, most=10)
    >>> gathering.take(Room(10, nbytes=4)), gathering.take(Room(10, None)), gathering.take(Room(10, None))
    ([(b'abc', 3), (b'def', 3)], [(b'g', 1)], [])
    """

    def __init__(self, items: Iterator[T], size_of: Callable[[T], int], most: int) -> None:
        self._items, self._size_of, self._most = items, size_of, most
        self._error: BaseException | None = None

    def take(self, room: Room) -> list[tuple[T, int]]:
        """Return the next items, and their bytes; at least one while there are any."""
        if self._error is not None:
            raise self._error
        taken: list[tuple[T, int]] = []
        left = room.nbytes
        try:
            for item in islice(self._items, min(room.messages, self._most)):
                nbytes = self._size_of(item)
                taken.append((item, nbytes))
                if left is not None and (left := left - nbytes) <= 0:
                    break
        except BaseException as error:
            if not taken or is_interrupt(error):
                raise
            self._error = error
        return taken


SOURCE: Final[dict[str, Check]] = {
    "demand": instance(Credits, "a Demand, e.g. Demand(10)"),
    "stop": optional(instance(Stop, "a Stop")),
    "on_turn": optional(function),
}
"""What every source is given."""


class ItemSource(ABC):
    """A :class:`streamzarr.flow.drive.Source` of items that come from no partition."""

    def __init__(self, graph: Graph, credits: Credits, idle: float = IDLE) -> None:  # noqa: A002 - see Claim
        self.poll_timeout = idle
        self.graph = graph
        self._claim = graph.chain.claim(credits)

    @abstractmethod
    def next(self, room: Room) -> Sequence[Sized] | None:
        """Return up to ``room.messages`` items; none: there are none just now; ``None``: none will come."""

    def pull(self, room: Room, timeout: float) -> Sequence[Message] | None:
        """Return messages of what :meth:`next` gives; wait for the chain's bell when that is nothing."""
        items = self.next(room)
        if items is None:
            return None
        if not items:
            self.graph.wait(timeout)
            return []
        chain = self.graph.chain
        now = chain.runtime.wall_ns() // 1_000_000
        datas, sizes = map(list, zip(*items, strict=True))
        return LazyMessages(datas, (Entry(self._claim, chain.number(len(items)), sizes, now),))

    def open(self) -> None:  # noqa: B027 - most have nothing to open, nor to do, nor to store
        """Connect; called first, once."""

    def turn(self) -> None:  # noqa: B027
        """Do what is due; called at every turn."""

    def conclude(self) -> None:  # noqa: B027
        """Store what is settled; called when the chain has come to its end without an error."""

    def close(self) -> None:  # noqa: B027
        """Disconnect; called last, once, also after an error."""
