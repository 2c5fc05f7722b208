"""Event time and durations: int64 nanoseconds, whatever a user writes them as."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import numpy as np

from streamzarr.errors import ConfigError

SECOND: Final = 10**9
"""Nanoseconds."""
FIRST: Final = -(2**63)
"""Before all moments. (numpy's "not a time" has the same number, so it is no moment.)"""
LAST: Final = 2**63 - 1
"""Behind all moments."""
FARTHEST: Final = 2**62
"""Moments and durations are less than this many nanoseconds, 146 years, so their sums fit 64 bits."""

Duration: TypeAlias = float | int | str | timedelta
"""Seconds, or text such as ``"10s"``, ``"1min"``, ``"250ms"``, ``"2h"``, ``"1d"``."""

_UNITS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?) *(ns|us|ms|s|min|h|d)")
_DAY: Final = 24 * 3600 * SECOND


def duration(value: Duration, what: str, least: int = 0) -> int:
    """Return a duration in nanoseconds; `what` names it in errors.

    Raises
    ------
    streamzarr.errors.ConfigError
        It is none, or shorter than `least` nanoseconds.

    Examples
    --------
    >>> duration("1min", "size"), duration(0.5, "size"), duration("250 ms", "size")
    (60000000000, 500000000, 250000000)
    """
    nanoseconds: float = -1
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        unit = _DAY if match[2] == "d" else _UNITS[match[2]]
        nanoseconds = int(match[1]) * unit if match[1].isdigit() else float(match[1]) * unit
    elif isinstance(value, timedelta):
        nanoseconds = value.total_seconds() * SECOND
    elif isinstance(value, int | np.integer) and not isinstance(value, bool):
        nanoseconds = int(value) * SECOND
    elif isinstance(value, float | np.floating) and math.isfinite(value):
        nanoseconds = float(value) * SECOND
    if not least <= nanoseconds < FARTHEST:
        expected = f"{least / SECOND:g} seconds or more, or text such as '10s', '1min', '250ms'"
        raise ConfigError(f"{what} is {value!r}, expected {expected}")
    return round(nanoseconds)


def span(least: int = 0) -> Callable[[Any], str | None]:
    """Return the check (:mod:`streamzarr.flow.arguments`) of a duration of at least so many nanoseconds."""

    def check(value: Any) -> str | None:
        try:
            duration(value, "", least)
        except ConfigError:
            bound = "more than 0" if least else "at least 0"
            return f"seconds, {bound}, or text such as '10s', '1min', '250ms'"
        return None

    return check


def moment(value: Any) -> int:
    """Return what a user's `time` function says as nanoseconds since the epoch.

    An integer is nanoseconds, a float is seconds; ``numpy.datetime64`` and ``datetime`` (without a time zone:
    UTC) say for themselves.

    Raises
    ------
    ValueError
        It is no moment, or farther than 146 years from 1970.

    Examples
    --------
    >>> moment(1_500_000_000), moment(1.5), moment(np.datetime64("1970-01-01T00:00:01.5"))
    (1500000000, 1500000000, 1500000000)
    """
    found: int | None = None
    if type(value) is int:
        found = value
    elif isinstance(value, float | np.floating):
        seconds = float(value)
        found = round(seconds * SECOND) if abs(seconds) < FARTHEST else None
    elif isinstance(value, np.datetime64):
        found = None if np.isnat(value) else int(value.astype("datetime64[us]").astype("int64")) * 1000
        if found is not None and np.datetime_data(value.dtype)[0] in ("ns", "ps", "fs", "as"):
            found = int(value.astype("datetime64[ns]").astype("int64"))
    elif isinstance(value, np.integer):
        found = int(value)
    elif isinstance(value, datetime):
        found = _of_datetime(value) if value == value else None  # pandas.NaT is a datetime
    if found is None or abs(found) >= FARTHEST:
        raise ValueError(
            f"the time of a message is {value!r}, expected integer nanoseconds, seconds or a datetime64,"
            " in the years 1824 to 2116"
        )
    return found


def _of_datetime(value: datetime) -> int:
    if value.tzinfo is None:
        since = value - datetime(1970, 1, 1)
    else:
        since = value.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    nanoseconds = since.microseconds * 1000 + getattr(since, "nanoseconds", 0)  # those of pandas
    return (since.days * 86400 + since.seconds) * SECOND + nanoseconds
