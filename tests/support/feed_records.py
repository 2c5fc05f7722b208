"""Records of a topic as a formula of partition and offset, and what a feed is to make of them, by numpy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = npt.NDArray[np.int64]
Columns: TypeAlias = dict[str, npt.NDArray[Any]]

START = 10**12
SPACING = 100
"""Milliseconds of event time between two records."""
STEP = 1000
LATENESS = 5 * STEP
KEYS = np.array([f"S{number}" for number in range(8)])
LATE_KEY = "late"
"""Key of the messages that are too late for a grid."""


def is_bad(offsets: Numbers) -> npt.NDArray[np.bool_]:
    """Tell which records cannot be decoded."""
    return offsets % 97 == 0


def is_late(offsets: Numbers) -> npt.NDArray[np.bool_]:
    """Tell which records come when their slot is closed."""
    return offsets % 1009 == 700


def times_of(offsets: Numbers) -> Numbers:
    """Return when records happened, milliseconds; some come as late as they may."""
    late = np.where(offsets % 11 == 5, LATENESS - 1, 0)
    return START + offsets * SPACING - np.where(is_late(offsets), 4 * LATENESS, late)


def numbers_of(offsets: Numbers, partition: int) -> Numbers:
    """Return what records say, other numbers in each partition."""
    return (offsets * 7919 + partition * 104_729) % 1_000_003


def keys_of(offsets: Numbers, partition: int) -> Numbers:
    """Return of which key records are: most come often, the last one seldom."""
    return np.where(offsets % 150 == 149, len(KEYS) - 1, (offsets // 3 + partition) % (len(KEYS) - 1))


def messages(start: int, stop: int, partition: int) -> list[tuple[str | None, bytes]]:
    """Return keys and values of the records from `start` to `stop`."""
    offsets = np.arange(start, stop)
    columns = (
        is_bad(offsets),
        is_late(offsets),
        numbers_of(offsets, partition),
        times_of(offsets),
        KEYS[keys_of(offsets, partition)],
    )
    return [
        (None, b"bad")
        if bad
        else (
            LATE_KEY if late else None,
            b'{"n": %d, "bid": %d.25, "at": %d, "s": "%s"}' % (n, n, at, key.encode()),
        )
        for bad, late, n, at, key in zip(*(column.tolist() for column in columns), strict=True)
    ]


@dataclass(frozen=True)
class Expected:
    """What is to become of the first `count` records of a partition."""

    partition: int
    count: int

    @cached_property
    def good(self) -> Numbers:
        """Offsets of the records that can be decoded."""
        offsets = np.arange(self.count)
        return offsets[~is_bad(offsets)]

    @property
    def late(self) -> Numbers:
        """Offsets of those that come when their slot is closed."""
        return self.good[is_late(self.good)]

    def rows(self) -> Columns:
        """Return a row for each record that can be decoded."""
        return {
            "offset": self.good,
            "at": times_of(self.good),
            "n": numbers_of(self.good, self.partition),
            "s": KEYS[keys_of(self.good, self.partition)],
        }

    def slots(self) -> Numbers:
        """Return all slots that are closed, since 1970."""
        times = times_of(self.good[~is_late(self.good)])
        return np.arange(times.min() // STEP, (times.max() - LATENESS) // STEP)

    def cells(self, *, with_late: bool = False) -> Columns:
        """Return a row for each closed slot and key that has records, by slot, then key.

        Late records come after all others of their cell.
        """
        records = self.good[~is_late(self.good)]
        records = records[times_of(records) // STEP <= self.slots()[-1]]
        if with_late:
            records = np.concatenate([records, self.late])
        cells = times_of(records) // STEP * len(KEYS) + keys_of(records, self.partition)
        order = np.argsort(cells, kind="stable")
        numbers = numbers_of(records, self.partition)[order]
        found, starts, counts = np.unique(cells[order], return_index=True, return_counts=True)
        return {
            "slot": found // len(KEYS),
            "key": KEYS[found % len(KEYS)],
            "count": counts,
            "sum": np.add.reduceat(numbers, starts),
            "open": numbers[starts],
            "high": np.maximum.reduceat(numbers, starts),
            "low": np.minimum.reduceat(numbers, starts),
            "close": numbers[starts + counts - 1],
        }
