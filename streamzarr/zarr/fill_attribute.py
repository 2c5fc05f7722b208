"""The attributes by which CF says which values are missing: ``_FillValue`` and ``missing_value``.

JSON has no NaN, so xarray writes the ``_FillValue`` of floats in v3 as base64 of a little-endian double, and
opens no array that has it otherwise; in v2 it is a number.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from streamzarr.zarr.dtypes.base import JSON

FILL_ATTRIBUTE = "_FillValue"
_GREATEST = int(sys.float_info.max)
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def fill_attribute(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> Any:
    """Return the number that ``_FillValue`` means for `dtype`; None where there is none.

    >>> fill_attribute({"_FillValue": "AAAAAACHw8A="}, np.dtype("f4"))
    -9998.0
    """
    return _number(attributes.get(FILL_ATTRIBUTE), dtype)


def encoded_fill(value: Any, dtype: np.dtype[Any], zarr_format: int) -> JSON:
    """Return the ``_FillValue`` that says `value` of `dtype`; the reverse of :func:`fill_attribute`."""
    if dtype.kind == "c":
        parts = (value.real, value.imag)
        return [_encoded_float(float(part), zarr_format) for part in parts]
    return _encoded_float(float(value), zarr_format) if dtype.kind == "f" else np.asarray(value).item()


def reencoded(attributes: Mapping[str, Any], dtype: np.dtype[Any], zarr_format: int) -> dict[str, Any]:
    """Return `attributes` with ``_FillValue`` as a format has it."""
    value = fill_attribute(attributes, dtype)
    if value is None:
        return dict(attributes)
    return {**attributes, FILL_ATTRIBUTE: encoded_fill(value, dtype, zarr_format)}


def missing_values(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> list[Any]:
    """Return the elements of `dtype` that the attributes say are missing.

    A value that no element can equal, such as -9999 in unsigned integers, is none.

    >>> missing_values({"missing_value": [-1, 300]}, np.dtype("i1"))
    [np.int8(-1)]
    """
    several = attributes.get("missing_value")
    given = [attributes.get(FILL_ATTRIBUTE), *(several if isinstance(several, list) else [several])]
    numbers = [number for value in given if (number := _number(value, dtype)) is not None]
    return [element for number in numbers if (element := element_of(number, dtype)) is not None]


def element_of(number: Any, dtype: np.dtype[Any]) -> Any:
    """Return the element of `dtype` that equals `number`; None where no integer does.

    >>> element_of(255.0, np.dtype("u1")), element_of(-1, np.dtype("u1"))
    (np.uint8(255), None)
    """
    if dtype.kind in "fc":
        with np.errstate(over="ignore"):
            return np.asarray(number).astype(dtype)[()]
    if number != number or abs(number) == math.inf or int(number) != number:
        return None
    bounds = np.iinfo(dtype)
    return dtype.type(int(number)) if bounds.min <= number <= bounds.max else None


def _number(value: JSON, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "c" and isinstance(value, list) and len(value) == 2:
        real, imag = (_number(part, np.dtype("f8")) for part in value)
        return None if real is None or imag is None else complex(real, imag)
    if dtype.kind not in "iufc" or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if isinstance(value, int) and abs(value) > _GREATEST and dtype.kind in "fc" else value
    # Only floats need text, for NaN; of integers it says nothing that we know.
    return _float_of_text(value) if isinstance(value, str) and dtype.kind in "fc" else None


def _float_of_text(text: str) -> float | None:
    if text in _SPECIAL:
        return _SPECIAL[text]
    try:
        number: float = struct.unpack("<d", base64.b64decode(text, validate=True))[0]
    except (binascii.Error, ValueError, struct.error):
        return None
    return number


def _encoded_float(value: float, zarr_format: int) -> JSON:
    if zarr_format == 3:
        return base64.b64encode(struct.pack("<d", value)).decode("ascii")
    if math.isfinite(value):
        return value
    return next(name for name, special in _SPECIAL.items() if str(special) == str(value))
