# ruff: noqa: D102 - methods are documented by DataType
"""Numbers of few bits, which the package ``ml_dtypes`` gives to numpy.

Sources: zarr-extensions ``bfloat16``, ``float8_*``, ``float6_*``, ``float4_e2m1fn``, ``int2``, ``int4``,
``uint2``, ``uint4``. tensorstore alone has ``float8_e4m3fn``. In memory and behind the ``bytes`` codec an
element of fewer than 8 bits takes a byte, of which the upper bits mean nothing; ``packbits`` packs them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.zarr.dtypes.base import JSON, DataType, Scalar, named
from streamzarr.zarr.dtypes.numeric import float_from_json, float_to_json, whole_from_json

_FLOATS = {
    "bfloat16": 16,
    **{f"float8_{form}": 8 for form in ("e3m4", "e4m3", "e4m3fn", "e4m3fnuz", "e4m3b11fnuz")},
    **{f"float8_{form}": 8 for form in ("e5m2", "e5m2fnuz", "e8m0fnu")},
    "float6_e2m3fn": 6,
    "float6_e3m2fn": 6,
    "float4_e2m1fn": 4,
}
_INTEGERS = {"int2": 2, "int4": 4, "uint2": 2, "uint4": 4}


@cache
def bits_of(dtype: np.dtype[Any]) -> int | None:
    """Return how many bits an element of a type of this file has; None for any other.

    >>> import numpy as np
    >>> bits_of(small_dtype("int4")), bits_of(np.dtype("i1"))
    (4, None)
    """
    return (_FLOATS | _INTEGERS).get(dtype.name)


@cache
def kind_of(dtype: np.dtype[Any]) -> str:
    """Return numpy's letter for the kind of numbers that `dtype` has, which for those here says nothing.

    >>> kind_of(small_dtype("bfloat16")), kind_of(small_dtype("uint2"))
    ('f', 'u')
    """
    if dtype.name in _FLOATS:
        return "f"
    return dtype.name[0] if dtype.name in _INTEGERS else dtype.kind


@cache
def small_dtype(name: str) -> np.dtype[Any] | None:
    """Return the dtype of that name, or None when it is none of this file.

    Raises
    ------
    ValueError
        The package ``ml_dtypes`` is not installed.
    """
    if name not in _FLOATS and name not in _INTEGERS:
        return None
    try:
        import ml_dtypes
    except ImportError:
        raise ValueError(f"{name} needs the package ml_dtypes: pip install 'streamzarr[ml]'") from None
    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return found


@dataclass(frozen=True, slots=True)
class _Small(DataType):
    names: ClassVar[dict[str, int]]

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(dtype.newbyteorder("=")) if dtype.name in cls.names else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        name, configuration = named(document) or ("", {})
        if name not in cls.names or configuration:
            return None
        found = small_dtype(name)
        assert found is not None
        return cls(found)

    def to_v3(self) -> JSON:
        return self.dtype.name

    def to_v2(self) -> JSON:
        return self.dtype.name

    @property
    def has_byte_order(self) -> bool:
        return self.dtype.itemsize > 1

    @abstractmethod
    def of_number(self, number: Any) -> Scalar:
        """Return a Python number as one element; ``ValueError`` when there is none for it."""

    def cast_fill(self, value: Any) -> Scalar:
        if isinstance(value, np.generic) and value.dtype == self.dtype:
            return value
        return self.of_number(value[()] if isinstance(value, np.ndarray) else value)


@dataclass(frozen=True, slots=True)
class SmallInteger(_Small):
    """``int2``, ``int4``, ``uint2`` and ``uint4``.

    >>> SmallInteger.from_v3("int4").of_number(-8).tobytes().hex()
    '08'
    """

    names: ClassVar[dict[str, int]] = _INTEGERS

    def of_number(self, number: Any) -> Scalar:
        if int(number) != number:
            raise ValueError("not a whole number")
        least, greatest = integer_range(self.dtype)
        if not least <= number <= greatest:
            raise ValueError(f"expected an integer from {least} to {greatest}, got {number}")
        return self.dtype.type(int(number))

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return int(value)

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        return self.of_number(whole_from_json(document, zarr_format))


def integer_range(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the least and the greatest number of an integer type, numpy's own included."""
    bits = _INTEGERS.get(dtype.name, 8 * dtype.itemsize)
    return (0, 2**bits - 1) if kind_of(dtype) == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def small_finfo(dtype: np.dtype[Any]) -> Any:
    """Return what ``numpy.finfo`` says of numpy's own floats, of one of the floats of this file."""
    import ml_dtypes

    finfo: Any = ml_dtypes.finfo
    return finfo(dtype)


@dataclass(frozen=True, slots=True)
class SmallFloat(_Small):
    """``bfloat16``, and floats of 8, 6 and 4 bits; many have no infinities, some no NaN.

    >>> SmallFloat.from_v3("bfloat16").of_number(1.5).tobytes().hex()
    'c03f'
    """

    names: ClassVar[dict[str, int]] = _FLOATS

    def of_number(self, number: Any) -> Scalar:
        wanted = float(number)
        if not wanted:  # float8_e8m0fnu has no zero; memory of zeros is its least number
            zero = np.zeros((), self.dtype)[()]
            return -zero if math.copysign(1, wanted) < 0 and float(zero) == 0 else zero
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.asarray(wanted).astype(self.dtype)[()]
            nearest = float(found)
        if math.isnan(wanted) != math.isnan(nearest) or (math.isinf(wanted) and not math.isinf(nearest)):
            raise ValueError(f"{self.dtype} has no {number}")
        return found

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return float_to_json(value, zarr_format)

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        return float_from_json(document, self.dtype, zarr_format, self.of_number)
