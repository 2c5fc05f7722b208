"""Rows as what other libraries work with. Each is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.stream.field_rows import FieldRows
from streamzarr.stream.schema import is_sorted
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.nodes.streams import STREAM_ATTRIBUTE

_UNITS: Final = ("s", "ms", "us", "ns")
"""Of times, in Arrow and pandas; Arrow has days, too."""

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import xarray


def to_xarray(fields: Sequence[FieldRows], attributes: Mapping[str, Any]) -> xarray.Dataset:
    """Return a dataset of `fields`; see ``Rows.to_xarray``."""
    xr = _needed("xarray")
    from streamzarr.stream.lazy_variable import lazy

    variables = {
        field.name: xr.Variable(_dimensions(field), lazy(field), dict(field.attributes)) for field in fields
    }
    found: xarray.Dataset = xr.Dataset(variables, attrs=dict(attributes))
    return found.set_coords([field.name for field in fields if is_sorted(_metadata(field))])


def to_pandas(fields: Sequence[FieldRows], start: int, stop: int) -> pd.DataFrame:
    """Return a data frame of `fields`, which are rows `start` to `stop`."""
    pandas = _needed("pandas")
    for field in fields:
        if field.ndim > 1:
            raise ValueError(
                f"{field.url}: each row has shape {field.shape[1:]}, and a column of pandas holds one value; "
                "name the other fields, or use to_xarray"
            )
    columns = {field.name: _plain(field.read()) for field in fields}
    found: pd.DataFrame = pandas.DataFrame(
        columns, index=pandas.RangeIndex(start, stop, name="row"), copy=False
    )
    return found


def to_arrow(fields: Sequence[FieldRows]) -> pa.Table:
    """Return an Arrow table of `fields`."""
    arrow = _needed("pyarrow")
    columns = {}
    for field in fields:
        try:
            values = _plain(field.read())
            column = arrow.array(values.reshape(-1))
        except (
            arrow.ArrowNotImplementedError,
            arrow.ArrowInvalid,
            arrow.ArrowTypeError,
            OverflowError,
        ) as error:
            raise TypeError(f"{field.url}: Arrow has no type for {field.dtype}: {error}") from error
        for length in reversed(values.shape[1:]):
            column = arrow.FixedSizeListArray.from_arrays(column, length)
        columns[field.name] = column
    found: pa.Table = arrow.table(columns)
    return found


def to_polars(fields: Sequence[FieldRows]) -> pl.DataFrame:
    """Return a data frame of polars of `fields`."""
    found: pl.DataFrame = _needed("polars").from_arrow(to_arrow(fields))
    return found


def own_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of a stream's group without the commit record."""
    return {name: value for name, value in attributes.items() if name != STREAM_ATTRIBUTE}


def _plain(values: NDArray) -> NDArray:
    """Return values that all libraries take: texts as Python's, times in a unit that they have.

    Raises
    ------
    OverflowError
        Times are out of the range of that unit.
    """
    if values.dtype.kind == "T":
        return values.astype(object)
    if values.dtype.kind not in "mM":
        return values
    unit, step = np.datetime_data(values.dtype)
    if step == 1 and (unit in _UNITS or (unit == "D" and values.dtype.kind == "M")):
        return values
    exact = values.astype(f"{values.dtype.kind}8[{unit if unit in _UNITS else 's'}]")
    if not ((exact.astype(values.dtype) == values) | np.isnat(values)).all():
        raise OverflowError(f"values of {values.dtype} are out of the range of {exact.dtype}")
    return exact


def _dimensions(field: FieldRows) -> tuple[str, ...]:
    names = field.dimension_names
    return tuple(name or f"{field.name}_{axis - 1}" for axis, name in enumerate(names))


def _metadata(field: FieldRows) -> Any:
    return field.view.document.fields[field.name]


def _needed(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"rows as data of {package!r} need that package: pip install {package}") from error
