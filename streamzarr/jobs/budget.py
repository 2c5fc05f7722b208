"""A bound on the bytes of chunks that the threads of a worker hold at once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from streamzarr.jobs.block import Box
from streamzarr.jobs.compute import wanted_of
from streamzarr.jobs.passes import source_of, target_of
from streamzarr.jobs.planner import Held, held_bytes
from streamzarr.jobs.planner.ends import held
from streamzarr.jobs.wire import Method, Stage
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.zarr import Array

WIDE_BYTES = 32
"""Bytes a cell, beside its own, while a block is averaged: in double precision, as sum, count and mean."""
EXACT_BYTES = 64
"""Likewise of 64-bit integers, which are summed as Python's own."""


def held_by(stage: Stage, source: Array, target: Array) -> Held:
    """Return what the memory of the tasks of a stage goes by."""
    read = source_of(source)
    wide = wide_bytes(stage.method, source.dtype) if stage.operation == "downsample" else 0
    in_flight = target.store.capabilities.in_flight
    return held(read, target_of(target.metadata, factor=stage.factor, wide=wide, in_flight=in_flight))


def bytes_of_box(held: Held, stage: Stage, source: Array, box: Box) -> int:
    """Return how many bytes the chunks of a box hold at most, beside what a transform takes for itself."""
    region = wanted_of(stage, box.region(stage.layout), source)
    cells = math.prod(part.stop - part.start for part in region)
    touched = math.prod(
        axis.chunk_of(part.stop - 1) - axis.chunk_of(part.start) + 1
        for axis, part in zip(source.grid.axes, region, strict=True)
    )
    return held_bytes(held, cells, touched, len(box))


def wide_bytes(method: Method, dtype: np.dtype[Any]) -> int:
    """Return the bytes a cell, beside its own, while a block is reduced.

    >>> wide_bytes("mean", np.dtype("f4")), wide_bytes("mean", np.dtype("i8"))
    (32, 64)
    >>> wide_bytes("max", np.dtype("f4"))
    0
    """
    if method != "mean":
        return 0
    return EXACT_BYTES if dtype.kind in "iu" and dtype.itemsize == 8 else WIDE_BYTES


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

    def __init__(self, limit: int, runtime: Runtime = SYSTEM) -> None:
        self.limit = limit
        self.held = 0
        self._changed = runtime.condition()
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
