"""Searching the values of a sorted field: the chunk first, then within it.

The commit record says between which chunks, as far as its bounds go (``bounds``). Of the chunks in between
one for each halving is read, and the cache keeps them for the next search.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np

from streamzarr.stream.edges import BEFORE, BEHIND, edge
from streamzarr.stream.field_rows import FieldRows
from streamzarr.stream.labels import as_label
from streamzarr.stream.schema import is_sorted


def rows_at(values: FieldRows, wanted: Any) -> tuple[int, int]:
    """Return where the rows begin and end whose values are those that `wanted` means, counted from 0.

    Parameters
    ----------
    wanted
        A value or a slice of two, either of which may be None; see :mod:`streamzarr.stream.labels`.

    Raises
    ------
    ValueError
        The field is not sorted, or the slice has a step.
    KeyError
        No row has this value; slices may be empty.
    TypeError
        It cannot be compared.
    """
    _check_sorted(values)
    if isinstance(wanted, slice):
        if wanted.step is not None:
            raise ValueError(f"{values.url}: a slice of values has no step, got {wanted.step!r}")
        begin = 0 if wanted.start is None else first_from(values, wanted.start)
        end = len(values) if wanted.stop is None else _behind(values, wanted.stop)
        return begin, max(begin, end)
    begin, end = first_from(values, wanted), _behind(values, wanted)
    if begin == end:
        raise KeyError(f"{values.url}: no row has {wanted!r}")
    return begin, end


def first_from(values: FieldRows, wanted: Any) -> int:
    """Return the first row whose value is at least `wanted`, counted from 0; all are before it if none is.

    Raises as :func:`rows_at`.
    """
    _check_sorted(values)
    return place_of(values, as_label(wanted, values.dtype, values.url).first, "left")


def _behind(values: FieldRows, wanted: Any) -> int:
    label = as_label(wanted, values.dtype, values.url)
    return place_of(values, label.last, "left" if label.is_open else "right")


def _check_sorted(values: FieldRows) -> None:
    if not is_sorted(values.view.document.fields[values.name]):
        raise ValueError(f"{values.url}: the field is not sorted; only Field(…, sorted=True) is searched")


def place_of(values: FieldRows, value: Any, side: str) -> int:
    """Return where `value` belongs: left or right of those that are equal."""
    value = edge(value, side, values.dtype)
    if not len(values) or value is BEFORE:
        return 0
    if value is BEHIND:
        return len(values)
    starts = values.chunk_starts
    bisect = bisect_left if side == "left" else bisect_right
    low, high = _chunks_around(values, value, side)
    chunk = bisect(starts, value, low, high, key=lambda start: values[start][()])
    start = starts[chunk - 1] if chunk else 0
    stop = starts[chunk] if chunk < len(starts) else len(values)
    return start + int(np.searchsorted(values[start:stop], value, side=side))  # type: ignore[call-overload]


def _chunks_around(values: FieldRows, value: Any, side: str) -> tuple[int, int]:
    """Return between which of the chunks the search is to be made, by what the commit record says."""
    starts, bounds = values.chunk_starts, values.view.document.record.bounds.get(values.name)
    if bounds is None:
        return 0, len(starts)
    before, behind = bounds.around(value, side, values.dtype, values.url)
    low = bisect_right(starts, before - values.start)
    return low, len(starts) if behind is None else max(low, bisect_left(starts, behind - values.start))
