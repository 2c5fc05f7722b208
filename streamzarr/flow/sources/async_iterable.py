"""Items of an async iterable, such as an async generator over a web socket."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from typing import Any

from reactivex import Observable

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import checked, function, instance, optional, shown
from streamzarr.flow.demand.credits import Credits, Room
from streamzarr.flow.drive import observe
from streamzarr.flow.graph import Graph
from streamzarr.flow.message import Batch
from streamzarr.flow.sources.feed import AsyncFeed
from streamzarr.flow.sources.items import SOURCE, ItemSource, Sized, SizeOf, size_of, sized_by
from streamzarr.flow.stop import Stop

_log = logging.getLogger(__name__)


@checked(
    "from_async_iterable",
    items=instance(AsyncIterable, "an async iterable, e.g. an async generator"),
    loop=optional(instance(AbstractEventLoop, "an event loop")),
    size_of=function,
    **SOURCE,
)
def from_async_iterable(
    items: AsyncIterable[Any],
    demand: Credits,
    *,
    loop: AbstractEventLoop | None = None,
    size_of: SizeOf = size_of,
    stop: Stop | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Emit `items`, whose ``__anext__`` is asked for no more than demand allows.

    One item is awaited at a time, on an event loop; the chain's own thread does not wait for it. What the
    iterable raises breaks the chain, behind the items before it.

    Parameters
    ----------
    items
        Closed (``aclose``) whenever the chain ends, after what it was awaiting is cancelled. So an async
        generator serves one run; what has arrived by then and is not emitted, no more than demand asked for,
        goes with it, and the log says how much that is.
    demand
        Bounds what is in flight until ``ops.settle``, with what has arrived and is not emitted.
    loop
        Somebody's running event loop, on another thread than the chain's, to which the iterable belongs; by
        default one of the chain's own, on a thread of its own.
    size_of
        Bytes that an item counts for.

    Raises
    ------
    streamzarr.errors.ConfigError
        By ``on_error``: the chain runs on the thread of `loop`.
    streamzarr.errors.StreamzarrError
        By ``on_error``: `loop` was closed before the iterable ended, or the iterable did not end within 30
        seconds of being closed.

    Examples
    --------
    >>> from streamzarr.flow import Demand, ops, run
    >>> async def ticks():
    ...     for price in (1.5, 2.5):
    ...         yield price
    >>> run(from_async_iterable(ticks(), Demand(10)).pipe(ops.settle())).ok
    2
    """
    served = False

    def make(graph: Graph) -> _Awaited:
        nonlocal served
        if served and isinstance(items, AsyncGenerator):
            raise ConfigError(
                f"from_async_iterable: items is {shown(items)}, which an earlier run has closed, expected an "
                "async iterable that begins anew"
            )
        served = True
        return _Awaited(graph, demand, items, loop, size_of)

    return observe(make, demand, stop=stop, on_turn=on_turn)


class _Awaited(ItemSource):
    def __init__(
        self,
        graph: Graph,
        credits: Credits,  # noqa: A002
        items: AsyncIterable[Any],
        loop: AbstractEventLoop | None,
        size_of: SizeOf,
    ) -> None:
        super().__init__(graph, credits)
        self._feed = AsyncFeed(items, sized_by(size_of), loop, graph.chain.runtime, graph.chain.bell.ring)

    def open(self) -> None:
        self._feed.open()

    def next(self, room: Room) -> Sequence[Sized] | None:
        self._feed.ask(room)
        return self._feed.take(room.messages)

    def close(self) -> None:
        left = self._feed.close()
        if left:
            _log.warning("%d items of an async iterable had arrived and were not delivered any more", left)
