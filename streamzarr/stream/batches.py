"""From what a user appends to one array of rows for each field. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.stream.schema import is_sorted
from streamzarr.zarr.casting import to_dtype
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.dtypes.small import bits_of, kind_of
from streamzarr.zarr.metadata import ArrayMetadataV3

BatchLike: TypeAlias = Any
"""Columns by name, a structured array, or what gives Arrow data: tables of pyarrow, polars and pandas."""
Rows: TypeAlias = dict[str, NDArray]
"""Rows of every field, by its name."""


def as_columns(batch: BatchLike, fields: Mapping[str, ArrayMetadataV3], where: str) -> Rows:
    """Return the rows of `batch` as one array for each of `fields`, all of one length.

    >>> from streamzarr.stream.schema import Schema
    >>> fields = Schema.of({"time": "i8", "price": "f4"}).arrays(100)
    >>> as_columns({"time": [1, 2], "price": [0.5, 0.25]}, fields, "a.zarr")["price"]
    array([0.5 , 0.25], dtype=float32)

    Raises
    ------
    TypeError
        It is no batch, or values are of a kind that a field cannot hold.
    ValueError
        Fields are missing or unknown, rows have another shape, the columns differ in length, or a value is
        out of a field's range, or longer than it.
    """
    given = _by_name(batch, where)
    if given.keys() != fields.keys():
        missing, unknown = fields.keys() - given.keys(), given.keys() - fields.keys()
        raise ValueError(
            f"{where}: batch lacks {sorted(missing)} and has unknown {sorted(map(str, unknown))}"
        )
    columns = {name: _rows(given[name], array, f"{where}: {name}") for name, array in fields.items()}
    if len({len(each) for each in columns.values()}) > 1:
        raise ValueError(
            f"{where}: columns differ in length: { {name: len(c) for name, c in columns.items()} }"
        )
    return columns


def check_sorted(rows: Rows, fields: Mapping[str, ArrayMetadataV3], last: Rows, where: str) -> None:
    """Raise ``ValueError`` unless each sorted field goes on without decreasing from its `last` row."""
    for name, values in rows.items():
        if is_sorted(fields[name]):
            if (values[:1] != values[:1]).any():
                raise ValueError(f"{where}: {name} is sorted, and {values[0]} comes neither before nor after")
            joined = np.concatenate([last[name], values]) if name in last else values
            in_order = joined[:-1] <= joined[1:]
            if not in_order.all():
                at = int(np.argmin(in_order))
                raise ValueError(f"{where}: {name} is sorted, but {joined[at + 1]} comes after {joined[at]}")


def _by_name(batch: BatchLike, where: str) -> Mapping[str, Any]:
    if isinstance(batch, Mapping):
        return batch
    if isinstance(batch, np.ndarray) and batch.dtype.names is not None:
        return {name: batch[name] for name in batch.dtype.names}
    if hasattr(batch, "__arrow_c_stream__"):
        return _from_arrow(batch, where)
    raise TypeError(
        f"{where}: cannot append {type(batch).__name__}, expected columns by name, a structured array or "
        "an Arrow table or batch"
    )


def _rows(values: Any, array: ArrayMetadataV3, where: str) -> NDArray:
    if isinstance(values, list | tuple) and not values:  # which numpy takes for floats
        return np.empty((0, *array.shape[1:]), array.dtype)
    try:
        rows = _kept(_known(values, array.dtype), array.dtype, where)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, TypeError | ValueError) and str(error).startswith(where):
            raise
        # numpy's own, which does not know of what it was asked.
        told = str(error).removeprefix(f"{where}: ")
        raise (TypeError if isinstance(error, TypeError) else ValueError)(f"{where}: {told}") from error
    if rows.shape[1:] != array.shape[1:] or not rows.ndim:
        raise ValueError(
            f"{where}: values have shape {rows.shape}, expected any number of rows of shape {array.shape[1:]}"
        )
    return rows


def _kept(values: Any, dtype: np.dtype[Any], where: str) -> NDArray:
    with np.errstate(over="ignore"):  # which is told
        rows = to_dtype(values, dtype, where)
    _check_kept(values, rows, where)
    return rows


def _known(values: Any, dtype: np.dtype[Any]) -> Any:
    """Return objects of texts, and the times of pandas in a list, as what numpy knows whole."""
    if dtype.kind in "SU" and hasattr(values, "dtype") and np.asarray(values).dtype == object:
        return np.asarray(values).tolist()
    if dtype.kind in "mM" and isinstance(values, list | tuple):
        name = "to_datetime64" if dtype.kind == "M" else "to_timedelta64"  # which has nanoseconds
        return [_known(each, dtype) if isinstance(each, list) else _called(each, name) for each in values]
    return values


def _called(value: Any, name: str) -> Any:
    return getattr(value, name)() if hasattr(value, name) else value


def _check_kept(values: Any, rows: NDArray, where: str) -> None:
    """Raise ``ValueError`` if a value became another one: wrapped, cut, or infinite.

    Digits behind the point, and of times what is finer than the field's unit, may go.
    """
    if rows.dtype.names is not None:
        for at, name in enumerate(rows.dtype.names):
            if hasattr(values, "dtype"):
                _check_kept(values[values.dtype.names[at]], rows[name], f"{where}: {name}")
            elif all(isinstance(each, tuple) for each in values):
                _check_kept([each[at] for each in values], rows[name], f"{where}: {name}")
    elif (given := _given(values, rows.dtype)) is not None:
        lost = _lost(given, rows, where)
        if lost.any():
            raise ValueError(f"{where}: {given[lost][0]} is no {rows.dtype}, it would become {rows[lost][0]}")


def _given(values: Any, dtype: np.dtype[Any]) -> NDArray | None:
    """Return values as they were before they became those of a field; None: nothing can have been lost."""
    if hasattr(values, "dtype"):
        return None if values.dtype == dtype else np.asarray(values)
    if kind_of(dtype) in "fcSU":
        return np.asarray(values)
    if dtype.kind in "mM":
        with suppress(ValueError):  # of numbers, which have no unit of their own
            return np.asarray(values, f"{dtype.kind}8")
    return None


def _lost(given: NDArray, rows: NDArray, where: str) -> NDArray:
    """Tell which of the rows have not the value that was given."""
    kind = kind_of(rows.dtype)
    if kind in "SU" and given.dtype.kind not in "SUT":
        raise TypeError(f"{where}: expected texts for {rows.dtype}, got {given.dtype} values")
    if kind in "fc":
        return np.asarray(np.isfinite(given) & ~np.isfinite(rows))
    if kind in "mM" and given.dtype.kind == kind:
        if np.promote_types(given.dtype, rows.dtype) != rows.dtype.newbyteorder("="):
            return np.zeros(rows.shape, bool)
        return np.asarray((rows.astype(given.dtype) != given) & ~np.isnat(given))
    if kind in "iu":
        return np.asarray((rows.astype("i8") if bits_of(rows.dtype) else rows) != given)
    if kind in "SU":
        return np.asarray(rows.astype(given.dtype) != given)
    return np.zeros(rows.shape, bool)


def _from_arrow(batch: Any, where: str) -> dict[str, Any]:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ConfigError(f"{where}: appending Arrow data needs the package 'pyarrow'") from error
    table = pa.table(batch)
    return {
        name: _arrow_values(table.column(name).combine_chunks(), f"{where}: {name}")
        for name in table.column_names
    }


def _arrow_values(column: Any, where: str) -> NDArray:
    """Return a column as an array; lists of fixed size become further axes."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):  # as combine_chunks leaves what is too long for one array
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    shape = [len(column)]
    while True:
        if column.null_count:
            raise ValueError(
                f"{where}: {column.null_count} of {len(column)} values are null; fill them before"
            )
        if not pa.types.is_fixed_size_list(column.type):
            values: NDArray = column.to_numpy(zero_copy_only=False)
            return values.reshape(shape)
        shape.append(column.type.list_size)
        column = column.flatten()
