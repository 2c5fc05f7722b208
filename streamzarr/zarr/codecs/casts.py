"""Numbers of one type as numbers of another, with every rounding and every way out of the range. No I/O.

Source: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/cast_value , "Procedure".
Floats are worked on as float64, which holds all of the others; integers of 64 bits never are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.dtypes.small import bits_of, integer_range, kind_of, small_finfo

ROUNDINGS = ("nearest-even", "towards-zero", "towards-positive", "towards-negative", "nearest-away")
OUT_OF_RANGE = ("clamp", "wrap")


@dataclass(frozen=True, slots=True)
class _Form:
    """The numbers that a float type has."""

    precision: int
    """Bits of the mantissa, the implied one included."""
    least_exponent: int
    """All numbers are multiples of 2 to the power of this."""
    lowest: float
    highest: float
    infinite: bool
    nan: bool


@cache
def _form(dtype: np.dtype[Any]) -> _Form:
    info = small_finfo(dtype) if bits_of(dtype) else np.finfo(dtype)
    with np.errstate(all="ignore"):
        infinite = math.isinf(float(np.asarray(math.inf).astype(dtype)))
        nan = math.isnan(float(np.asarray(math.nan).astype(dtype)))
    least = math.frexp(float(info.smallest_subnormal))[1] - 1
    return _Form(int(info.nmant) + 1, least, float(info.min), float(info.max), infinite, nan)


def cast(array: NDArray, dtype: np.dtype[Any], rounding: str, out_of_range: str | None) -> NDArray:
    """Return `array` as `dtype`.

    >>> import numpy as np
    >>> cast(np.array([1.5, 300.0]), np.dtype("u1"), "nearest-even", "clamp")
    array([  2, 255], dtype=uint8)

    Raises
    ------
    CodecError
        A number has no place in `dtype`, nor a rule that gives it one.
    """
    if array.dtype == dtype or (
        not bits_of(array.dtype) and not bits_of(dtype) and _holds(array.dtype, dtype)
    ):
        return array.astype(dtype, copy=False)
    floats = kind_of(array.dtype) == "f"
    if kind_of(dtype) == "f":
        rounded = _to_precision(array, dtype, rounding, floats)
        return _in_float_range(rounded, dtype, out_of_range).astype(dtype)
    whole = _to_whole(array.astype(np.float64), rounding, dtype) if floats else _native(array)
    return _in_integer_range(whole, dtype, out_of_range)


def _holds(given: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Tell whether `dtype` has every number of `given`; numpy's ``safe`` takes int64 to float64."""
    if given.kind in "iu" and dtype.kind == "f":
        return 8 * given.itemsize <= _form(dtype).precision
    return np.can_cast(given, dtype, "safe")


def _native(array: NDArray) -> NDArray:
    return array.astype(np.int8) if bits_of(array.dtype) else array


def _rounded(numbers: NDArray, rounding: str) -> NDArray:
    """Return floats without their fractions; -0.0 stays what it is."""
    match rounding:
        case "towards-zero":
            return np.trunc(numbers)
        case "towards-positive":
            return np.ceil(numbers)
        case "towards-negative":
            return np.floor(numbers)
        case "nearest-away":
            whole = np.trunc(numbers)
            return np.where(np.abs(numbers - whole) >= 0.5, whole + np.copysign(1, numbers), whole)
    return np.rint(numbers)


def _to_whole(numbers: NDArray, rounding: str, dtype: np.dtype[Any]) -> NDArray:
    if not np.isfinite(numbers).all():
        raise CodecError(f"cast_value: NaN or an infinity, which {dtype} does not have; see scalar_map")
    return _rounded(numbers, rounding)


def _in_integer_range(whole: NDArray, dtype: np.dtype[Any], out_of_range: str | None) -> NDArray:
    least, greatest = integer_range(dtype)
    if whole.dtype.kind == "f":  # greatest itself may not be a float, but the number after it is
        below, above = whole < float(least), whole >= float(greatest + 1)
    else:
        below, above = whole < least, whole > greatest
    outside = below | above
    if not outside.any():
        return whole.astype(dtype)
    if out_of_range == "wrap":
        return _wrapped(whole, dtype)
    if out_of_range is None:
        raise CodecError(
            f"cast_value: {whole[outside].flat[0]} is no {dtype}, which has {least} to {greatest}"
        )
    inside = np.where(outside, whole.dtype.type(0), whole).astype(_memory(dtype))
    inside[below], inside[above] = least, greatest
    return inside.astype(dtype)


def _wrapped(whole: NDArray, dtype: np.dtype[Any]) -> NDArray:
    """Return whole numbers modulo 2 to the power of the bits that `dtype` has."""
    if whole.dtype.kind == "f":
        magnitude = np.fmod(np.abs(whole), 2.0**64).astype(np.uint64)
        whole = np.where(whole < 0, ~magnitude + np.uint64(1), magnitude)
    bits = bits_of(dtype)
    if bits is None:
        return whole.astype(dtype)
    low: NDArray = whole.astype(np.uint8) & np.uint8(2**bits - 1)
    return low.view(dtype)


def _memory(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.int8) if bits_of(dtype) else dtype


def _to_precision(array: NDArray, dtype: np.dtype[Any], rounding: str, floats: bool) -> NDArray:
    """Return numbers as float64, rounded to what `dtype` has, if its exponents had no end."""
    form = _form(dtype)
    if not floats and array.dtype.itemsize == 8:
        return _long_to_precision(array, form.precision, rounding)
    numbers = array.astype(np.float64)
    if form.precision >= 53:
        return numbers
    _, exponent = np.frexp(numbers)
    quantum = np.maximum(exponent - form.precision, form.least_exponent)
    with np.errstate(invalid="ignore"):
        scaled = _rounded(np.ldexp(numbers, -quantum), rounding)
    return np.where(np.isfinite(numbers), np.ldexp(scaled, quantum), numbers)


def _long_to_precision(array: NDArray, precision: int, rounding: str) -> NDArray:
    """Do the same for integers of 64 bits, of which float64 does not have all."""
    negative = array < 0
    bits = array.view(np.uint64)
    magnitude = np.where(negative, ~bits + np.uint64(1), bits)
    high = (magnitude >> np.uint64(32)).astype(np.float64)
    low = (magnitude & np.uint64(2**32 - 1)).astype(np.float64)
    length = np.where(high > 0, 32 + np.frexp(high)[1], np.frexp(low)[1])
    drop = np.maximum(length - precision, 0).astype(np.uint64)
    kept = magnitude >> drop
    rest = magnitude - (kept << drop)
    half = np.where(drop > 0, np.uint64(1) << (np.maximum(drop, np.uint64(1)) - np.uint64(1)), np.uint64(0))
    match rounding:
        case "towards-zero":
            up = np.zeros(array.shape, bool)
        case "towards-positive":
            up = (rest > 0) & ~negative
        case "towards-negative":
            up = (rest > 0) & negative
        case "nearest-away":
            up = (rest >= half) & (rest > 0)
        case _:
            up = (rest > half) | ((rest == half) & (rest > 0) & (kept & np.uint64(1) == 1))
    size = np.ldexp((kept + up).astype(np.float64), drop.astype(np.int64))
    return np.asarray(np.where(negative, -size, size))


def _in_float_range(numbers: NDArray, dtype: np.dtype[Any], out_of_range: str | None) -> NDArray:
    form = _form(dtype)
    nan, infinite = np.isnan(numbers), np.isinf(numbers)
    if (nan.any() and not form.nan) or (infinite.any() and not form.infinite):
        raise CodecError(f"cast_value: NaN or an infinity, which {dtype} does not have; see scalar_map")
    below, above = (numbers < form.lowest) & ~infinite, (numbers > form.highest) & ~infinite
    if form.lowest > 0:  # a type without zero
        below |= numbers == 0
    outside = below | above
    if not outside.any():
        return numbers
    if out_of_range != "clamp":
        first = numbers[outside].flat[0]
        raise CodecError(f"cast_value: {first} is no {dtype}, which has {form.lowest} to {form.highest}")
    lowest = -math.inf if form.infinite else form.lowest
    highest = math.inf if form.infinite else form.highest
    return np.where(below, lowest, np.where(above, highest, numbers))
