"""From a selection to the parts of chunks that it touches: planning only, no I/O.

Integers became ranges of length one, whose axis is dropped from the result only at the very end, so that the
readers and writers of chunks see arrays of the array's own rank. Points see a flat result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from streamzarr.zarr.grids.grid import Axis, Grid
from streamzarr.zarr.indexing.selection import AxisSelection, Indices, Points, Positions, Range, Selection

Index: TypeAlias = tuple[Any, ...]
"""Slices and arrays that numpy takes as an index."""


class Part(NamedTuple):
    """The share of one chunk in a selection: ``result[target] = chunk[source]``, or the reverse.

    A run is several neighbouring chunks of one shape, all selected whole along `axis`: `chunk` is the first,
    `source` holds for each of them, and `target` covers all.
    """

    chunk: tuple[int, ...]
    source: Index
    target: Index
    whole: bool
    """All of the chunk that lies inside the array is selected, in order."""
    is_view: bool = True
    """Indexing with `source` or `target` gives a view: both are slices."""
    length: int = 1
    """Chunks of the run."""
    axis: int = 0
    """The axis along which a run goes."""
    arrays: Selection | Points | None = None
    """What is selected, where it is not a view."""

    @property
    def selected(self) -> Selection | Points:
        """What is selected of each chunk, counted from its own start."""
        if self.arrays is not None:
            return self.arrays
        return Selection(
            tuple([Range(s.start, -(-(s.stop - s.start) // s.step), s.step) for s in self.source])
        )

    def chunk_at(self, position: int) -> tuple[int, ...]:
        """Return the index of a run's chunk."""
        axis = self.axis
        if not position:  # the one chunk of an array without axes, too
            return self.chunk
        return (*self.chunk[:axis], self.chunk[axis] + position, *self.chunk[axis + 1 :])

    def singles(self) -> Iterator[Part]:
        """Yield a run's chunks one by one."""
        if self.length == 1:
            yield self
            return
        axis, target = self.axis, self.target[self.axis]
        size = (target.stop - target.start) // self.length
        for at in range(self.length):
            start = target.start + at * size
            yield self._replace(
                chunk=self.chunk_at(at),
                target=(*self.target[:axis], slice(start, start + size), *self.target[axis + 1 :]),
                length=1,
            )


class _AxisPart(NamedTuple):
    chunk: int
    source: slice | Positions
    target: slice | Positions
    whole: bool
    length: int = 1


def plan(selection: Selection | Points, grid: Grid, run: int = 1) -> Iterator[Part]:
    """Yield the part of every chunk that `selection` touches; each chunk once.

    Parameters
    ----------
    run
        Most chunks of one part. Runs go along the last axis on which the selection touches several chunks, so
        that a run of an array in C order is one block of the result.

    Examples
    --------
    >>> from streamzarr.zarr.grids.grid import regular_grid
    >>> from streamzarr.zarr.indexing import parse
    >>> for part in plan(parse(slice(1, 9), (9,)), regular_grid((9,), (2,)), run=8):
    ...     print(part.chunk, part.length, part.source, part.target)
    (0,) 1 (slice(1, 2, 1),) (slice(0, 1, None),)
    (1,) 3 (slice(0, 2, 1),) (slice(1, 7, None),)
    (4,) 1 (slice(0, 1, 1),) (slice(7, 8, None),)
    """
    if isinstance(selection, Points):
        return _plan_points(selection, grid)
    cuts = [_cut(chosen, axis) for chosen, axis in zip(selection.axes, grid.axes, strict=True)]
    if any([isinstance(chosen, Indices) for chosen in selection.axes]):  # noqa: C419
        return map(_outer_part, itertools.product(*cuts))
    axis = next((at for at in range(len(cuts) - 1, -1, -1) if len(cuts[at]) > 1), 0)
    if run > 1 and cuts:
        cuts[axis] = _joined(cuts[axis], grid.axes[axis], run)
    return map(partial(_part, axis=axis), itertools.product(*cuts))


def only_part(selection: Selection | Points, grid: Grid) -> Part | None:
    """Return the one part of a plan for slices and integers that stay within one chunk, else None.

    The short way for small reads, for which planning would cost more than reading.
    """
    if isinstance(selection, Points):
        return None
    chunk, source, target, whole = [], [], [], True
    for chosen, axis in zip(selection.axes, grid.axes, strict=True):
        if isinstance(chosen, Indices) or not chosen.count:
            return None
        start, count, step, *_ = chosen
        at = axis.chunk_of(start)
        inside = start - axis.start(at)
        stop = inside + (count - 1) * step + 1
        if stop > axis.size(at):
            return None
        chunk.append(at)
        source.append(slice(inside, stop, step))
        target.append(slice(0, count))
        whole = whole and count == axis.valid(at)
    return Part(tuple(chunk), tuple(source), tuple(target), whole)


def _joined(cuts: list[_AxisPart], axis: Axis, run: int) -> list[_AxisPart]:
    """Join neighbours that are selected whole and have one size, at most `run` of them."""
    joined: list[_AxisPart] = []
    at = 0
    while at < len(cuts):
        first, end = cuts[at], at + 1
        source = first.source
        if isinstance(source, slice) and first.whole and source == slice(0, axis.size(first.chunk), 1):
            most = min(at + run, len(cuts))
            while end < most and cuts[end].source == source and axis.size(cuts[end].chunk) == source.stop:
                end += 1
        if end - at > 1:
            begin, last = first.target, cuts[end - 1].target
            assert isinstance(begin, slice)
            assert isinstance(last, slice)
            first = first._replace(target=slice(begin.start, last.stop), length=end - at)
        joined.append(first)
        at = end
    return joined


def _part(parts: Sequence[_AxisPart], axis: int = 0) -> Part:
    # Lists are faster than generators, and this is done for every read.
    return Part(
        tuple([part.chunk for part in parts]),
        tuple([part.source for part in parts]),
        tuple([part.target for part in parts]),
        all([part.whole for part in parts]),  # noqa: C419
        True,
        parts[axis].length if parts else 1,
        axis,
    )


def _outer_part(parts: tuple[_AxisPart, ...]) -> Part:
    """Return the part where some axes have index arrays: an open mesh, since numpy would pair them up."""
    selected = [
        Range(s.start, -(-(s.stop - s.start) // s.step), s.step) if isinstance(s, slice) else Indices(s)
        for s in (part.source for part in parts)
    ]
    shape = [each.count for each in selected]
    return Part(
        tuple(part.chunk for part in parts),
        _mesh([part.source for part in parts], shape),
        _mesh([part.target for part in parts], shape),
        whole=False,
        is_view=False,
        arrays=Selection(tuple(selected)),
    )


def _mesh(items: list[slice | Positions], shape: list[int]) -> Index:
    arrays = [
        item if not isinstance(item, slice) else np.arange(item.start, item.stop, item.step or 1)
        for item in items
    ]
    return tuple(
        each.reshape([n if at == axis else 1 for at, n in enumerate(shape)])
        for axis, each in enumerate(arrays)
    )


def _cut(chosen: AxisSelection, axis: Axis) -> list[_AxisPart]:
    return _cut_range(chosen, axis) if isinstance(chosen, Range) else list(_cut_indices(chosen, axis))


def _cut_range(chosen: Range, axis: Axis) -> list[_AxisPart]:
    """Cut a range along the chunks of one axis; chunks between two steps are left out."""
    start, total, step, *_ = chosen
    cuts: list[_AxisPart] = []
    done = 0
    while done < total:
        position = start + done * step
        chunk = axis.chunk_of(position)
        inside = position - axis.start(chunk)
        count = min(total - done, -(-(axis.size(chunk) - inside) // step))
        cuts.append(
            _AxisPart(
                chunk,
                slice(inside, inside + (count - 1) * step + 1, step),
                slice(done, done + count),
                count == axis.valid(chunk) and (step == 1 or count == 1),
            )
        )
        done += count
    return cuts


def _cut_indices(chosen: Indices, axis: Axis) -> Iterator[_AxisPart]:
    positions = chosen.positions
    for chunk, target in _grouped(axis.chunks_of(positions)):
        inside = positions[target] - axis.start(chunk)
        yield _AxisPart(chunk, inside, target, whole=False)


def _plan_points(points: Points, grid: Grid) -> Iterator[Part]:
    if not grid.axes:
        if points.count:
            yield Part((), (), (0,), whole=False, is_view=False, arrays=Selection(()))
        return
    if not points.count:
        return
    chunks = [axis.chunks_of(each) for axis, each in zip(grid.axes, points.coordinates, strict=True)]
    for linear, target in _grouped(np.ravel_multi_index(chunks, grid.shape)):
        chunk = tuple(int(c) for c in np.unravel_index(linear, grid.shape))
        inside = tuple(
            each[target] - axis.start(c)
            for axis, each, c in zip(grid.axes, points.coordinates, chunk, strict=True)
        )
        selected = Points(inside, (len(inside[0]),))
        yield Part(chunk, inside, (target,), whole=False, is_view=False, arrays=selected)


def _grouped(numbers: Positions) -> Iterator[tuple[int, slice | Positions]]:
    """Yield each distinct number, and where it is: a slice where the numbers are sorted, else positions."""
    if not len(numbers):
        return
    steps = np.diff(numbers)
    order = None if (steps >= 0).all() else np.argsort(numbers, kind="stable")
    ordered = numbers if order is None else numbers[order]
    bounds = [0, *(np.flatnonzero(np.diff(ordered)) + 1).tolist(), len(numbers)]
    for start, stop in itertools.pairwise(bounds):
        yield int(ordered[start]), slice(start, stop) if order is None else order[start:stop]


def count_parts(selection: Selection | Points, grid: Grid) -> int:
    """Return an upper bound of the number of parts that :func:`plan` yields, without planning."""
    if isinstance(selection, Points):
        return min(selection.count, grid.size)
    return math.prod(_count(chosen, axis) for chosen, axis in zip(selection.axes, grid.axes, strict=True))


def _count(chosen: AxisSelection, axis: Axis) -> int:
    if not chosen.count:
        return 0
    if isinstance(chosen, Indices):
        return min(chosen.count, axis.count)
    last = chosen.start + (chosen.count - 1) * chosen.step
    return axis.chunk_of(last) - axis.chunk_of(chosen.start) + 1
