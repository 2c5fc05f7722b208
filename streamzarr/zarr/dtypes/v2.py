"""The ``dtype`` of Zarr v2: numpy's own type strings, and lists of fields.

Source: Zarr v2 specification, "Data type encoding". The numbers of ``small.py`` have no type string; they go
by their names, as tensorstore has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamzarr.zarr.dtypes.base import JSON
from streamzarr.zarr.dtypes.small import bits_of, small_dtype


def dtype_from_v2(document: JSON) -> np.dtype[Any]:
    """Return the numpy dtype that a v2 ``dtype`` names; ``ValueError`` or ``TypeError`` when it names none.

    Strings of no length, ``|S0`` and ``<U0``, are read as numpy has them in memory, of length 1.

    >>> dtype_from_v2([["a", "<i4"], ["b", [["x", ">f8"]], [2]]]).itemsize
    20
    """
    if isinstance(document, str):
        found = small_dtype(document) or np.dtype(document)
        lengthless = found.kind in "SU" and not found.itemsize
        return np.dtype(f"{found.byteorder}{found.kind}1") if lengthless else found
    if not isinstance(document, list) or not document:
        raise TypeError(f"expected a type string or a list of fields, got {document!r}")
    fields: list[Any] = []
    for field in document:
        if not isinstance(field, list) or len(field) not in (2, 3) or not isinstance(field[0], str):
            raise TypeError(f"expected [name, type] or [name, type, shape], got {field!r}")
        fields.append((field[0], dtype_from_v2(field[1]), _shape(field[2]) if len(field) == 3 else ()))
    return np.dtype(fields)


def _shape(document: JSON) -> tuple[int, ...]:
    shape = tuple(document) if isinstance(document, list) else (document,)
    if not all(type(n) is int and 0 < n < 2**31 for n in shape):
        raise TypeError(f"expected a shape of positive integers, got {document!r}")
    return shape


def dtype_to_v2(dtype: np.dtype[Any]) -> JSON:
    """Return a v2 ``dtype``: a type string, or a list of [name, type] or [name, type, shape]."""
    if bits_of(dtype):
        return dtype.name
    if dtype.names is None:
        return dtype.str
    described = []
    for name, field in fields_of(dtype):
        base, shape = field.subdtype or (field, ())
        described.append([name, dtype_to_v2(base), *([list(shape)] if shape else [])])
    return described


def fields_of(dtype: np.dtype[Any]) -> list[tuple[str, np.dtype[Any]]]:
    """Return name and dtype of each field, in order."""
    assert dtype.names is not None
    assert dtype.fields is not None
    return [(name, dtype.fields[name][0]) for name in dtype.names]
