# ruff: noqa: D102 - methods are documented by Axis
"""How an array is cut into chunks: pure arithmetic, no I/O.

A grid is one :class:`Axis` per dimension; the indexing planner asks axes, never the grid's kind. For axes
whose chunks differ in length see ``rectilinear``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt


class Axis(Protocol):
    """One dimension of a grid. Chunk ``c`` begins at ``start(c)`` and is stored with length ``size(c)``."""

    @property
    def extent(self) -> int:
        """Length of the array along this axis."""

    @property
    def count(self) -> int:
        """Number of chunks along this axis."""

    def chunk_of(self, position: int) -> int:
        """Return the chunk that holds `position`."""

    def chunks_of(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the chunk that holds each of `positions`."""

    def start(self, chunk: int) -> int:
        """Return the first position of `chunk`."""

    def size(self, chunk: int) -> int:
        """Return the stored length of `chunk`, padding included."""

    def valid(self, chunk: int) -> int:
        """Return the part of `size` that lies inside the array (trap T1)."""


@dataclass(frozen=True, slots=True)
class RegularAxis:
    """Chunks of one length; the last may reach past the array."""

    extent: int
    chunk: int

    @property
    def count(self) -> int:
        return -(-self.extent // self.chunk) if self.chunk else 0

    def chunk_of(self, position: int) -> int:
        return position // self.chunk

    def chunks_of(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        return positions // self.chunk

    def start(self, chunk: int) -> int:
        return chunk * self.chunk

    def size(self, chunk: int) -> int:
        return self.chunk

    def valid(self, chunk: int) -> int:
        return min(self.chunk, self.extent - chunk * self.chunk)


@dataclass(frozen=True, slots=True)
class Grid:
    """The chunks of an array, numbered per axis.

    Examples
    --------
    >>> grid = regular_grid((5, 4), (2, 4))
    >>> grid.shape, grid.size
    ((3, 1), 3)
    >>> grid.slices((2, 0))
    (slice(4, 5, None), slice(0, 4, None))
    >>> grid.chunk_shape((2, 0))
    (2, 4)
    """

    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Chunks per axis."""
        return tuple(axis.count for axis in self.axes)

    @property
    def size(self) -> int:
        """Number of chunks."""
        return math.prod(self.shape)

    @property
    def lengths(self) -> tuple[tuple[int, ...], ...]:
        """For each axis the lengths of its chunks, cut at the array's end."""
        return tuple(tuple(map(axis.valid, range(axis.count))) for axis in self.axes)

    def slices(self, index: tuple[int, ...]) -> tuple[slice, ...]:
        """Return where chunk `index` lies in the array, cut at the array's end."""
        self.check(index)
        return tuple(
            slice(axis.start(c), axis.start(c) + axis.valid(c))
            for axis, c in zip(self.axes, index, strict=True)
        )

    def valid_shape(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of chunk `index`, cut at the array's end."""
        self.check(index)
        return tuple(axis.valid(c) for axis, c in zip(self.axes, index, strict=True))

    def chunk_shape(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that chunk `index` is stored with, padding included."""
        self.check(index)
        return tuple(axis.size(c) for axis, c in zip(self.axes, index, strict=True))

    def indices(self) -> Iterator[tuple[int, ...]]:
        """Yield the index of every chunk in C order."""
        return each_of([*map(range, self.shape)])

    def __contains__(self, index: tuple[int, ...]) -> bool:
        return len(index) == len(self.axes) and all(
            0 <= c < axis.count for axis, c in zip(self.axes, index, strict=True)
        )

    def check(self, index: tuple[int, ...]) -> None:
        """Raise ``IndexError`` when there is no chunk `index`."""
        if index not in self:
            raise IndexError(f"chunk {index} is outside the grid of {self.shape} chunks")


def each_of(ranges: Sequence[range]) -> Iterator[tuple[int, ...]]:
    """Yield every combination in C order; ``itertools.product`` would write out the ranges before the first.

    >>> list(each_of([range(1, 3), range(2)]))
    [(1, 0), (1, 1), (2, 0), (2, 1)]
    """
    if not ranges:
        yield ()
    elif all(ranges):
        for index in each_of(ranges[:-1]):
            for last in ranges[-1]:
                yield (*index, last)


def regular_grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Grid:
    """Return the grid that cuts an array of `shape` into pieces of `chunks`."""
    return Grid(tuple(RegularAxis(n, c) for n, c in zip(shape, chunks, strict=True)))


def guess_chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return a chunk shape for an array that was given none, as zarr-python (after h5py) chooses it.

    The target grows slowly with the array, from 128 KiB to 64 MiB; axes are halved in turn until it is met.

    >>> guess_chunks((1_000_000,), 8), guess_chunks((1000, 1000), 4)
    ((62500,), (250, 500))
    """
    chunks = [max(n, 1) for n in shape]
    if not shape or itemsize == 0:
        return tuple(chunks)
    total = math.prod(chunks) * itemsize
    target = 256 * 1024 * 2 ** math.log10(total / 2**20)
    target = min(max(target, 128 * 1024), 64 * 2**20)
    for axis in itertools.cycle(range(len(shape))):
        size = math.prod(chunks) * itemsize
        if math.prod(chunks) == 1 or (
            (size < target or abs(size - target) / target < 0.5) and size < 64 * 2**20
        ):
            break
        chunks[axis] = -(-chunks[axis] // 2)
    return tuple(chunks)


def guess_inner_chunks(shard: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return a chunk shape that divides `shard`, of at most 1 MiB: the longest axis is divided first.

    >>> guess_inner_chunks((4000, 300), 8), guess_inner_chunks((7,), 8)
    ((250, 300), (7,))
    """
    chunks = list(shard)
    while math.prod(chunks) * itemsize > 1 << 20 and max(chunks) > 1:
        axis = max(range(len(chunks)), key=chunks.__getitem__)
        chunks[axis] //= next(n for n in itertools.count(2) if chunks[axis] % n == 0)
    return tuple(chunks)


def guess_shards(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shard shape as zarr-python chooses it: two chunks along each axis that has more than eight.

    >>> guess_shards((1000, 20), (10, 10))
    (20, 10)
    """
    return tuple([2 * c if n // c > 8 else c for n, c in zip(shape, chunks, strict=True)])


@dataclass(frozen=True, slots=True)
class RegularChunks:
    """The ``regular`` chunk grid of v3 metadata, and the ``chunks`` of v2."""

    chunk_shape: tuple[int, ...]

    def grid(self, shape: tuple[int, ...]) -> Grid:
        """Return the chunks of an array of `shape`."""
        return regular_grid(shape, self.chunk_shape)

    def resized(self, shape: tuple[int, ...], unit: tuple[int, ...] | None = None) -> Self:
        """Return the grid of an array that changes to `shape`: the same."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the v3 ``chunk_grid``."""
        return {"name": "regular", "configuration": {"chunk_shape": list(self.chunk_shape)}}

    def __str__(self) -> str:
        """Return the chunk shape."""
        return str(self.chunk_shape)
