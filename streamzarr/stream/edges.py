"""Where a value lies among those that a dtype has: exactly, whatever types the two are of. No I/O.

numpy compares in a common type: integers of 64 bits as floats of 53, times in the finer unit, which may be
out of range for one of them. So a value becomes one of the field's own before anything is compared.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

BEFORE: Final = -math.inf
"""Less than every value that the dtype has."""
BEHIND: Final = math.inf
"""Greater than every value that it has."""


def edge(value: Any, side: str, dtype: np.dtype[Any]) -> Any:
    """Return the value of `dtype` that belongs where `value` does, or :data:`BEFORE` or :data:`BEHIND` all.

    Parameters
    ----------
    side
        "left": where those begin that are not less; "right": where those begin that are greater.

    Examples
    --------
    >>> edge(2.5, "left", np.dtype("u8")), edge(2.5, "right", np.dtype("u8"))
    (np.uint64(3), np.uint64(2))
    >>> edge(-1, "left", np.dtype("u8")), edge(np.datetime64("3000"), "left", np.dtype("M8[ns]"))
    (-inf, inf)
    """
    if dtype.kind in "mM":
        return _time(value, side, dtype)
    if dtype.kind == "f":
        return value if isinstance(value, np.floating) else _float(value)
    if isinstance(value, float | np.floating):
        if math.isinf(value):
            return BEFORE if value < 0 else BEHIND
        value = math.ceil(value) if side == "left" else math.floor(value)
    limits, number = np.iinfo(dtype), int(value)
    if not limits.min <= number <= limits.max:
        return BEFORE if number < limits.min else BEHIND
    return dtype.type(number)


def _float(value: Any) -> Any:
    try:
        return np.float64(value)
    except OverflowError:
        return np.float64(BEFORE if value < 0 else BEHIND)


def _time(value: Any, side: str, dtype: np.dtype[Any]) -> Any:
    if value.dtype == dtype:
        return value
    try:
        common = np.promote_types(value.dtype, dtype)
    except OverflowError:
        return value  # units that numpy does not compare: it says so
    near = value.astype(dtype)
    if common == dtype.newbyteorder("="):  # of a longer unit
        if near.astype(value.dtype) != value:
            return BEFORE if value.astype("i8") < 0 else BEHIND
    elif common == value.dtype:
        while near.astype(value.dtype) > value:  # timedeltas are cut, not rounded down
            near -= 1
        if side == "left" and near.astype(value.dtype) != value:
            near += 1
    else:
        return value.astype(common)
    return near
