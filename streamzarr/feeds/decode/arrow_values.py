"""Values of a column out of Arrow's arrays; nothing of a hostile array is trusted but what was validated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.arrow_bulk import is_view, runs_at, shares
from streamzarr.feeds.decode.texts import Texts
from streamzarr.feeds.decode.values import MISSING, LocalTimes, Values

_WHOLE_UNITS = {"s", "ms", "us", "ns"}


def values_of(array: Any) -> Values:
    """Return a ``pyarrow.Array`` as values of a column.

    Examples
    --------
    >>> import pyarrow as pa
    >>> values_of(pa.array([1, None])), values_of(pa.array(["a"])).data[0]
    (Values(data=array([1, 0]), absent=array([False,  True])), 'a')
    """
    import pyarrow as pa

    kind, types = array.type, pa.types
    absent = _flags(array.is_null()) if array.null_count else None
    if types.is_null(kind):
        return Values([None] * len(array), np.ones(len(array), bool))
    if types.is_string(kind) or types.is_large_string(kind):
        return Values(_texts(array), absent)
    if types.is_decimal(kind):
        return Values(_texts(array.cast(pa.string())), absent)
    if types.is_boolean(kind):
        return Values(_flags(array), absent)
    if types.is_integer(kind) or types.is_floating(kind):
        return Values(_numbers(array, kind.to_pandas_dtype()), absent)
    if types.is_date32(kind):
        return Values(LocalTimes(_numbers(array.cast(pa.int32()), "i4").astype("M8[D]")), absent)
    if types.is_date64(kind):
        return Values(LocalTimes(_numbers(array.cast(pa.int64()), "i8").view("M8[ms]")), absent)
    if types.is_timestamp(kind):
        times = _numbers(array.cast(pa.int64()), "i8").view(f"M8[{kind.unit}]")
        return Values(LocalTimes(times) if kind.tz is None else times, absent)
    if types.is_time32(kind):
        return Values(_numbers(array.cast(pa.int32()), "i4").astype(f"m8[{kind.unit}]"), absent)
    if types.is_duration(kind) or types.is_time64(kind):
        return Values(_numbers(array.cast(pa.int64()), "i8").view(f"m8[{kind.unit}]"), absent)
    objects = [MISSING if each is None else each for each in array.to_pylist()]
    if getattr(kind, "extension_name", "") == "arrow.uuid":
        objects = [each if each is MISSING else str(each) for each in objects]
    return Values(objects, absent)


def column_of(arrays: Sequence[Any]) -> Values:
    """Return ``pyarrow.ChunkedArray`` of some messages as values of one column.

    Examples
    --------
    >>> import pyarrow as pa
    >>> column_of([pa.chunked_array([pa.array(["a", "b", "a"]).dictionary_encode()])]).data.tolist()
    ['a', 'b', 'a']
    """
    import pyarrow as pa

    chunks = [_plain(chunk) for array in arrays for chunk in array.chunks]
    if len({chunk.type for chunk in chunks}) == 1:
        return values_of(pa.concat_arrays(chunks))
    objects: list[Any] = []
    for chunk in chunks:
        values = values_of(chunk)
        objects += [values.item(row) for row in range(len(values))]
    return Values.of(objects)


def _plain(array: Any) -> Any:
    """Return an array in which each value stands by itself; of lists and structs there are nulls alone."""
    import pyarrow as pa

    rows = None
    while True:
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType) and shares(kind.storage_type):
            array = array.storage
        elif pa.types.is_dictionary(kind):
            rows, array = array.indices if rows is None else array.indices.take(rows), array.dictionary
        elif pa.types.is_run_end_encoded(kind):
            rows, array = _rows_of_runs(array, rows), array.values
        else:
            break
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        return pa.nulls(len(array) if rows is None else len(rows))
    if is_view(kind):  # of which pyarrow takes no rows
        array = _sound(array).cast(pa.string() if pa.types.is_string_view(kind) else pa.binary())
    return array if rows is None else array.take(rows)


def _sound(array: Any) -> Any:
    """Return views of which those of nulls, which nothing validates and a cast reads, show nothing."""
    import pyarrow as pa

    if not array.null_count:
        return array
    there, shown, *texts = array.buffers()
    views = np.frombuffer(shown, "V16", array.offset + len(array)).copy()
    views[array.offset :][~array.is_valid().to_numpy(zero_copy_only=False)] = np.void(bytes(16))
    buffers = [there, pa.py_buffer(views), *texts]
    return pa.Array.from_buffers(array.type, len(array), buffers, offset=array.offset)


def _rows_of_runs(array: Any, rows: Any) -> Any:
    """Return where in the values of runs those of some rows are; None: of all."""
    import pyarrow as pa

    if rows is None:
        return pa.array(runs_at(array, np.arange(len(array))))
    absent = rows.is_null().to_numpy(zero_copy_only=False)
    return pa.array(runs_at(array, rows.fill_null(0).to_numpy()), mask=absent)


def _numbers(array: Any, dtype: Any) -> NDArray[Any]:
    """Return fixed-width values without a copy; where there is none, whatever stands there."""
    _, data = array.buffers()
    dtype = np.dtype(dtype)
    if data is None or not len(array):
        return np.zeros(len(array), dtype)
    return np.frombuffer(data, dtype, len(array), array.offset * dtype.itemsize)


def _flags(array: Any) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = array.fill_null(False).to_numpy(zero_copy_only=False)
    return flags


def _texts(array: Any) -> Texts:
    import pyarrow as pa

    _, ends, data = array.buffers()
    if not len(array) or ends is None:
        return Texts(np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64))
    dtype = np.dtype("i8" if pa.types.is_large_string(array.type) else "i4")
    offsets = np.frombuffer(ends, dtype, len(array) + 1, array.offset * dtype.itemsize)
    return Texts(np.frombuffer(data or b"", np.uint8), offsets.astype(np.int64))
