"""Times in texts, one by one and by whole columns: the same pattern, the same answer."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.kinds.base import Unfit
from streamzarr.feeds.decode.kinds.time_format import DIGITS
from streamzarr.feeds.decode.kinds.zones import Zone
from streamzarr.feeds.decode.texts import Texts

WIDEST: Final = 64
"""Characters of a time that is read with its whole column."""
MAX_WIDTHS: Final = 16
"""Lengths of texts in one column that are each read together; columns with more are read one by one."""

_DAYS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_LAST: Final = {"month": 12, "hour": 23, "minute": 59, "second": 59}


def one_text(found: re.Match[str], zone: Zone | None) -> tuple[int, int]:
    """Return seconds since 1970 and nanoseconds of a text that matches; raises :class:`Unfit`."""
    part = found.groupdict()
    year, month, day, hour, minute, second = (int(part.get(name) or 0) for name in DIGITS[:6])
    if hour > 23 or minute > 59 or second > 59:
        raise Unfit("hours to 23, minutes to 59 and seconds to 59 (leap seconds have no number)")
    try:
        days = date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        raise Unfit("a day of the calendar") from None
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second
    nanoseconds = int((part.get("fraction") or "")[:9].ljust(9, "0"))
    if (offset := part.get("offset")) is not None:
        return seconds - _offset(offset), nanoseconds
    return (seconds if zone is None else zone.utc(seconds)), nanoseconds


def many_texts(
    texts: Texts, pattern: re.Pattern[str], zone: Zone | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return seconds since 1970, nanoseconds, and which rows are not sure.

    Those of one length that have the same characters where the first of them has no digits are read together.
    """
    count, lengths = len(texts), texts.lengths
    seconds, nanoseconds = np.zeros(count, np.int64), np.zeros(count, np.int64)
    unsure = np.ones(count, bool)
    widths = np.unique(lengths)
    for width in widths.tolist() if len(widths) <= MAX_WIDTHS else ():
        rows = np.flatnonzero(lengths == width)
        if not 0 < width <= WIDEST:
            continue
        cells = texts.matrix(rows, width).view(np.uint8).reshape(len(rows), width)
        found = pattern.fullmatch(cells[0].tobytes().decode("latin-1"))
        if found is not None and _is_offset(found.groupdict().get("offset")):
            seconds[rows], nanoseconds[rows], unsure[rows] = _read(cells, found, zone)
    return seconds, nanoseconds, unsure


def _read(
    cells: NDArray[np.uint8], found: re.Match[str], zone: Zone | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    spans = {name: found.span(name) for name in DIGITS if found.groupdict().get(name) is not None}
    free = np.zeros(cells.shape[1], bool)
    for start, stop in spans.values():
        free[start:stop] = True
    sure = (cells[:, ~free] == cells[0, ~free]).all(axis=1)
    digits = cells[:, free] - np.uint8(48)  # what is below wraps, and is above 9
    sure &= (digits <= 9).all(axis=1)
    part = {name: _number(cells[:, start : min(stop, start + 9)]) for name, (start, stop) in spans.items()}
    zero = np.zeros(len(cells), np.int64)
    year, month, day = part["year"], part["month"], part["day"]
    for name, last in _LAST.items():
        sure &= part.get(name, zero) <= last
    sure &= (year >= 1) & (month >= 1) & (day >= 1)
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    sure &= day <= _DAYS[np.where(sure, month, 0)] + leap
    seconds = _days(year, month, day) * 86_400
    seconds += part.get("hour", zero) * 3600 + part.get("minute", zero) * 60 + part.get("second", zero)
    start, stop = spans.get("fraction", (0, 9))
    nanoseconds = part.get("fraction", zero) * 10 ** (9 - min(stop - start, 9))
    offset: Any = found.groupdict().get("offset")
    if offset is not None:
        seconds -= _offset(offset)
    elif zone is not None:
        seconds, unsure = zone.utc_many(np.where(sure, seconds, 0))
        sure &= ~unsure
    return seconds, nanoseconds, ~sure


def _number(digits: NDArray[np.uint8]) -> NDArray[np.int64]:
    number = np.zeros(len(digits), np.int64)
    for column in digits.T:
        number = number * 10 + (column.astype(np.int64) - 48)
    return number


def _days(year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return days since 1970: the year is taken to begin in March, so that the leap day ends it."""
    early = month <= 2
    year = year - early
    month = month + 12 * early - 3
    return year * 365 + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1 - 719_468


def _offset(text: str) -> int:
    """Return the seconds of ``Z``, ``+01``, ``+0100`` or ``+01:00``; raises :class:`Unfit`."""
    if text in "Zz":
        return 0
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 23 or minutes > 59:
        raise Unfit("an offset of less than a day")
    return (1 - 2 * (text[0] == "-")) * (hours * 3600 + minutes * 60)


def _is_offset(text: str | None) -> bool:
    try:
        return text is None or _offset(text) is not None
    except Unfit:
        return False
