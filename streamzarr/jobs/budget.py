"""A bound on the bytes of chunks that the threads of a worker hold at once."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from streamzarr.errors import UnsupportedError
from streamzarr.jobs.block import Box
from streamzarr.jobs.compute import wanted_of
from streamzarr.jobs.numbering import chunk_region
from streamzarr.jobs.planner.memory import FETCH_BYTES, Held, held_bytes, readers_of, writers_of
from streamzarr.jobs.wire import Stage
from streamzarr.zarr import Array
from streamzarr.zarr.chunks import parallel

WIDE_BYTES = 32
"""Bytes a cell, beside its own, while a block is averaged: in double precision, as sum, count and mean."""
EXACT_BYTES = 64
"""Likewise of 64-bit integers, which are summed as Python's own."""


def bytes_of_box(stage: Stage, source: Array, target: Array, box: Box) -> int:
    """Return how many bytes the chunks of a box hold at most, beside what a transform takes for itself."""
    region = wanted_of(stage, box.region(stage.layout), source)
    touched = (
        axis.chunk_of(part.stop - 1) - axis.chunk_of(part.start) + 1 if part.stop > part.start else 0
        for axis, part in zip(source.grid.axes, region, strict=True)
    )
    cells = math.prod(part.stop - part.start for part in region)
    return held_bytes(_held(stage, source, target, box), cells, math.prod(touched), len(box))


def writers_of_stage(stage: Stage, source: Array, target: Array) -> int:
    """Return how many chunks of a target one task writes at once."""
    return writers_of(target.store.capabilities.in_flight, _unit(stage, source, target))


def _held(stage: Stage, source: Array, target: Array, box: Box) -> Held:
    first = wanted_of(stage, chunk_region(stage.layout, box.low), source)
    return Held(
        itemsize=source.dtype.itemsize,
        chunk=_chunk_bytes(source),
        readers=readers_of(source.store.capabilities.in_flight, parallel.cores()),
        part=math.prod(part.stop - part.start for part in first),
        unit=_unit(stage, source, target),
        writers=writers_of_stage(stage, source, target),
        wide=_wide(stage, source),
    )


def _unit(stage: Stage, source: Array, target: Array) -> int:
    return math.prod(stage.layout.chunks) * max(source.dtype.itemsize, target.dtype.itemsize)


def _wide(stage: Stage, source: Array) -> int:
    if stage.operation != "downsample" or stage.method != "mean":
        return 0
    exact = source.dtype.kind in "iu" and source.dtype.itemsize == 8
    return EXACT_BYTES if exact else WIDE_BYTES


def _chunk_bytes(array: Array) -> int:
    """Return the bytes of the largest chunk; of a shard, what is asked for at once."""
    itemsize = array.dtype.itemsize
    try:
        chunk, shard = math.prod(array.chunks) * itemsize, math.prod(array.shards or ()) * itemsize
    except UnsupportedError:  # rectilinear
        return itemsize * math.prod([max(lengths) for lengths in array.read_chunk_sizes], start=1)
    return max(chunk, min(shard, FETCH_BYTES))


class ByteBudget:
    """Lets work begin, first come first served, as long as its bytes fit; thread-safe.

    Work larger than the whole budget begins when nothing else is under way.

    Examples
    --------
    >>> budget = ByteBudget(100)
    >>> with budget.hold(30), budget.hold(70):
    ...     budget.held
    100
    >>> budget.held
    0
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def hold(self, nbytes: int) -> Iterator[None]:
        """Hold `nbytes` for the time of the block; waits until they fit."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            # In order, or large work would wait for ever behind small work that fits.
            self._changed.wait_for(lambda: self._queue[0] is ticket and self._fits(nbytes))
            self._queue.popleft()
            self.held += nbytes
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.held -= nbytes
                self._changed.notify_all()

    def _fits(self, nbytes: int) -> bool:
        return self.held == 0 or self.held + nbytes <= self.limit
