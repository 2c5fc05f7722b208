"""From what a user writes in brackets to a parsed selection.

Semantics are numpy's, without newaxis; zarr-python's have no negative steps either. Where numpy would mix
slices with several arrays, and move axes, one must say ``oindex`` or ``vindex``.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from streamzarr.zarr.grids.grid import Grid
from streamzarr.zarr.indexing.selection import AxisSelection, Indices, Points, Positions, Range, Selection

_PLAIN = frozenset([slice, int])
"""What most indices consist of; these need no further look."""


def parse(selection: Any, shape: tuple[int, ...]) -> Selection | Points:
    """Parse what stands in ``array[...]``: basic, one array among slices, or only arrays and integers.

    >>> parse((slice(1, 3), [0, 2]), (4, 5)).shape, parse(([0, 1], [2, 3]), (4, 5)).shape
    ((2, 2), (2,))

    Raises
    ------
    IndexError
        Out of bounds, too many indices, or a kind of index that is not supported.
    """
    items = _as_tuple(selection)
    if len(items) <= len(shape) and all([type(item) in _PLAIN for item in items]):  # noqa: C419 - faster
        chosen = [_parse_item(item, axis, shape[axis]) for axis, item in enumerate(items)]
        return Selection((*chosen, *[Range(0, n) for n in shape[len(items) :]]))
    if _is_mask(selection) and np.ndim(selection) == len(shape) != 1:
        return parse_mask(selection, shape)
    items = _expand_ellipsis(items, len(shape))
    lists = sum(_is_list(item) for item in items)
    if not lists:
        return parse_basic(selection, shape)
    if lists == 1:
        return parse_orthogonal(selection, shape)
    if any(isinstance(item, slice) for item in items):
        raise IndexError("several index arrays among slices are ambiguous: use .oindex or .vindex")
    return parse_coordinates(items, shape)


def parse_basic(selection: Any, shape: tuple[int, ...]) -> Selection:
    """Parse integers, slices and an ellipsis.

    >>> parse_basic((-1, slice(0, 5, 2)), (3, 4)).axes[1]
    Range(start=0, count=2, step=2, dropped=False, flipped=False)
    >>> parse_basic(slice(None, 0, -2), (6,)).axes  # 5, 3, 1
    (Range(start=1, count=3, step=2, dropped=False, flipped=True),)
    """
    items = _expand_ellipsis(_as_tuple(selection), len(shape))
    return Selection(
        tuple(_parse_item(item, axis, n) for axis, (item, n) in enumerate(zip(items, shape, strict=True)))
    )


def parse_orthogonal(selection: Any, shape: tuple[int, ...]) -> Selection:
    """Parse integers, slices, and for any axis a list of integers or a mask of its length.

    >>> parse_orthogonal(([2, 0], slice(None), [True, False]), (3, 4, 2)).shape
    (2, 4, 1)
    """
    items = _expand_ellipsis(_as_tuple(selection), len(shape))
    axes: list[AxisSelection] = []
    for axis, (item, n) in enumerate(zip(items, shape, strict=True)):
        if _is_list(item):
            positions = _positions(item, axis, n)
            if positions.ndim != 1:
                raise IndexError(f"axis {axis}: expected a list of integers, got {positions.ndim} dimensions")
            axes.append(Indices(positions))
        else:
            axes.append(_parse_item(item, axis, n))
    return Selection(tuple(axes))


def parse_coordinates(selection: Any, shape: tuple[int, ...]) -> Points:
    """Parse integers and integer arrays for every axis; they are broadcast against each other.

    >>> parse_coordinates(([0, 1], 3), (2, 4)).coordinates[1].tolist()
    [3, 3]
    """
    items = _as_tuple(selection)
    if len(items) != len(shape):
        raise IndexError(f"coordinates: expected an index for each of {len(shape)} axes, got {len(items)}")
    if any(isinstance(item, slice) or item is Ellipsis for item in items):
        raise IndexError("coordinates: expected integers and integer arrays, got a slice; see .oindex")
    arrays = [_positions(item, axis, n) for axis, (item, n) in enumerate(zip(items, shape, strict=True))]
    try:
        joined = np.broadcast_arrays(*arrays)
    except ValueError as error:
        raise IndexError(f"coordinates: {error}") from error
    return Points(tuple(each.ravel() for each in joined), joined[0].shape if joined else ())


def parse_mask(mask: Any, shape: tuple[int, ...]) -> Points:
    """Parse a boolean array of the array's own shape."""
    values = np.asarray(mask)
    if values.dtype != bool or values.shape != shape:
        raise IndexError(f"mask: expected booleans of shape {shape}, got {values.dtype} of {values.shape}")
    if not shape:
        return Points((), (int(values),))
    coordinates = values.nonzero()
    return Points(coordinates, (len(coordinates[0]),))


def parse_blocks(selection: Any, grid: Grid) -> Selection:
    """Parse integers and slices that count chunks, not elements.

    >>> from streamzarr.zarr.grids.grid import regular_grid
    >>> parse_blocks((1, slice(0, 2)), regular_grid((5, 9), (2, 3))).axes[1]
    Range(start=0, count=6, step=1, dropped=False, flipped=False)
    """
    axes: list[AxisSelection] = []
    for chosen, axis in zip(parse_basic(selection, grid.shape).axes, grid.axes, strict=True):
        assert isinstance(chosen, Range)
        if (chosen.step != 1 or chosen.flipped) and chosen.count > 1:
            raise IndexError("blocks: only slices with step 1 are supported")
        if not chosen.count:
            axes.append(Range(0, 0))
            continue
        last = chosen.start + chosen.count - 1
        start = axis.start(chosen.start)
        axes.append(Range(start, axis.start(last) + axis.valid(last) - start))
    return Selection(tuple(axes))


def name_axes(named: Mapping[str, Any], names: Iterable[str | None] | None) -> tuple[Any, ...]:
    """Return the selection that `named` gives by dimension name; axes that are not named are taken whole.

    >>> name_axes({"x": 3}, ["y", "x"])
    (slice(None, None, None), 3)
    """
    known = list(names or ())
    for name in named:
        if known.count(name) != 1:
            raise IndexError(f"no one dimension is named {name!r}; the names are {known}")
    return tuple(named.get(name, slice(None)) if name is not None else slice(None) for name in known)


def _as_tuple(selection: Any) -> tuple[Any, ...]:
    return selection if isinstance(selection, tuple) else (selection,)


def _is_list(item: Any) -> bool:
    return isinstance(item, list) or (isinstance(item, np.ndarray) and item.ndim > 0)


def _is_mask(item: Any) -> bool:
    return _is_list(item) and np.asarray(item).dtype == bool


def _expand_ellipsis(items: tuple[Any, ...], rank: int) -> tuple[Any, ...]:
    ellipses = [position for position, item in enumerate(items) if item is Ellipsis]
    if len(ellipses) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    given = len(items) - len(ellipses)
    if given > rank:
        raise IndexError(f"too many indices for array; expected {rank}, got {given}")
    at = ellipses[0] if ellipses else len(items)
    return (*items[:at], *[slice(None)] * (rank - given), *items[at + len(ellipses) :])


def _parse_item(item: Any, axis: int, extent: int) -> Range:
    if isinstance(item, slice):
        start, stop, step = item.indices(extent)
        if step < 0:
            chosen = range(start, stop, step)
            return Range(chosen[-1], len(chosen), -step, flipped=True) if chosen else Range(0, 0)
        return Range(start, max(0, stop - start) if step == 1 else len(range(start, stop, step)), step)
    try:
        if isinstance(item, bool):
            raise TypeError
        position = operator.index(item)
    except TypeError:
        raise IndexError(
            f"axis {axis}: unsupported selection item; expected integer or slice, got {type(item).__name__}"
        ) from None
    if not -extent <= position < extent:
        raise IndexError(f"index {position} is out of bounds for axis {axis} with length {extent}")
    return Range(position % extent, 1, dropped=True)


def _positions(item: Any, axis: int, extent: int) -> Positions:
    """Return integers, or the places of a mask's true values, as positions from 0."""
    values = np.asarray(item)
    if values.dtype == bool:
        if values.shape != (extent,):
            raise IndexError(f"axis {axis}: expected a mask of length {extent}, got shape {values.shape}")
        return values.nonzero()[0]
    if values.size == 0:
        return np.zeros(values.shape, np.intp)
    if values.dtype.kind not in "iu":
        raise IndexError(f"axis {axis}: unsupported selection item; expected integers, got {values.dtype}")
    if values.min() < -extent or values.max() >= extent:
        worst = values.min() if values.min() < -extent else values.max()
        raise IndexError(f"index {worst} is out of bounds for axis {axis} with length {extent}")
    positions: Positions = np.where(values < 0, values + extent, values).astype(np.intp)
    return positions
