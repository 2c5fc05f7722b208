"""From a selection to the parts of chunks that it touches: planning only, no I/O.

Integers became ranges of length one, whose axis is dropped from the result only at the very end, so that the
readers and writers of chunks see arrays of the array's own rank. Points see a flat result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from streamzarr.zarr.grid import Axis, Grid
from streamzarr.zarr.indexing.selection import AxisSelection, Indices, Points, Positions, Range, Selection

Index: TypeAlias = tuple[Any, ...]
"""Slices and arrays that numpy takes as an index."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The share of one chunk in a selection: ``result[target] = chunk[source]``, or the reverse."""

    chunk: tuple[int, ...]
    selected: Selection | Points
    """What is selected of the chunk, counted from its own start."""
    source: Index
    target: Index
    whole: bool
    """All of the chunk that lies inside the array is selected, in order."""
    is_view: bool = True
    """Indexing with `source` or `target` gives a view: both are slices."""


@dataclass(frozen=True, slots=True, eq=False)
class _AxisPart:
    chunk: int
    selected: AxisSelection
    source: slice | Positions
    target: slice | Positions
    whole: bool


def plan(selection: Selection | Points, grid: Grid) -> Iterator[Part]:
    """Yield the part of every chunk that `selection` touches; each chunk once."""
    if isinstance(selection, Points):
        return _plan_points(selection, grid)
    cuts = [list(_cut(chosen, axis)) for chosen, axis in zip(selection.axes, grid.axes, strict=True)]
    arrays = sum(isinstance(chosen, Indices) for chosen in selection.axes)
    return map(_part if not arrays else _outer_part, itertools.product(*cuts))


def _part(parts: tuple[_AxisPart, ...]) -> Part:
    return Part(
        tuple([part.chunk for part in parts]),
        Selection(tuple([part.selected for part in parts])),
        tuple([part.source for part in parts]),
        tuple([part.target for part in parts]),
        all([part.whole for part in parts]),  # noqa: C419 - a list is faster on this path
    )


def _outer_part(parts: tuple[_AxisPart, ...]) -> Part:
    """Return the part where some axes have index arrays: an open mesh, since numpy would pair them up."""
    shape = [part.selected.count for part in parts]
    return Part(
        tuple(part.chunk for part in parts),
        Selection(tuple(part.selected for part in parts)),
        _mesh([part.source for part in parts], shape),
        _mesh([part.target for part in parts], shape),
        whole=False,
        is_view=False,
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


def _cut(chosen: AxisSelection, axis: Axis) -> Iterator[_AxisPart]:
    return _cut_range(chosen, axis) if isinstance(chosen, Range) else _cut_indices(chosen, axis)


def _cut_range(chosen: Range, axis: Axis) -> Iterator[_AxisPart]:
    """Cut a range along the chunks of one axis; chunks between two steps are left out."""
    done, start, step = 0, chosen.start, chosen.step
    while done < chosen.count:
        position = start + done * step
        chunk = axis.chunk_of(position)
        first, size, valid = axis.start(chunk), axis.size(chunk), axis.valid(chunk)
        count = min(chosen.count - done, -(-(first + size - position) // step))
        inside = position - first
        yield _AxisPart(
            chunk,
            Range(inside, count, step),
            slice(inside, inside + (count - 1) * step + 1, step),
            slice(done, done + count),
            count == valid and (step == 1 or count == 1),
        )
        done += count


def _cut_indices(chosen: Indices, axis: Axis) -> Iterator[_AxisPart]:
    positions = chosen.positions
    for chunk, target in _grouped(axis.chunks_of(positions)):
        inside = positions[target] - axis.start(chunk)
        yield _AxisPart(chunk, Indices(inside), inside, target, whole=False)


def _plan_points(points: Points, grid: Grid) -> Iterator[Part]:
    if not grid.axes:
        if points.count:
            yield Part((), Selection(()), (), (0,), whole=False, is_view=False)
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
        yield Part(chunk, Points(inside, (len(inside[0]),)), inside, (target,), whole=False, is_view=False)


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
