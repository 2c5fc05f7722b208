"""What a value in ``sel`` means among the sorted values of a field. No I/O.

As in xarray and pandas: both ends of a slice belong to it, and a text such as ``"2026-01-05"`` or
``"2026-01-05T10"`` means all of that day or hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Label:
    """The values from `first` to `last`, or before it where it `is_open`."""

    first: Any
    last: Any
    is_open: bool = False


def as_label(value: Any, dtype: np.dtype[Any], where: str) -> Label:
    """Return what `value` means for a field of `dtype`; times without a zone are UTC.

    >>> as_label("2026-01-05", np.dtype("M8[ns]"), "ticks")
    Label(first=np.datetime64('2026-01-05'), last=np.datetime64('2026-01-06'), is_open=True)
    >>> as_label(7, np.dtype("i4"), "ticks").last
    7

    Raises
    ------
    TypeError
        It cannot be compared with the field's values.
    ValueError
        A text is no time.
    """
    if dtype.kind == "M":
        if isinstance(value, str):
            try:
                period = np.datetime64(value)
            except ValueError as error:
                raise ValueError(f"{where}: {value!r} is no time: {error}") from error
            if not np.isnat(period) and np.datetime_data(period)[0] != "generic":
                return Label(period, period + 1, is_open=True)
        elif isinstance(value, datetime | date | np.datetime64):
            if isinstance(value, datetime) and value.tzinfo is not None:
                value = value.astimezone(UTC).replace(tzinfo=None)
            moment = np.datetime64(getattr(value, "to_datetime64", lambda: value)())  # pandas has nanoseconds
            if not np.isnat(moment):
                return Label(moment, moment)
    elif dtype.kind == "m":
        if isinstance(value, timedelta | np.timedelta64):
            length = np.timedelta64(getattr(value, "to_timedelta64", lambda: value)())
            if not np.isnat(length):
                return Label(length, length)
    elif isinstance(value, int | float | np.integer | np.floating) and value == value:
        return Label(value, value)
    raise TypeError(f"{where}: {value!r} cannot be looked for among values of {dtype}")
