"""The chunks of an array, one message each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reactivex import Observable

from streamzarr.flow.arguments import anything, checked, function, instance, integer, optional
from streamzarr.flow.demand.credits import Credits, Room
from streamzarr.flow.drive import observe
from streamzarr.flow.graph import Graph
from streamzarr.flow.message import Batch
from streamzarr.flow.sources.items import SOURCE, ItemSource, Sized
from streamzarr.flow.stop import Stop
from streamzarr.zarr.array import Array
from streamzarr.zarr.streaming.stream import ChunkBlock, ChunkFilter, Place, parse_region, places


@checked(
    "from_array",
    array=instance(Array, "an Array, as streamzarr.zarr.open_array(url) returns"),
    region=anything,
    where=optional(function),
    concurrency=optional(integer(1)),
    **SOURCE,
)
def from_array(
    array: Array,
    demand: Credits,
    *,
    region: Any = ...,
    where: ChunkFilter | None = None,
    concurrency: int | None = None,
    stop: Stop | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Emit the chunks of `array`, in C order of its grid, reading each when demand allows it and not before.

    The data of a message is a :class:`~streamzarr.zarr.ChunkBlock`: the chunk's `index`, the `slices` of the
    array that it fills, and its `data`. Its bytes are known before it is read, so ``max_bytes`` of demand
    bounds what is read; a bigger chunk travels alone. A chunk that cannot be read or decoded breaks the
    chain with its error; none is skipped.

    Parameters
    ----------
    demand
        Bounds what is in flight until ``ops.settle``.
    region
        A basic selection of slices without steps: only chunks that touch it, cut to it.
    where
        Only chunks for whose index this is true.
    concurrency
        How many chunks are read at once, each on a thread of its own; 1 reads on the chain's. By default as
        many as the store likes requests in flight: 1 for files and memory.

    Raises
    ------
    streamzarr.errors.ConfigError
        `concurrency` is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> import streamzarr.zarr as zarr
    >>> from streamzarr.flow import Demand, ops, run
    >>> source = zarr.create_array("memory://", data=np.arange(5), chunks=2)
    >>> chain = from_array(source, Demand(2, max_bytes="1MB")).pipe(
    ...     ops.map(lambda block: (block.index, int(block.data.sum()))),
    ...     ops.settle(lambda messages: print(*[message.data for message in messages])),
    ... )
    >>> run(chain).ok
    ((0,), 1)
    ((1,), 5)
    ((2,), 4)
    3
    """
    box = parse_region(region, array.shape)
    threads = array.store.capabilities.in_flight if concurrency is None else concurrency
    return observe(
        lambda graph: _Chunks(graph, demand, array, threads, iter(places(box, array.grid, where))),
        demand,
        stop=stop,
        on_turn=on_turn,
    )


class _Chunks(ItemSource):
    def __init__(
        self,
        graph: Graph,
        credits: Credits,  # noqa: A002
        array: Array,
        threads: int,
        left: Iterator[Place],
    ) -> None:
        super().__init__(graph, credits)
        self._array, self._threads, self._left = array, threads, left
        self._next: Place | None = None  # looked at, and did not fit
        self._pool: ThreadPoolExecutor | None = None

    def open(self) -> None:
        if self._threads > 1:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="streamzarr-chunks")

    def next(self, room: Room) -> Sequence[Sized] | None:
        chosen = self._choose(min(room.messages, self._threads), room.nbytes)
        if not chosen:
            return None
        read = map if self._pool is None else self._pool.map
        return [(block, block.data.nbytes) for block in read(self._read, chosen)]

    def _choose(self, count: int, nbytes: int | None) -> list[Place]:
        """Return up to `count` of the next places, of `nbytes` in all, but at least one while any is left."""
        chosen: list[Place] = []
        used = 0
        while len(chosen) < count and (place := self._next or next(self._left, None)) is not None:
            used += math.prod(part.stop - part.start for part in place[1]) * self._array.dtype.itemsize
            if chosen and nbytes is not None and used > nbytes:
                self._next = place
                break
            self._next = None
            chosen.append(place)
        return chosen

    def _read(self, place: Place) -> ChunkBlock:
        index, slices = place
        return ChunkBlock(index, slices, self._array.read(slices))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
