"""The chunks of a job, numbered so that those of one task follow on one another.

Pure: shapes in, numbers and slices out. The numbers go through the stages one after the other, through the
blocks of a stage's grid in C order, and through the chunks of a block in C order. A task is a run of numbers
within one block: it owns the chunks that it writes, can run twice, and two tasks never share an object.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from streamzarr.jobs.wire import Layout, Stage

Index = tuple[int, ...]
Region = tuple[slice, ...]


def grid_shape(layout: Layout) -> Index:
    """Chunks along each axis.

    Examples
    --------
    >>> import msgspec
    >>> grid_shape(Layout((5, 4), (2, 4), "<f4", 3, msgspec.Raw(b"[]")))
    (3, 1)
    """
    return tuple(-(-size // chunk) for size, chunk in zip(layout.shape, layout.chunks, strict=True))


def chunk_region(layout: Layout, chunk: Index) -> Region:
    """Return the part of the target that a chunk covers, clipped to the array."""
    return tuple(
        slice(i * step, min((i + 1) * step, size))
        for i, step, size in zip(chunk, layout.chunks, layout.shape, strict=True)
    )


def source_region(region: Region, factor: Sequence[int], source_shape: Sequence[int]) -> Region:
    """Return the part of the source that a downsampled `region` is made of.

    Examples
    --------
    >>> source_region((slice(2, 3),), (4,), (10,))
    (slice(8, 10, None),)
    """
    return tuple(
        slice(part.start * f, min(part.stop * f, size))
        for part, f, size in zip(region, factor, source_shape, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Blocks:
    """A grid of chunks cut into blocks; those at the far edges may be smaller.

    Examples
    --------
    >>> blocks = Blocks((3, 3), (2, 2))
    >>> [blocks.chunk(number) for number in range(4)]
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    >>> blocks.chunk(4), blocks.number((0, 2)), blocks.run(4)
    ((0, 2), 4, range(4, 6))
    """

    grid: Index
    block: Index
    """Chunks along each axis; may be more than the grid has."""

    @classmethod
    def of(cls, stage: Stage) -> Blocks:
        """Return the blocks of a stage."""
        grid = grid_shape(stage.layout)
        return cls(grid, stage.block or (1,) * len(grid))

    @property
    def count(self) -> int:
        """Number of blocks."""
        return math.prod(-(-n // size) for n, size in zip(self.grid, self.block, strict=True))

    def chunk(self, number: int) -> Index:
        """Return the index in the grid of the chunk with this number."""
        return self._locate(number)[0]

    def run(self, number: int) -> range:
        """Return the numbers of the chunks of the block that the chunk with this number is of."""
        return self._locate(number)[1]

    def ordinal(self, chunk: Index) -> int:
        """Return the place, in C order, of the block that the chunk with this index in the grid is of."""
        ordinal = 0
        for i, n, size in zip(chunk, self.grid, self.block, strict=True):
            ordinal = ordinal * -(-n // size) + i // size
        return ordinal

    def number(self, chunk: Index) -> int:
        """Return the number of the chunk with this index in the grid."""
        start, inner, wide = self._origin(chunk)
        within = 0
        for i, at, width in zip(chunk, inner, wide, strict=True):
            within = within * width + i - at
        return start + within

    def _locate(self, number: int) -> tuple[Index, range]:
        """Return index and block of a chunk: blocks before this one fill whole slabs of the grid."""
        corner, wide, left = [], [], number
        lead, behind = 1, math.prod(self.grid)
        for n, size in zip(self.grid, self.block, strict=True):
            behind //= n
            slab = lead * behind
            first = left // (slab * size) * size
            left -= first * slab
            corner.append(first)
            wide.append(min(size, n - first))
            lead *= wide[-1]
        start, index = number - left, []
        for at, width in zip(reversed(corner), reversed(wide), strict=True):
            left, i = divmod(left, width)
            index.append(at + i)
        return tuple(reversed(index)), range(start, start + lead)

    def _origin(self, chunk: Index) -> tuple[int, Index, Index]:
        """Return the first number, first chunk and widths of the block that a chunk is of."""
        start, lead = 0, 1
        corner, wide = [], []
        for axis, (i, n, size) in enumerate(zip(chunk, self.grid, self.block, strict=True)):
            first = i // size * size
            start += first * lead * math.prod(self.grid[axis + 1 :])
            corner.append(first)
            wide.append(min(size, n - first))
            lead *= wide[-1]
        return start, tuple(corner), tuple(wide)


@dataclass(frozen=True, slots=True)
class Numbering:
    """The numbers of all chunks of a job, stage after stage."""

    stages: tuple[Stage, ...]
    ends: tuple[int, ...]
    """Number of the first chunk after each stage."""
    blocks: tuple[Blocks, ...]
    """Of each stage."""

    @classmethod
    def of(cls, stages: Sequence[Stage]) -> Numbering:
        """Return the numbering of a job with these stages."""
        ends = tuple(accumulate(stage.layout.tasks for stage in stages))
        return cls(tuple(stages), ends, tuple(map(Blocks.of, stages)))

    @property
    def tasks(self) -> int:
        """Number of chunks in all stages."""
        return self.ends[-1]

    def span(self, stage: int) -> range:
        """Return the numbers of the chunks of one stage."""
        return range(self.ends[stage - 1] if stage else 0, self.ends[stage])

    def stage_of(self, number: int) -> int:
        """Return the index of the stage that a chunk belongs to."""
        if not 0 <= number < self.tasks:
            raise IndexError(f"task {number} of a job with {self.tasks} tasks")
        return bisect_right(self.ends, number)

    def chunk(self, number: int) -> Index:
        """Return the index of a chunk in its target's grid."""
        stage = self.stage_of(number)
        return self.blocks[stage].chunk(number - self.span(stage).start)

    def block(self, number: int) -> range:
        """Return the numbers of the chunks of the block that a chunk is of."""
        stage = self.stage_of(number)
        first = self.span(stage).start
        run = self.blocks[stage].run(number - first)
        return range(first + run.start, first + run.stop)

    def runs(self, numbers: Iterable[range]) -> Iterator[range]:
        """Cut ranges, which ascend, into the runs that can be one task: without gaps, within one block.

        Takes no more of `numbers` than a run and the range behind it.
        """
        run, block = range(0), range(0)
        for part in numbers:
            at = part.start
            while at < part.stop:
                if not (run and at == run.stop and at in block):
                    if run:
                        yield run
                    run, block = range(at, at), self.block(at)
                at = min(part.stop, block.stop)
                run = range(run.start, at)
        if run:
            yield run
