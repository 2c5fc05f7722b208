"""Which dtype holds some values of JSON as they are. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from streamzarr.feeds.columns import AHEAD, ColumnSpec, TimeUnit
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.values import Values
from streamzarr.flow.windows.moments import duration

_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_FINER: Final = {
    "datetime64[ns]": re.compile(r"[.,]\d{9}\d*[1-9]"),
    "datetime64[us]": re.compile(r"[.,]\d{6}\d*[1-9]"),
}
"""Dtypes of times, and what texts have in which they would cut something off."""
_NUMBER: Final = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_TIMELY: Final = re.compile(r"(^|[._])(t|ts|at|time|date|when|timestamp)|(time|stamp)$", re.IGNORECASE)
_UNITS: Final[dict[TimeUnit, int]] = {"s": 10**9, "ms": 10**12, "us": 10**15, "ns": 10**18}
"""From these numbers on an integer is a time after 2001 in a unit; before a thousand times as much."""
_DIGITS: Final = 15
"""Of a number in a text that is told from any other as a float, too."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """What a column of the values would be."""

    dtype: str
    unit: TimeUnit | None = None
    is_sorted: bool = False
    """They are times that never decrease within a partition, none of them of the far future."""
    holds_all: bool = True
    """No value is bad in it."""


def fitting(path: str, values: Sequence[Any], partitions: Sequence[int], now: int) -> Fitting:
    """Return what holds booleans, numbers and texts that were found at a path.

    Parameters
    ----------
    values, partitions
        In the order in which they came; at least one.
    now
        The time of day, nanoseconds since 1970.

    Examples
    --------
    >>> fitting("id", ["007", "008"], [0, 0], 0).dtype, fitting("n", [2**64 - 1], [0], 0).dtype
    ('string', 'u8')
    """
    kinds = set(map(type, values))
    unit = _unit(path, values) if kinds == {int} else None
    if unit is not None or (kinds == {str} and all(map(_ISO.match, values))):
        for dtype, finer in _FINER.items():
            cut = unit is None and any(map(finer.search, values))
            if not cut and (times := _held(dtype, values, unit)) is not None:
                return Fitting(dtype, unit, _is_sorted(times.astype("M8[us]"), partitions, now // 1000))
    for dtype in _candidates(kinds, values):
        if _held(dtype, values) is not None:
            return Fitting(dtype)
    return Fitting("string", holds_all=kinds == {str})


def _candidates(kinds: set[type], values: Sequence[Any]) -> Sequence[str]:
    """Return dtypes in which values of such types are not something else."""
    if kinds == {bool}:
        return ("bool",)
    if bool in kinds:
        return ()
    texts = [each for each in values if isinstance(each, str)]
    if not all(map(_NUMBER.fullmatch, texts)):
        return ()
    whole = float not in kinds and not any("." in each or "e" in each.lower() for each in texts)
    integers = ("i8", "u8") if whole else ()
    short = all(sum(map(str.isdigit, re.split("[eE]", each)[0])) <= _DIGITS for each in texts)
    return (*integers, "f8") if short else integers


def _unit(path: str, values: Sequence[int]) -> TimeUnit | None:
    """Return the unit of integers that are times, by their size and their name; None: they are none."""
    if not _TIMELY.search(path):
        return None
    for unit, least in _UNITS.items():
        if all(least <= each < 1000 * least for each in values):
            return unit
    return None


def _held(dtype: str, values: Sequence[Any], unit: TimeUnit | None = None) -> np.ndarray[Any, Any] | None:
    """Return the values as a column has them; None: it cannot hold all of them."""
    column, bad = Conversion(ColumnSpec("x", dtype, unit=unit))(Values.of(values))
    return None if bad else column


def _is_sorted(times: np.ndarray[Any, Any], partitions: Sequence[int], now: int) -> bool:
    of, counts = np.array(partitions), times.astype("i8")
    if int(counts.max()) > now + duration(AHEAD, "ahead") // 1000:
        return False
    return all((np.diff(counts[of == each]) >= 0).all() for each in np.unique(of))
