"""The block for one pass: the source decoded as few times as possible within a bound, by many tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamzarr.jobs.planner.axes import Even, Steps
from streamzarr.jobs.planner.cost import Requests, idle, reading
from streamzarr.jobs.planner.ends import Axes, Pass, Source, Target, held_of, pass_of
from streamzarr.jobs.wire import MAX_BLOCK

ALL_BELOW = 32
"""Lengths of block up to this one are all looked at, and all that cut an axis into at most so many."""
STEP = 1.15
"""Between them, each is so many times the one before."""
KEPT = 192
"""Combinations of lengths that are carried on from axis to axis, at most."""
SAME = 1.02
"""Times a cost that count as the same cost."""
GROWN_BYTES = 4 << 20
"""Decoded bytes of target in a task from which on the cost of the task does not count."""
MANY_TASKS = 128
"""Blocks do not grow for that cost alone where fewer tasks than this would be left."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Choices:
    """Blocks, one a row, in ascending order of their cells."""

    blocks: npt.NDArray[np.int64]
    """Chunks along each of the axes so far."""
    cells: Floats
    decoded: Floats
    """Cells that are decoded in all blocks together."""
    reads: Floats
    """Objects that are asked for by all blocks together."""
    tasks: Floats

    def take(self, rows: npt.NDArray[np.intp]) -> _Choices:
        return _Choices(self.blocks[rows], *(column[rows] for column in self._numbers()))

    def times(self, other: _Choices) -> _Choices:
        """Return every combination with a block along one more axis."""
        rows = np.repeat(self.blocks, len(other.blocks), axis=0)
        more = np.tile(other.blocks, (len(self.blocks), 1))
        numbers = zip(self._numbers(), other._numbers(), strict=True)
        return _Choices(np.concatenate([rows, more], axis=1), *(np.outer(a, b).ravel() for a, b in numbers))

    def within(self, cells: float) -> _Choices:
        """Return those of at most so many cells that one task may have."""
        few = self.blocks.prod(axis=1, dtype=np.float64) <= MAX_BLOCK
        return self.take(np.flatnonzero(few & (self.cells <= cells)))

    def block(self, row: int) -> Axes:
        """Return the chunks along each axis of one of them."""
        return tuple(self.blocks[row].tolist())

    def best(self) -> _Choices:
        """Return those that no smaller one equals, neither in what is decoded nor in what is asked for."""
        order = np.lexsort((self.decoded * self.reads, self.cells))
        kept = np.union1d(_falling(self.decoded[order]), _falling(self.reads[order]))
        if len(kept) > KEPT:
            kept = kept[np.linspace(0, len(kept) - 1, KEPT).round().astype(np.intp)]
        return self.take(order[kept])

    def _numbers(self) -> tuple[Floats, Floats, Floats, Floats]:
        return self.cells, self.decoded, self.reads, self.tasks


def one_pass(source: Source, target: Target, max_bytes: int, requests: Requests) -> Pass:
    """Return the pass from `source` to `target` with the best block for tasks that hold `max_bytes` at most.

    A task is at least one chunk, even if that is more.

    Examples
    --------
    >>> from streamzarr.jobs.planner.cost import FILES
    >>> maps = Source.of((128, 512, 1024), (1, 512, 1024), 4)
    >>> found = one_pass(maps, Target((128, 512, 1024), (128, 32, 64), 4), 1 << 30, FILES)
    >>> found.block, found.decoded
    ((1, 16, 16), 1.0)
    """
    block = (1,) * len(target.chunks)
    if math.prod(target.grid) > 1 and source.cells:
        block = _grown(source, target, _least(source, target, max_bytes, requests), max_bytes)
    return pass_of(source, target, block)


def _least(source: Source, target: Target, max_bytes: int, requests: Requests) -> Axes:
    """Return the smallest block with which reading costs the least; one chunk where not even that fits."""
    axes = [_along(*axis) for axis in zip(source.chunks, source.stored, target.steps, strict=True)]
    most = max_bytes / source.itemsize
    choices = axes[0].within(most)
    for axis in axes[1:]:
        choices = choices.times(axis).within(most).best()
    seconds = idle(choices.tasks) * reading(choices.decoded * source.itemsize, choices.reads, requests)

    def first(rows: Iterable[int]) -> int | None:
        return next((row for row in rows if held_of(source, target, choices.block(row)) <= max_bytes), None)

    cheapest = first(np.argsort(seconds, kind="stable").tolist())
    if cheapest is None:
        return (1,) * len(axes)
    smallest = first(np.flatnonzero(seconds <= seconds[cheapest] * SAME).tolist())
    return choices.block(cheapest if smallest is None else smallest)


def _grown(source: Source, target: Target, block: Axes, max_bytes: int) -> Axes:
    """Return a multiple of `block` with which the cost of a task does not count; no more is decoded."""
    unit = math.prod(target.chunks) * target.itemsize
    for axis in reversed(range(len(block))):
        blocks = [-(-n // length) for n, length in zip(target.grid, block, strict=True)]
        chunks = math.prod(block)
        times = min(
            blocks[axis], GROWN_BYTES // (chunks * unit), MAX_BLOCK // chunks, math.prod(blocks) // MANY_TASKS
        )
        while times > 1:
            even = -(-blocks[axis] // -(-blocks[axis] // times))
            larger = (*block[:axis], block[axis] * even, *block[axis + 1 :])
            if held_of(source, target, larger) <= max_bytes:
                block = larger
                break
            times //= 2
    return block


def _along(chunks: Steps, stored: Steps, step: int) -> _Choices:
    """Return the blocks along one axis that are worth it; a chunk of the target takes `step` cells of it."""
    count = -(-chunks.size // step)
    lengths = sorted(_lengths(count, chunks, step) | _lengths(count, stored, step))
    again = [chunks.again(length * step) for length in lengths]
    more = again if stored is chunks else [stored.again(length * step) for length in lengths]
    return _Choices(
        np.array(lengths, np.int64)[:, None],
        np.array([min(length * step, chunks.size) for length in lengths], np.float64),
        np.array([chunks.size + found.cells for found in again], np.float64),
        np.array([stored.count + found.chunks for found in more], np.float64),
        np.array([-(-count // length) for length in lengths], np.float64),
    ).best()


def _lengths(count: int, source: Steps, step: int) -> set[int]:
    """Return lengths of block, in chunks, of which one may be the best.

    Of longer ones the best begin as often as can be with a chunk of the source: where their length divides
    the period with which both grids meet.
    """
    found = {*range(1, min(count, ALL_BELOW) + 1), count}
    found |= {-(-count // blocks) for blocks in range(1, min(count, ALL_BELOW) + 1)}
    length = float(ALL_BELOW)
    while (length := length * STEP) < count:
        found.add(int(length))
    if isinstance(source, Even):
        period = source.step // math.gcd(source.step, step)
        for small in range(1, min(math.isqrt(period), count) + 1):
            if period % small == 0:
                found |= {length for length in (small, period // small) if length <= count}
    return found


def _falling(values: Floats) -> npt.NDArray[np.intp]:
    """Return the places of the values that are less than all before them."""
    before = np.minimum.accumulate(np.concatenate([[np.inf], values[:-1]]))
    return np.flatnonzero(values < before)
