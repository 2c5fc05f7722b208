"""Sources that need no broker: iterables, and functions that are asked for more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from reactivex import Observable

from streamzarr.errors import ConfigError
from streamzarr.flow.demand import Credits, Room
from streamzarr.flow.drive import observe
from streamzarr.flow.graph import Graph
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.stop import Stop

Pull = Callable[[int], Sequence[Any] | None]


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


def from_iterable(
    items: Iterable[Any],
    demand: Credits,
    *,
    batch: int = 64,
    size_of: Callable[[Any], int] = size_of,
    stop: Stop | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Emit `items` in batches, taking from the iterable no more than demand allows.

    The iterable is advanced on the chain's thread and may block as long as it likes; it is not advanced
    past what is emitted, except by messages that bytes keep waiting.

    Parameters
    ----------
    items
        Taken once per subscription.
    demand
        Bounds what is in flight until ``ops.settle``; a :class:`~streamzarr.flow.LagDemand` paces a producer.
    batch
        Messages in one batch, at most.
    size_of
        Bytes that an item counts for.
    on_turn
        Called at every turn of the chain, at least five times a second unless something blocks.

    Examples
    --------
    >>> from streamzarr.flow import Demand, ops, run
    >>> squares = []
    >>> chain = from_iterable(range(5), Demand(2)).pipe(
    ...     ops.map(lambda number: number * number),
    ...     ops.settle(lambda messages: squares.extend(message.data for message in messages)),
    ... )
    >>> run(chain).ok, squares
    (5, [0, 1, 4, 9, 16])
    """
    if batch < 1:
        raise ConfigError(f"batch={batch}: expected at least 1")

    def make(graph: Graph) -> _PullSource:
        iterator = iter(items)

        def pull(count: int) -> Sequence[Any] | None:
            return list(islice(iterator, min(count, batch))) or None

        return _PullSource(graph, demand, pull, size_of)

    return observe(make, demand, stop=stop, on_turn=on_turn)


def from_pull(
    pull: Pull,
    demand: Credits,
    *,
    idle: float = 0.05,
    size_of: Callable[[Any], int] = size_of,
    stop: Stop | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Emit what ``pull(n)`` returns; it is told how many it may return, as GenStage's ``handle_demand``.

    Parameters
    ----------
    pull
        Returns at most `n` items, none when there are none just now, or ``None`` when there will be no more.
        Runs on the chain's thread; what is done in other threads goes on while it blocks, but is not settled.
    idle
        Seconds until it is asked again after it returned nothing.

    Raises
    ------
    streamzarr.errors.ConfigError
        By ``on_error``: `pull` returned more than it was asked for.
    """

    def make(graph: Graph) -> _PullSource:
        return _PullSource(graph, demand, pull, size_of, idle)

    return observe(make, demand, stop=stop, on_turn=on_turn)


class _PullSource:
    """A :class:`streamzarr.flow.drive.Source` over a function."""

    def __init__(
        self,
        graph: Graph,
        demand: Credits,
        pull: Pull,
        size_of: Callable[[Any], int],
        idle: float = 0.05,
    ) -> None:
        self.poll_timeout = idle
        self._graph, self._pull, self._size_of = graph, pull, size_of
        self._claim = graph.chain.claim(demand)

    def open(self) -> None:
        pass

    def pull(self, room: Room, timeout: float) -> list[Message] | None:
        items = self._pull(room.messages)
        if items is None:
            return None
        if len(items) > room.messages:
            raise ConfigError(
                f"pull({room.messages}) returned {len(items)} items, expected no more than asked for"
            )
        if not items:
            self._graph.wait(timeout)
            return []
        chain, claim, size_of = self._graph.chain, self._claim, self._size_of
        now = chain.runtime.wall_ns() // 1_000_000
        return [
            Message(data=item, nbytes=size_of(item), first_seen=now, seq=next(chain.seqs), claim=claim)
            for item in items
        ]

    def turn(self) -> None:
        pass

    def close(self) -> None:
        pass
