"""The two ends of a pass: the array that it reads and the array that it writes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from streamzarr.jobs.planner.axes import Even, Steps
from streamzarr.jobs.planner.memory import FETCH_BYTES, Held, held_bytes, writers_of

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """An array that is read."""

    chunks: tuple[Steps, ...]
    """Of each axis: what is decoded as one."""
    itemsize: int
    readers: int = 1
    """Chunks that are read at once."""
    shards: tuple[Steps, ...] | None = None
    """Of each axis: what is stored as one, where that is more than what is decoded as one."""

    @classmethod
    def of(cls, shape: Axes, chunks: Axes, itemsize: int, readers: int = 1) -> Self:
        """Return an array with chunks of one shape.

        >>> Source.of((4, 4), (2, 4), 8).cells
        16
        """
        return cls(tuple(map(Even, shape, chunks)), itemsize, readers)

    @property
    def stored(self) -> tuple[Steps, ...]:
        """Of each axis what is stored as one: shards, or chunks where there are none."""
        return self.chunks if self.shards is None else self.shards

    @property
    def shape(self) -> Axes:
        """Cells along each axis."""
        return tuple(axis.size for axis in self.chunks)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Target:
    """An array that is written, and how its cells come of the source's."""

    shape: Axes
    chunks: Axes
    """What is written as one: chunks, or shards."""
    itemsize: int
    factor: Axes = ()
    """Cells of the source along each axis for one of this; none given: one."""
    wide: int = 0
    """Bytes a cell of the source while it is computed with."""
    in_flight: int = 1
    """Requests that its store likes to have in flight."""
    readers: int = 1
    """Chunks that are read at once from there: intermediate arrays are beside it."""

    @property
    def steps(self) -> Axes:
        """Cells of the source along each axis that one chunk is made of."""
        factor = self.factor or (1,) * len(self.chunks)
        return tuple(chunk * f for chunk, f in zip(self.chunks, factor, strict=True))

    @property
    def grid(self) -> Axes:
        """Chunks along each axis."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of a whole array and writing of another, by tasks that own a block each."""

    chunks: Axes
    """Of the array that is written: an intermediate one, but for the last pass."""
    block: Axes
    """Chunks of a task along each axis."""
    tasks: int
    reads: int
    """Requests for objects, or for ranges of them."""
    writes: int
    bytes_read: int
    """As decoded."""
    bytes_written: int
    """Likewise."""
    decoded: float
    """How often each byte of what is read is decoded, on average."""
    held_bytes: int
    """What the largest task holds."""


def pass_of(source: Source, target: Target, block: Axes) -> Pass:
    """Return the pass from `source` to `target` by tasks of `block` chunks along each axis.

    Examples
    --------
    >>> maps = Source.of((8, 100), (1, 100), 4)
    >>> one = pass_of(maps, Target((8, 100), (8, 10), 4), (1, 5))
    >>> one.tasks, one.reads, one.decoded, one.writes
    (2, 16, 2.0, 10)
    """
    every = [length * step for length, step in zip(block, target.steps, strict=True)]
    again = [axis.again(cells) for axis, cells in zip(source.chunks, every, strict=True)]
    read = math.prod(axis.size + more.cells for axis, more in zip(source.chunks, again, strict=True))
    cells = source.cells
    grid = target.grid
    return Pass(
        chunks=target.chunks,
        block=block,
        tasks=math.prod(-(-n // length) for n, length in zip(grid, block, strict=True)),
        reads=requests_of(source, every),
        writes=math.prod(grid),
        bytes_read=read * source.itemsize,
        bytes_written=math.prod(target.shape) * target.itemsize,
        decoded=read / cells if cells else 0.0,
        held_bytes=held_of(source, target, block),
    )


def requests_of(source: Source, every: list[int]) -> int:
    """Return the requests of all blocks of `every` cells: one for a chunk, for a shard its index and a range.

    Ranges of a shard that lie close together are read as one (:mod:`streamzarr.zarr.chunks.ranges`).
    """
    objects = math.prod(
        axis.count + axis.again(cells).chunks for axis, cells in zip(source.stored, every, strict=True)
    )
    return objects if source.shards is None else 2 * objects


def held_of(source: Source, target: Target, block: Axes) -> int:
    """Return the bytes that the largest task of `block` chunks along each axis holds."""
    every = [length * step for length, step in zip(block, target.steps, strict=True)]
    touched = [axis.touched(cells) for axis, cells in zip(source.stored, every, strict=True)]
    region = [min(axis.size, cells) for axis, cells in zip(source.chunks, every, strict=True)]
    chunks = [min(n, length) for n, length in zip(target.grid, block, strict=True)]
    return held_bytes(held(source, target), math.prod(region), math.prod(touched), math.prod(chunks))


def held(source: Source, target: Target) -> Held:
    """Return what the memory of a task of this pass goes by."""
    part = math.prod(min(axis.size, step) for axis, step in zip(source.chunks, target.steps, strict=True))
    chunk, stored = (
        source.itemsize * math.prod(axis.largest for axis in axes) for axes in (source.chunks, source.stored)
    )
    unit = math.prod(target.chunks) * max(source.itemsize, target.itemsize)
    return Held(
        itemsize=source.itemsize,
        chunk=max(chunk, min(stored, FETCH_BYTES)) if source.shards else chunk,
        readers=source.readers,
        part=part,
        unit=unit,
        writers=writers_of(target.in_flight, unit),
        wide=target.wide,
    )
