"""Items of an iterable, and of a function that is asked for more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from reactivex import Observable

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import checked, function, integer, iterable, seconds, shown
from streamzarr.flow.demand.credits import Credits, Room
from streamzarr.flow.drive import observe
from streamzarr.flow.graph import Graph
from streamzarr.flow.message import Batch
from streamzarr.flow.sources.items import (
    IDLE,
    SOURCE,
    Gathering,
    ItemSource,
    Sized,
    SizeOf,
    size_of,
    sized_by,
)
from streamzarr.flow.stop import Stop

Pull: TypeAlias = Callable[[int], Sequence[Any] | None]


@checked("from_iterable", items=iterable, batch=integer(1), size_of=function, **SOURCE)
def from_iterable(
    items: Iterable[Any],
    demand: Credits,
    *,
    batch: int = 64,
    size_of: SizeOf = size_of,
    stop: Stop | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Emit `items` in batches, taking from the iterable no more than demand allows.

    The iterable is advanced on the chain's thread and may block as long as it likes. It is not advanced past
    what is emitted, but for one item that turns out to be too big for the bytes that are free. What it raises
    breaks the chain, behind the items before it.

    Parameters
    ----------
    items
        Taken once per subscription. An iterator of the caller's is not closed: what a stopped chain has not
        taken is still in it, for the next run. One that a run has taken to its end has nothing for another.
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
    shared = _Items(items)
    return observe(
        lambda graph: _Iterated(graph, demand, shared, batch, size_of), demand, stop=stop, on_turn=on_turn
    )


@checked("from_pull", pull=function, idle=seconds(above=0), size_of=function, **SOURCE)
def from_pull(
    pull: Pull,
    demand: Credits,
    *,
    idle: float = IDLE,
    size_of: SizeOf = size_of,
    stop: Stop | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Emit what ``pull(n)`` returns; it is told how many it may return, as GenStage's ``handle_demand``.

    Parameters
    ----------
    pull
        Returns at most `n` items, none when there are none just now, or ``None`` when there will be no more:
        a run goes on, and asks again, as long as ``[]`` comes.
        Runs on the chain's thread; what is done in other threads goes on while it blocks, but is not settled.
    idle
        Seconds until it is asked again after it returned nothing.

    Raises
    ------
    streamzarr.errors.ConfigError
        By ``on_error``: `pull` returned more than it was asked for.

    Examples
    --------
    >>> from streamzarr.flow import Demand, ops, run
    >>> waiting = list("abcde")
    >>> def pull(count):
    ...     taken = [waiting.pop(0) for _ in range(min(count, len(waiting)))]
    ...     return taken or None
    >>> run(from_pull(pull, Demand(2)).pipe(ops.settle())).ok
    5
    """
    return observe(
        lambda graph: _Pulled(graph, demand, pull, size_of, idle), demand, stop=stop, on_turn=on_turn
    )


@dataclass(slots=True)
class _Items:
    """What is iterated, by one run after the other."""

    iterable: Iterable[Any]
    used_up: bool = False
    """It is an iterator, and a run has taken it to its end."""


class _Iterated(ItemSource):
    def __init__(
        self,
        graph: Graph,
        credits: Credits,  # noqa: A002 - see Claim
        items: _Items,
        batch: int,
        size_of: SizeOf,
    ) -> None:
        super().__init__(graph, credits)
        self._items, self._iterator = items, iter(items.iterable)
        self._own = self._iterator is not items.iterable
        self._gathering = Gathering(self._iterator, sized_by(size_of), batch)

    def open(self) -> None:
        if self._items.used_up:
            raise ConfigError(
                f"from_iterable: items is {shown(self._items.iterable)}, and an earlier run has taken all of "
                "it, expected what can be iterated again, e.g. a list"
            )

    def next(self, room: Room) -> Sequence[Sized] | None:
        taken = self._gathering.take(room)
        self._items.used_up = not taken and not self._own
        return taken or None

    def close(self) -> None:
        close = getattr(self._iterator, "close", None)
        if self._own and close is not None:
            close()


class _Pulled(ItemSource):
    def __init__(
        self,
        graph: Graph,
        credits: Credits,  # noqa: A002
        pull: Pull,
        size_of: SizeOf,
        idle: float,
    ) -> None:
        super().__init__(graph, credits, idle)
        self._pull, self._size_of = pull, sized_by(size_of)

    def next(self, room: Room) -> Sequence[Sized] | None:
        items = self._pull(room.messages)
        if items is None:
            return None
        if not hasattr(items, "__len__"):
            raise ConfigError(
                f"pull({room.messages}) returned {shown(items)}, expected a list, or None at the end"
            )
        if len(items) > room.messages:
            raise ConfigError(
                f"pull({room.messages}) returned {len(items)} items, expected no more than asked for"
            )
        return [(item, self._size_of(item)) for item in items]
