"""Casting the values of a chunk to the dtype of the target: what would be lost is refused.

The rules have numpy's names. Above them each value is looked at, because numpy's rules are about dtypes only:
``same_kind`` lets 70000 become an ``int16``, which is 4464.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from streamzarr.errors import CastingError
from streamzarr.zarr.casting import to_dtype

Casting: TypeAlias = Literal["no", "equiv", "safe", "same_kind", "unsafe"]

_TEXT = "SUT"


def can_cast(source: np.dtype[Any], target: np.dtype[Any], casting: Casting) -> bool:
    """Tell whether a rule lets values of `source` become `target`, if each of them fits.

    numpy's rules, except that signed and unsigned integers are one kind, that numbers do not become text, and
    that only bytes become bytes of any length.

    >>> can_cast(np.dtype("i8"), np.dtype("u2"), "same_kind")
    True
    >>> can_cast(np.dtype("f4"), np.dtype("i4"), "same_kind")
    False
    """
    if target.kind == "O":
        return source.kind in "OS"
    if casting == "unsafe":
        return True
    if casting == "no":
        casting = "equiv"  # Zarr v3 has no byte order: another one is nothing that was asked for
    if _names(source) != _names(target):
        return False
    if (source.kind in _TEXT) != (target.kind in _TEXT):
        return source.kind == "O" and target.kind == "T"
    if casting == "same_kind" and source.kind in "iu" and target.kind in "iu":
        return True
    return np.can_cast(source, target, casting)


def _names(dtype: np.dtype[Any]) -> Any:
    """Return the names of the fields of records, and of records in them; numpy goes by their places."""
    fields: Any = dtype.fields or {}
    return [(name, _names(fields[name][0].base)) for name in dtype.names or ()]


def cast(values: npt.NDArray[Any], dtype: np.dtype[Any], casting: Casting, where: str) -> npt.NDArray[Any]:
    """Return `values` as `dtype`; shares memory when they are already.

    Unless the rule is ``unsafe``, a value has to fit: integers and times are the same number after as before,
    text is whole, finite numbers stay finite. Between floats rounding is what was asked for.

    Parameters
    ----------
    where
        Begins the message of an error: array and chunk.

    Raises
    ------
    streamzarr.errors.CastingError
        The rule does not allow it, or a value does not fit.

    Examples
    --------
    >>> cast(np.array([1, 2]), np.dtype("u1"), "same_kind", "a.zarr")
    array([1, 2], dtype=uint8)
    """
    if values.dtype == dtype:
        return values
    if not can_cast(values.dtype, dtype, casting):
        raise CastingError(f"{where}: {values.dtype} does not become {dtype} by casting={casting!r}")
    try:
        with np.errstate(all="ignore"):
            converted = _converted(values, dtype, casting, where)
    except (TypeError, ValueError, OverflowError) as error:
        raise CastingError(f"{where}: {values.dtype} values do not become {dtype}: {error}") from error
    if casting != "unsafe" and not _always_fits(values.dtype, dtype):
        _check(values, converted, where)
    return converted


def _converted(
    values: npt.NDArray[Any], dtype: np.dtype[Any], casting: Casting, where: str
) -> npt.NDArray[Any]:
    if dtype.kind == "O" or (dtype.kind == "T" and casting != "unsafe"):
        return to_dtype(values, dtype, where)
    if values.dtype.kind == "c" and dtype.kind in "biuf":
        values = values.real  # as numpy does, without its warning
    return values.astype(dtype)


def _always_fits(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    if target.kind in "OT":
        return True
    # numpy calls safe what is not: a double has 53 of 64 bits, a duration 63, and seconds as nanoseconds may
    # overflow.
    longs = source.kind in "iu" and source.itemsize == 8 and target.kind in "fcm"
    return source.kind in "biufcSU" and not longs and np.can_cast(source, target, "safe")


def _check(before: npt.NDArray[Any], after: npt.NDArray[Any], where: str) -> None:
    with np.errstate(all="ignore"):
        lost = _lost(before, after)
    if lost.any():
        at = np.unravel_index(int(lost.argmax()), lost.shape)
        place = f" at {[int(i) for i in at]}" if at else ""
        others = f" and {int(lost.sum()) - 1} others" if lost.sum() > 1 else ""
        raise CastingError(
            f"{where}: the value {before[at]!s}{place}{others} cannot be held as {after.dtype}; "
            "give another dtype, or casting='unsafe' to store what numpy makes of it"
        )


def _lost(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which values are not the same after as before."""
    if before.dtype.names:
        lost = np.zeros(before.shape, bool)
        for name in before.dtype.names:
            field = _lost(before[name], after[name])
            lost |= field.any(axis=tuple(range(lost.ndim, field.ndim)))  # a field may hold arrays
        return lost
    old, new = before.dtype.kind, after.dtype.kind
    if old == "b" or before.dtype == after.dtype:
        return np.zeros(before.shape, bool)
    if old in "iu" and new in "iu":
        bounds = np.iinfo(after.dtype)
        return np.asarray((before < bounds.min) | (before > bounds.max))
    if old in "iu" and new in "fc":
        return _rounded(before, after.real)
    if old in "fc":
        return np.asarray(np.isfinite(before) & ~np.isfinite(after))
    if old in "iu" and new == "m":  # the least of 64 bits stands for NaT
        return np.asarray(np.isnat(after) | (before > np.iinfo(np.int64).max))
    # NaT differs from itself; it stays what it is.
    return np.asarray((after.astype(before.dtype) != before) & (before == before))


def _rounded(integers: npt.NDArray[Any], floats: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which integers are not exactly what they became."""
    bounds = np.iinfo(integers.dtype)
    wide = floats.astype(np.float64)
    # What a float beyond the range becomes as an integer is undefined.
    inside = (wide >= float(bounds.min)) & (wide < float(bounds.max + 1))
    back = np.where(inside, wide, 0).astype(integers.dtype)
    return np.asarray(~inside | (back != integers))
