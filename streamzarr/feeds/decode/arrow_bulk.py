"""What Arrow's arrays become once each value stands by itself: a few bytes may be pointed at many times.

Only types by which values are shared are looked at; of all others a message has every value in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.base import OBJECT_BYTES

_VIEW: Final = 4
"""Integers of 32 bits in a view of a text, of which the first is its length."""
_MOST_RUNS: Final = 1 << 20
"""Rows up to which it is looked up in which run each is; a run of a few bytes may say any number."""


class Bulk:
    """How much some arrays of one type become.

    Examples
    --------
    >>> import pyarrow as pa
    >>> words = pa.DictionaryArray.from_arrays(pa.array([0, 0, 1]), pa.array(["abc", "d"]))
    >>> str(Bulk([words])), Bulk([words]).nbytes
    ('3 texts of up to 3 bytes by a dictionary', 7)
    """

    def __init__(self, arrays: Sequence[Any]) -> None:
        self._shared = [each for each in arrays if shares(each.type)]
        sizes = list(map(_sizes, self._shared))
        self.nbytes = sum(_total(each, len(array)) for each, array in zip(sizes, self._shared, strict=True))
        """Of all values, each by itself; 0 where none are shared."""
        self._longest = max((int(each.max(initial=0)) for each in sizes), default=0)

    def __str__(self) -> str:
        kind: Any = self._shared[0].type if self._shared else None
        if _layout(kind) == "dictionary" and _layout(kind.value_type) in ("runs", "union"):
            kind = kind.value_type  # in which nulls of structs are put by a dictionary
        what = "texts" if _is_text(kind) else "values"
        how = {"dictionary": "a dictionary", "runs": "runs", "": "views"}.get(_layout(kind), "a union")
        return f"{sum(map(len, self._shared))} {what} of up to {self._longest} bytes by {how}"


def shares(kind: Any) -> bool:
    """Tell whether several values of a type may be one in memory; nested ones are no values."""
    layout = _layout(kind)
    return (
        layout in ("dictionary", "runs", "union")
        or is_view(kind)
        or (layout == "extension" and shares(kind.storage_type))
    )


def is_plain(kind: Any) -> bool:
    """Tell whether each value of a type is in memory by itself, and no list or struct."""
    if _layout(kind) == "extension":
        return is_plain(kind.storage_type)
    return not _layout(kind) and not is_view(kind)


def is_view(kind: Any) -> bool:
    """Tell whether a type is of views of texts or bytes."""
    import pyarrow as pa

    return kind is not None and bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def has_views(kind: Any) -> bool:
    """Tell whether there are views anywhere in a type."""
    layout = _layout(kind)
    if layout in ("dictionary", "runs"):
        return has_views(kind.value_type)
    if layout == "extension":
        return has_views(kind.storage_type)
    if layout:
        return any(has_views(kind.field(at).type) for at in range(kind.num_fields))
    return is_view(kind)


def views_bytes(array: Any) -> int:
    """Return the bytes that all views of an array show, those that are deep in it, too."""
    if is_view(array.type):
        return _total(_view_sizes(array), len(array))
    return sum(map(views_bytes, _parts(array))) if has_views(array.type) else 0


def is_nested(array: Any) -> bool:
    """Tell whether an array has lists, structs or maps for values, and not nulls alone."""
    layout = _layout(array.type)
    if layout == "nested":
        return bool(array.null_count < len(array))
    return layout != "" and any(map(is_nested, _parts(array)))


def runs_at(array: Any, rows: NDArray[Any]) -> NDArray[np.intp]:
    """Return the numbers of the runs, of a run-end encoded array, in which rows are."""
    ends = array.run_ends.to_numpy()
    found: NDArray[np.intp] = np.searchsorted(ends, rows.astype(np.intp) + array.offset, side="right")
    return found


def _sizes(array: Any) -> NDArray[np.float64]:
    """Return at most how many bytes each value is by itself; one number where all are alike."""
    layout = _layout(array.type)
    if layout == "dictionary":
        return _at(_sizes(array.dictionary), array.indices.fill_null(0).to_numpy())
    if layout == "runs":
        each = _sizes(array.values)
        if len(each) > 1 and len(array) <= _MOST_RUNS:
            return _at(each, runs_at(array, np.arange(len(array))))
        return _longest(each)
    if layout == "union":
        inner = list(map(_sizes, _parts(array)))
        if array.type.mode == "dense":  # rows of it, too, may be one value
            inner = list(map(_longest, inner))
        return reduce(np.maximum, inner, np.full(1, OBJECT_BYTES, np.float64))
    if layout == "extension":
        return _sizes(array.storage)
    return _plain_sizes(array)


def _plain_sizes(array: Any) -> NDArray[np.float64]:
    import pyarrow as pa

    kind, types = array.type, pa.types
    if is_view(kind):
        return _view_sizes(array)
    large = types.is_large_string(kind) or types.is_large_binary(kind)
    if large or types.is_string(kind) or types.is_binary(kind):
        ends = array.buffers()[1]
        if ends is None or not len(array):
            return np.zeros(len(array))
        dtype = np.dtype("i8" if large else "i4")
        offsets = np.frombuffer(ends, dtype, len(array) + 1, array.offset * dtype.itemsize)
        return np.diff(offsets).astype(np.float64)
    variable = types.is_null(kind) or _layout(kind) == "nested"  # of which there are nulls alone
    return np.full(1, 8 if variable else max(8, kind.bit_width // 8), np.float64)


def _view_sizes(array: Any) -> NDArray[np.float64]:
    """Return the lengths that views state; they need not have been validated."""
    views = array.buffers()[1]
    if views is None or not len(array):
        return np.zeros(len(array))
    lengths = np.frombuffer(views, "i4", _VIEW * len(array), 4 * _VIEW * array.offset)[::_VIEW]
    there = array.is_valid().to_numpy(zero_copy_only=False)
    shown: NDArray[np.float64] = np.maximum(lengths, 0) * there.astype(np.float64)
    return shown


def _at(each: NDArray[np.float64], rows: NDArray[Any]) -> NDArray[np.float64]:
    return each if len(each) <= 1 else each.take(rows.astype(np.intp))


def _longest(each: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full(1, each.max(initial=0), np.float64)


def _total(each: NDArray[np.float64], count: int) -> int:
    return int(each.sum() if len(each) == count else each.max(initial=0) * count)


def _layout(kind: Any) -> str:
    """Return by what, other than itself, a value of a type is had; empty: by nothing."""
    import pyarrow as pa

    if kind is None:
        return ""
    if isinstance(kind, pa.BaseExtensionType):
        return "extension"
    if pa.types.is_dictionary(kind):
        return "dictionary"
    if pa.types.is_run_end_encoded(kind):
        return "runs"
    if pa.types.is_union(kind):
        return "union"
    return "nested" if pa.types.is_nested(kind) else ""


def _parts(array: Any) -> list[Any]:
    """Return the arrays that an array has its values of."""
    import pyarrow as pa

    layout, kind = _layout(array.type), array.type
    if layout == "dictionary":
        return [array.dictionary]
    if layout == "extension":
        return [array.storage]
    if layout == "union" or pa.types.is_struct(kind):
        return [array.field(at) for at in range(kind.num_fields)]
    return [array.values] if layout else []


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if _layout(kind) in ("dictionary", "runs"):
        return _is_text(kind.value_type)
    types = pa.types
    return kind is not None and bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    )
