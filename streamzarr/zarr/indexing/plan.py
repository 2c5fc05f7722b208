"""From a selection to the parts of chunks that it touches: planning only, no I/O.

Integers became ranges of length one, whose axis is dropped from the result only at the very end, so that the
readers and writers of chunks see arrays of the array's own rank. Points see a flat result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from streamzarr.zarr.grid import Axis, Grid
from streamzarr.zarr.indexing.selection import AxisSelection, Indices, Points, Positions, Range, Selection

Index: TypeAlias = tuple[Any, ...]
"""Slices and arrays that numpy takes as an index."""


class Part(NamedTuple):
    """The share of one chunk in a selection: ``result[target] = chunk[source]``, or the reverse.

    A run is several neighbouring chunks of one shape, all selected whole along `axis`: `chunk` is the first,
    `selected` and `source` hold for each of them, and `target` covers all.
    """

    chunk: tuple[int, ...]
    selected: Selection | Points
    """What is selected of the chunk, counted from its own start."""
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

    def chunks(self) -> Iterator[tuple[int, ...]]:
        """Yield the index of every chunk of a run."""
        return (single.chunk for single in self.singles())

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
                chunk=(*self.chunk[:axis], self.chunk[axis] + at, *self.chunk[axis + 1 :]),
                target=(*self.target[:axis], slice(start, start + size), *self.target[axis + 1 :]),
                length=1,
            )


class _AxisPart(NamedTuple):
    chunk: int
    selected: AxisSelection
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
    >>> from streamzarr.zarr.grid import regular_grid
    >>> from streamzarr.zarr.indexing import parse
    >>> for part in plan(parse(slice(1, 9), (9,)), regular_grid((9,), (2,)), run=8):
    ...     print(part.chunk, part.length, part.source, part.target)
    (0,) 1 (slice(1, 2, 1),) (slice(0, 1, None),)
    (1,) 3 (slice(0, 2, 1),) (slice(1, 7, None),)
    (4,) 1 (slice(0, 1, 1),) (slice(7, 8, None),)
    """
    if isinstance(selection, Points):
        return _plan_points(selection, grid)
    cuts = [list(_cut(chosen, axis)) for chosen, axis in zip(selection.axes, grid.axes, strict=True)]
    if any([isinstance(chosen, Indices) for chosen in selection.axes]):  # noqa: C419
        return map(_outer_part, itertools.product(*cuts))
    axis = next((at for at in range(len(cuts) - 1, -1, -1) if len(cuts[at]) > 1), None)
    if axis is None:
        return iter([_part(tuple([cut[0] for cut in cuts]))] if all(cuts) else [])
    if run > 1:
        cuts[axis] = _joined(cuts[axis], grid.axes[axis], run)
    return map(partial(_part, axis=axis), itertools.product(*cuts))


def _joined(cuts: list[_AxisPart], axis: Axis, run: int) -> list[_AxisPart]:
    """Join neighbours that are selected whole and have one size, at most `run` of them."""
    joined: list[_AxisPart] = []
    for cut in cuts:
        if joined:
            last = joined[-1]
            size = axis.size(cut.chunk)
            if (
                last.length < run
                and last.whole
                and cut.whole
                and last.chunk + last.length == cut.chunk
                and last.selected.count == cut.selected.count == size == axis.size(last.chunk)
            ):
                assert isinstance(last.target, slice)
                assert isinstance(cut.target, slice)
                target = slice(last.target.start, cut.target.stop)
                joined[-1] = last._replace(target=target, length=last.length + 1)
                continue
        joined.append(cut)
    return joined


def _part(parts: tuple[_AxisPart, ...], axis: int = 0) -> Part:
    # Lists are faster than generators, and this is done for every read.
    return Part(
        tuple([part.chunk for part in parts]),
        Selection(tuple([part.selected for part in parts])),
        tuple([part.source for part in parts]),
        tuple([part.target for part in parts]),
        all([part.whole for part in parts]),  # noqa: C419
        True,
        parts[axis].length if parts else 1,
        axis,
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
