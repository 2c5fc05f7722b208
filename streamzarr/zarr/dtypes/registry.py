"""Which data types there are, and how to find the one that is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamzarr.errors import MetadataError
from streamzarr.zarr.dtypes.base import JSON, DataType
from streamzarr.zarr.dtypes.numeric import Bool, Complex, Float, Integer
from streamzarr.zarr.dtypes.strings import (
    STRINGS,
    FixedBytes,
    FixedString,
    RawBytes,
    VariableBytes,
    VariableString,
)
from streamzarr.zarr.dtypes.struct import Struct, dtype_from_v2
from streamzarr.zarr.dtypes.time import Time

_TYPES: tuple[type[DataType], ...] = (
    *(Bool, Integer, Float, Complex, Time),
    *(FixedString, FixedBytes, RawBytes, VariableString, VariableBytes, Struct),
)

_OBJECTS: dict[str, DataType] = {
    "vlen-utf8": VariableString(STRINGS),
    "categorize": VariableString(STRINGS),
    "vlen-bytes": VariableBytes(np.dtype(object)),
}
"""What the objects of a v2 array are, by the filter that stores them."""

_NAMED: dict[str, DataType] = {
    "string": VariableString(STRINGS),
    "bytes": VariableBytes(np.dtype(object)),
    "variable_length_bytes": VariableBytes(np.dtype(object)),
}


def data_type(dtype: Any) -> DataType:
    """Return the data type for anything that ``numpy.dtype`` accepts, ``"string"`` or ``"bytes"``.

    >>> data_type("i2").to_v3(), data_type(str).to_v3()
    ('int16', 'string')

    Raises
    ------
    streamzarr.errors.MetadataError
        Zarr has no such type.
    """
    if isinstance(dtype, DataType):
        return dtype
    if isinstance(dtype, str) and dtype in _NAMED:
        return _NAMED[dtype]
    as_numpy = np.dtype(dtype)
    try:
        for kind in _TYPES:
            if (found := kind.from_dtype(as_numpy)) is not None:
                return found
    except ValueError as error:
        raise MetadataError(f"Zarr has no data type for numpy dtype {as_numpy!r}: {error}") from error
    hint = "; say str or bytes for objects that are" if as_numpy.kind == "O" else ""
    raise MetadataError(f"Zarr has no data type for numpy dtype {as_numpy!r}{hint}")


def data_type_from_v3(document: JSON, where: str) -> DataType:
    """Return the data type that a v3 document names; `where` is named in errors."""
    for kind in _TYPES:
        try:
            found = kind.from_v3(document)
        except (ValueError, TypeError) as error:
            raise MetadataError(f"{where}: data_type {document!r}: {error}") from error
        if found is not None:
            return found
    raise MetadataError(f"{where}: unknown data_type {document!r}")


def data_type_from_v2(document: JSON, filters: list[dict[str, Any]], where: str) -> DataType:
    """Return the data type that a v2 ``dtype`` names; objects are known by their first filter."""
    if document == "|O":
        first = filters[0].get("id") if filters else None
        if first not in _OBJECTS:
            raise MetadataError(
                f"{where}: dtype '|O' needs one of the filters {sorted(_OBJECTS)} first, got {first!r}"
            )
        return _OBJECTS[first]
    try:
        dtype = dtype_from_v2(document)
        for kind in _TYPES:
            if (found := kind.from_dtype(dtype)) is not None and found.itemsize is not None:
                return found
    except (TypeError, ValueError) as error:
        raise MetadataError(f"{where}: dtype {document!r}: {error}") from error
    raise MetadataError(f"{where}: dtype {document!r} is not supported")
