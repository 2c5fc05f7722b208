"""Local times to UTC, where the clock is put forward and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from streamzarr.errors import ConfigError
from streamzarr.feeds.decode.kinds.base import Unfit

QUARTER = 900
"""Seconds: offsets of our days change at full quarters of an hour."""
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone by its name; a local time that there is not, or that there is twice, is none.

    >>> Zone.of("Europe/Oslo").utc(1577836800) - 1577836800
    -3600
    """

    name: str
    info: Any = field(repr=False, compare=False)

    @classmethod
    def of(cls, name: str) -> Zone:
        """Return the zone; raises :class:`~streamzarr.errors.ConfigError` when this machine has none."""
        try:
            return cls(name, ZoneInfo(name))
        except (ValueError, OSError, KeyError) as error:
            raise ConfigError(
                f"zone {name!r} is not known here, expected such as 'Europe/Oslo' (package tzdata has them)"
            ) from error

    def utc(self, local: int) -> int:
        """Return seconds since 1970 in UTC for `local` ones; raises :class:`Unfit`."""
        try:
            wall = _EPOCH + timedelta(seconds=local)
            offsets = [wall.replace(tzinfo=self.info, fold=fold).utcoffset() for fold in (0, 1)]
            found = {
                offset
                for offset in offsets
                if offset is not None
                and (wall - offset).replace(tzinfo=UTC).astimezone(self.info).replace(tzinfo=None) == wall
            }
        except OverflowError:
            raise Unfit("a year from 2 to 9998 for local time") from None
        if len(found) != 1:
            what = "twice, as the clock was put back" if found else "not, as the clock was put forward"
            raise Unfit(f"another time, or its offset: in {self.name} there is this one {what}")
        return local - int(found.pop().total_seconds())

    def utc_many(self, local: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the same for many, and which are not sure: those of a quarter in which something changes."""
        quarters, place = np.unique(local // QUARTER, return_inverse=True)
        shifts, unsure = np.zeros(len(quarters), np.int64), np.ones(len(quarters), bool)
        if len(quarters) <= 100_000:  # each is looked up by itself
            for at, quarter in enumerate(quarters.tolist()):
                first, last = quarter * QUARTER, quarter * QUARTER + QUARTER - 1
                try:
                    shift = self.utc(first) - first
                    unsure[at] = self.utc(last) - last != shift
                    shifts[at] = shift
                except Unfit:
                    continue
        return local + shifts[place], unsure[place]
