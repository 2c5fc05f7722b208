"""Times of records: which can be taken, by those before them alone. Pure; nanoseconds since the epoch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streamzarr.feeds.columns import in_seconds

Numbers: TypeAlias = npt.NDArray[np.int64]
Refused: TypeAlias = tuple[npt.NDArray[np.bool_], str]
"""Rows, and why their records are bad."""

SPAN: Final = 2**62
"""Nanoseconds before and after 1970 between which times are: so a sum of two of them is a number, too."""
YEARS: Final = 200
"""From 1970 on: more than `SPAN`, and less than 64 bits of nanoseconds have."""
MISSING: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class Seen:
    """The times of a run, each with the latest of all before it."""

    there: npt.NDArray[np.bool_]
    """Which rows have a time that may be one."""
    before: Numbers
    latest: int | None
    """The latest time of all up to the end of the run; None: there are none."""
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """How far ahead a time may be."""

    column: str
    """The column with the times."""
    ahead: int
    """Of all before it, if only its own time speaks for it."""
    gap: int
    """Of all before it, if it is about that of the record itself, as when nothing came for long."""
    clock: int
    """Of the clock; only told."""

    def look(
        self, times: Numbers, timely: npt.NDArray[np.bool_], latest: int | None, until: Numbers | int
    ) -> Seen:
        """Return the times of a run behind others; one that is too far ahead does not count behind it.

        Parameters
        ----------
        timely
            Which are about those of their records, as :func:`about` says.
        latest
            The latest time of all before the run.
        until
            The latest time that each may have by the clock.
        """
        missing = times == MISSING
        outside = ~missing & (np.abs(times) >= SPAN)
        beyond = ~outside & (times > until)
        there = ~(missing | outside | beyond)
        reach = np.where(timely, self.gap, self.ahead)
        before, last = _running(times, there, reach, latest)
        far = there & (times > before + reach)
        refused = (
            (missing, f"{self.column} is missing"),
            (outside, f"{self.column} is not between 1824 and 2116, as times of slots and windows are"),
            (beyond, f"{self.column} is more than {in_seconds(self.clock)} ahead of the clock"),
            *(
                (far & (reach == most), f"{self.column} is more than {in_seconds(most)} ahead of all before")
                for most in (self.ahead, self.gap)
            ),
        )
        return Seen(there, before, last, refused)


def nanoseconds(times: npt.NDArray[np.datetime64]) -> Numbers:
    """Return times of any unit; one that is too far away for a number of nanoseconds is `SPAN`.

    >>> nanoseconds(np.array(["1970-01-01T00:00:02", "2603-10-11", "NaT"], "M8[s]")).tolist() == [
    ...     2_000_000_000, SPAN, MISSING
    ... ]
    True
    """
    found = times.astype("M8[ns]").astype(np.int64)
    ends = [np.fmin.reduce(times), np.fmax.reduce(times)] if len(times) else []
    if _are_far(np.array(ends, times.dtype)).any():  # first of two, as to know it of all takes long
        found[_are_far(times)] = SPAN
    return found


def _are_far(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.bool_]:
    years = times.astype("M8[Y]").astype(np.int64)
    return np.not_equal(years, MISSING) & np.greater(np.abs(years), YEARS)


def about(times: Numbers, timestamps: Numbers, most: int) -> npt.NDArray[np.bool_]:
    """Tell which times are about those of their records, in milliseconds; negative: a record has none."""
    told = (timestamps >= 0) & (timestamps < SPAN // 10**6) & (np.abs(times) < SPAN)
    apart = np.abs(np.where(told, times - timestamps * 10**6, 0))
    return told & (apart <= most)


def told(records: npt.NDArray[np.intp], refused: Iterable[Refused]) -> dict[int, str]:
    """Return the records of which a row is refused, with the first reason that there is.

    >>> told(np.array([0, 0, 1]), [(np.array([False, True, False]), "late")])
    {0: 'late'}
    """
    bad: dict[int, str] = {}
    for which, reason in refused:
        for record in np.unique(records[which]).tolist():
            bad.setdefault(record, reason)
    return bad


def _running(
    times: Numbers, there: npt.NDArray[np.bool_], reach: Numbers, latest: int | None
) -> tuple[Numbers, int | None]:
    """Return the latest time before each row, of those not too far ahead themselves, and behind all.

    Times that are not `there` do not count; `reach` is how far ahead of all before each may be.
    """
    first = times[there][:1]
    if not len(first):
        return np.zeros_like(times), latest
    before = int(first[0]) if latest is None else latest
    times = np.where(there, times, -SPAN)
    if times.max() - before <= reach.min():
        known = np.maximum.accumulate(np.concatenate([[before], times]))
        return known[:-1], int(known[-1])
    found = np.empty(len(times), np.int64)
    for index, (time, most) in enumerate(zip(times.tolist(), reach.tolist(), strict=True)):
        found[index] = before
        if before < time <= before + most:
            before = time
    return found, before
