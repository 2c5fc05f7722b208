# ruff: noqa: D102 - methods are documented by DataType
"""Booleans, integers, floats and complex numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from streamzarr.zarr.dtypes.base import JSON, DataType, Scalar, named


@dataclass(frozen=True, slots=True)
class Bool(DataType):
    """``bool``: one byte, 0 or 1."""

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(dtype) if dtype.kind == "b" else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        return cls(np.dtype(bool)) if named(document) == ("bool", {}) else None

    def to_v3(self) -> JSON:
        return "bool"

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return bool(value)

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        if zarr_format == 2 and isinstance(document, str):
            document = {"true": True, "false": False}.get(document.lower(), document)
        number = _lenient(document, zarr_format)
        if isinstance(document, bool) or (zarr_format == 2 and number in (0, 1)):
            return np.bool_(number)
        raise ValueError(f"expected true or false, got {document!r}")


@dataclass(frozen=True, slots=True)
class Integer(DataType):
    """``int8`` to ``int64`` and ``uint8`` to ``uint64``."""

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(dtype) if dtype.kind in "iu" else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        match named(document):
            case (
                "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64"
            ) as name, {}:
                return cls(np.dtype(name))
        return None

    def to_v3(self) -> JSON:
        return self.dtype.name

    def cast_fill(self, value: Any) -> Scalar:
        if isinstance(value, np.ndarray):
            value = value[()]
        if int(value) != value:
            raise ValueError("not a whole number")
        return self._checked(int(value))

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return int(value)

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        return self._checked(whole_from_json(document, zarr_format))

    def _checked(self, number: int) -> Scalar:
        bounds = np.iinfo(self.dtype)
        if not bounds.min <= number <= bounds.max:
            raise ValueError(f"expected an integer from {bounds.min} to {bounds.max}, got {number}")
        return self.dtype.type(number)


_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _lenient(document: JSON, zarr_format: int) -> JSON:
    """Return the number that v2 metadata means by text, a list of one, or true; v3 has its own rules.

    >>> _lenient("-1e3", 2), _lenient([-32767], 2), _lenient("0", 3)
    (-1000.0, -32767, '0')
    """
    if zarr_format != 2:
        return document
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if isinstance(document, bool):
        return int(document)
    if isinstance(document, str):
        for parse in (int, float):
            with suppress(ValueError):
                return parse(document)
    return document


def whole_from_json(document: JSON, zarr_format: int) -> int:
    """Return the integer that a fill value in metadata is."""
    number = _lenient(document, zarr_format)
    if zarr_format == 2 and isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError(f"expected an integer, got {document!r}")
    return number


def float_to_json(value: Scalar, zarr_format: int) -> JSON:
    """Return a float as number or string; NaNs other than numpy's keep their bits as hex in v3 (trap T3)."""
    number = float(value)
    if math.isfinite(number):
        return number
    if not math.isnan(number):
        return "Infinity" if number > 0 else "-Infinity"
    big = value.dtype.newbyteorder(">")
    bits, canonical = (np.asarray(each).astype(big).tobytes() for each in (value, math.nan))
    return "NaN" if bits == canonical or zarr_format == 2 else "0x" + bits.hex()


def float_from_json(
    document: JSON, dtype: np.dtype[Any], zarr_format: int, of_number: Callable[[float], Scalar]
) -> Scalar:
    """Return the float that a fill value in metadata is: its bits, or what `of_number` makes of a number."""
    number = _lenient(document, zarr_format)
    if isinstance(number, str):
        if number in _SPECIAL:
            return of_number(_SPECIAL[number])
        digits = number.removeprefix("0x")
        if digits != number and len(digits) == 2 * dtype.itemsize:
            big = np.frombuffer(bytes.fromhex(digits), dtype.newbyteorder(">"))
            return big.astype(dtype.newbyteorder("="))[0]
    elif isinstance(number, int | float) and not isinstance(number, bool):
        return of_number(number)
    raise ValueError(f'expected a number, "NaN", "Infinity", "-Infinity" or "0x…", got {document!r}')


@dataclass(frozen=True, slots=True)
class Float(DataType):
    """``float16``, ``float32`` and ``float64``.

    >>> import numpy as np
    >>> Float(np.dtype("f4")).fill_to_json(np.float32("nan"), 3)
    'NaN'
    >>> Float(np.dtype("f4")).fill_from_json("0x7fc00001", 3).tobytes().hex()
    '0100c07f'
    """

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(dtype) if dtype.kind == "f" and dtype.itemsize in (2, 4, 8) else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        match named(document):
            case ("float16" | "float32" | "float64") as name, {}:
                return cls(np.dtype(name))
        return None

    def to_v3(self) -> JSON:
        return self.dtype.name

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return float_to_json(value, zarr_format)

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        return float_from_json(document, self.dtype, zarr_format, self.dtype.type)


@dataclass(frozen=True, slots=True)
class Complex(DataType):
    """``complex64`` and ``complex128``; a fill value is ``[real, imaginary]``."""

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(dtype) if dtype.kind == "c" and dtype.itemsize in (8, 16) else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        match named(document):
            case (("complex64" | "complex_float32"), {}):
                return cls(np.dtype("complex64"))
            case (("complex128" | "complex_float64"), {}):
                return cls(np.dtype("complex128"))
        return None

    def to_v3(self) -> JSON:
        return self.dtype.name

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return [float_to_json(part, zarr_format) for part in (value.real, value.imag)]

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        if zarr_format == 2 and not (isinstance(document, list) and len(document) == 2):
            document = [document, 0.0]
        if not isinstance(document, list) or len(document) != 2:
            raise ValueError(f"expected [real, imaginary], got {document!r}")
        part = np.dtype(f"f{self.dtype.itemsize // 2}")
        # Built from parts: real + 1j * imag would turn an infinite part into NaN.
        pair = np.array(
            [float_from_json(each, part, zarr_format, part.type) for each in document], dtype=part
        )
        return pair.view(self.dtype.newbyteorder("="))[0]
