"""A bound on the bytes of chunks that the threads of a worker hold at once."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from streamzarr.errors import UnsupportedError
from streamzarr.jobs.numbering import Index, chunk_region, source_region
from streamzarr.jobs.wire import Method, Stage
from streamzarr.zarr import Array

WIDE_BYTES = 32
"""Bytes a cell, beside its own, while a block is averaged: in double precision, as sum, count and mean."""
EXACT_BYTES = 64
"""Likewise of 64-bit integers, which are summed as Python's own."""


def bytes_of_task(stage: Stage, source: Array, target: Array, chunk: Index) -> int:
    """Return how many bytes of chunks a task holds at most, beside what its transform takes for itself.

    It reads, computes, then writes; no step keeps what only the one before it needed. Variable-length
    strings count as the references to them.
    """
    dtype = source.dtype
    wanted = chunk_region(stage.layout, chunk)
    if stage.operation == "downsample":
        wanted = source_region(wanted, stage.factor, source.shape)
    cells: int = math.prod(part.stop - part.start for part in wanted)
    unit = math.prod(stage.layout.chunks) * max(target.dtype.itemsize, dtype.itemsize)
    # Encoded and decoded; and a chunk of which only a part is wanted.
    reading = 2 * dtype.itemsize * (cells + _largest_chunk(source))
    computing = cells * dtype.itemsize + unit
    if stage.operation == "downsample":
        computing += cells * wide_bytes(stage.method, dtype)
    writing = 3 * unit  # the result, as it is stored, and encoded
    return max(reading, computing, writing)


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


def _largest_chunk(array: Array) -> int:
    """Return the cells of the largest chunk."""
    try:
        return math.prod(array.chunks)
    except UnsupportedError:  # rectilinear
        return math.prod([max(lengths) for lengths in array.read_chunk_sizes], start=1)


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
