"""Chunks of a task that are carried out together: their source is one box, which is read in one go. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from streamzarr.errors import MessageError
from streamzarr.jobs.numbering import Blocks, Index, Region, chunk_region, grid_shape
from streamzarr.jobs.wire import Layout, Stage, Task


def blocks_of(stage: Stage, task: Task) -> tuple[Blocks, int]:
    """Return the blocks of the task's grid, and the number in them of its first chunk.

    Raises
    ------
    streamzarr.errors.MessageError
        The task is none of this stage: not all its chunks are in the grid, or of one block.
    """
    grid = grid_shape(stage.layout)
    if len(task.chunk) != len(grid) or any(not 0 <= i < n for i, n in zip(task.chunk, grid, strict=True)):
        raise MessageError(f"chunk {list(task.chunk)} is outside the grid {list(grid)} of {stage.target}")
    blocks = Blocks.of(stage)
    first = blocks.number(task.chunk)
    if (run := blocks.run(first)).stop < first + task.count:
        raise MessageError(
            f"a task of {task.count} chunks from {list(task.chunk)} on in {stage.target}, expected at most "
            f"the {run.stop - first} that are left of its block"
        )
    return blocks, first


def part_of(task: Task, stage: Stage, numbers: range) -> Task:
    """Return a task for some of the chunks of `task`."""
    blocks, first = blocks_of(stage, task)
    chunk = blocks.chunk(first + numbers.start - task.task)
    return Task(task.v, task.job, numbers.start, chunk, task.stage, len(numbers))


@dataclass(frozen=True, slots=True)
class Box:
    """Chunks with their numbers, at least one, and the box of the grid that they lie in.

    Examples
    --------
    >>> box = Box.of([(7, (0, 0)), (8, (0, 1)), (9, (1, 0))])
    >>> box.low, box.high, box.is_sparse
    ((0, 0), (2, 2), False)
    >>> [half.numbers for half in box.halves()]
    [(7, 8), (9,)]
    """

    chunks: tuple[tuple[int, Index], ...]
    low: Index
    high: Index
    """Behind the last chunk along each axis."""

    @classmethod
    def of(cls, chunks: Iterable[tuple[int, Index]]) -> Self:
        """Return the box of these chunks."""
        chunks = tuple(chunks)
        along = list(zip(*(chunk for _, chunk in chunks), strict=True))
        return cls(chunks, tuple(map(min, along)), tuple(max(indices) + 1 for indices in along))

    @classmethod
    def of_task(cls, stage: Stage, task: Task, numbers: Iterable[int]) -> Self:
        """Return the box of some chunks of a task; raises ``MessageError`` where it is none of the stage."""
        blocks, first = blocks_of(stage, task)
        return cls.of((number, blocks.chunk(first + number - task.task)) for number in numbers)

    def __len__(self) -> int:
        return len(self.chunks)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of its chunks."""
        return tuple(number for number, _ in self.chunks)

    @property
    def is_sparse(self) -> bool:
        """Whether more than half of what lies in it is not wanted, after an interruption for example."""
        return 2 * len(self) < math.prod(high - low for low, high in zip(self.low, self.high, strict=True))

    def region(self, layout: Layout) -> Region:
        """Return the part of the target that it covers."""
        first = chunk_region(layout, self.low)
        last = chunk_region(layout, tuple(high - 1 for high in self.high))
        return tuple(slice(a.start, b.stop) for a, b in zip(first, last, strict=True))

    def halves(self) -> tuple[Self, Self]:
        """Cut it across its longest axis, in chunks; it must have two."""
        widths = [high - low for low, high in zip(self.low, self.high, strict=True)]
        axis = widths.index(max(widths))
        middle = self.low[axis] + widths[axis] // 2
        lower = [each for each in self.chunks if each[1][axis] < middle]
        upper = [each for each in self.chunks if each[1][axis] >= middle]
        return self.of(lower), self.of(upper)


def part_within(region: Region, box: Region) -> Region:
    """Return where `region` lies in what was read of `box`.

    >>> part_within((slice(6, 8),), (slice(4, 10),))
    (slice(2, 4, None),)
    """
    return tuple(
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(region, box, strict=True)
    )
