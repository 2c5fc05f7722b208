"""Cutting a job into tasks: one task for each target chunk, numbered through all stages of the job.

Pure: shapes in, numbers and slices out. Tasks are cut along *target* chunks, so a task owns what it writes,
can run twice, and two tasks never share an object.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
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
class Plan:
    """The numbering of all tasks of a job: stage after stage, chunks in C order."""

    stages: tuple[Stage, ...]
    ends: tuple[int, ...]
    """Number of the first task after each stage."""

    @classmethod
    def of(cls, stages: Sequence[Stage]) -> Plan:
        """Return the plan of a job with these stages."""
        return cls(tuple(stages), tuple(accumulate(stage.layout.tasks for stage in stages)))

    @property
    def tasks(self) -> int:
        """Number of tasks in all stages."""
        return self.ends[-1]

    def span(self, stage: int) -> range:
        """Return the numbers of the tasks of one stage."""
        return range(self.ends[stage - 1] if stage else 0, self.ends[stage])

    def stage_of(self, task: int) -> int:
        """Return the index of the stage that a task belongs to."""
        if not 0 <= task < self.tasks:
            raise IndexError(f"task {task} of a job with {self.tasks} tasks")
        return bisect_right(self.ends, task)

    def chunk(self, task: int) -> Index:
        """Return the target chunk that a task writes."""
        stage = self.stage_of(task)
        index = task - self.span(stage).start
        chunk = []
        for size in reversed(grid_shape(self.stages[stage].layout)):
            index, i = divmod(index, size)
            chunk.append(i)
        return tuple(reversed(chunk))
