"""How to find the data type that is asked for, by numpy dtype or by what metadata says.

Which types there are, ``builtin.py`` says; so a type that contains others can ask here for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamzarr.errors import MetadataError
from streamzarr.zarr.dtypes.base import JSON, DataType
from streamzarr.zarr.dtypes.v2 import dtype_from_v2

_kinds: list[type[DataType]] = []


def build_in(*kinds: type[DataType]) -> None:
    """Make data types known."""
    _kinds.extend(kinds)


def data_type(dtype: Any) -> DataType:
    """Return the data type for anything that ``numpy.dtype`` accepts, or for a v3 ``data_type``.

    >>> data_type("i2").to_v3(), data_type(str).to_v3(), data_type("string").to_v3()
    ('int16', 'string', 'string')

    Raises
    ------
    streamzarr.errors.MetadataError
        Zarr has no such type.
    """
    if isinstance(dtype, DataType):
        return dtype
    if isinstance(dtype, str | dict) and (found := _from_v3(dtype, "dtype")) is not None:
        return found
    as_numpy = np.dtype(dtype)
    try:
        for kind in _kinds:
            if (found := kind.from_dtype(as_numpy)) is not None:
                return found
    except ValueError as error:
        raise MetadataError(f"Zarr has no data type for numpy dtype {as_numpy!r}: {error}") from error
    others = "; say str or bytes for objects that are; others need zarr_format=2, filters='json2'"
    hint = others if as_numpy.kind == "O" else ""
    raise MetadataError(f"Zarr has no data type for numpy dtype {as_numpy!r}{hint}")


def data_type_from_v3(document: JSON, where: str) -> DataType:
    """Return the data type that a v3 document names; `where` is named in errors."""
    found = _from_v3(document, where)
    if found is None:
        raise MetadataError(f"{where}: unknown data_type {document!r}")
    return found


def _from_v3(document: JSON, where: str) -> DataType | None:
    for kind in _kinds:
        try:
            found = kind.from_v3(document)
        except (ValueError, TypeError) as error:
            raise MetadataError(f"{where}: data_type {document!r}: {error}") from error
        if found is not None:
            return found
    return None


def data_type_from_v2(document: JSON, filters: list[dict[str, Any]], where: str) -> DataType:
    """Return the data type that a v2 ``dtype`` names; objects are known by their first filter."""
    if document == "|O":
        return _of_objects(filters, where)
    try:
        dtype = dtype_from_v2(document)
        for kind in _kinds:
            if (found := kind.from_dtype(dtype)) is not None and found.itemsize is not None:
                return found
    except (TypeError, ValueError) as error:
        raise MetadataError(f"{where}: dtype {document!r}: {error}") from error
    raise MetadataError(f"{where}: dtype {document!r} is not supported")


def _of_objects(filters: list[dict[str, Any]], where: str) -> DataType:
    first = filters[0].get("id") if filters else None
    for kind in _kinds:
        if first in kind.object_filters:
            try:
                return kind.from_objects(filters[0])
            except (ValueError, TypeError) as error:
                raise MetadataError(f"{where}: filter {filters[0]!r}: {error}") from error
    known = sorted(name for kind in _kinds for name in kind.object_filters)
    raise MetadataError(f"{where}: dtype '|O' needs one of the filters {known} first, got {first!r}")
