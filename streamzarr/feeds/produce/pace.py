"""When records are due. No I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(slots=True)
class Pace:
    """Due times of records by their own times, so many times as fast as they were.

    Examples
    --------
    >>> pace = Pace(speed=10.0)
    >>> pace.start(first=5_000_000_000, now=100.0)
    >>> times = [5_000_000_000, 6_000_000_000, 15_000_000_000]
    >>> pace.due(times, now=100.15), pace.wait(times[2], now=100.15)
    (2, 0.85)
    """

    speed: float
    _first: int = 0
    _began: float = 0.0

    def start(self, first: int, now: float) -> None:
        """Let the record of the time `first`, in nanoseconds, be due now, in seconds of any clock."""
        self._first, self._began = first, now

    def due(self, times: Sequence[int], now: float) -> int:
        """Return how many of the next records are due; of times out of order, the latest so far counts."""
        reached = self._first + (now - self._began) * self.speed * 1e9
        return bisect_right(times, reached) if _ordered(times) else _until(times, reached)

    def wait(self, time: int, now: float) -> float:
        """Return seconds until a record of this time is due."""
        return round(max(0.0, self._began + (time - self._first) / 1e9 / self.speed - now), 9)


def _ordered(times: Sequence[int]) -> bool:
    return all(a <= b for a, b in pairwise(times))


def _until(times: Sequence[int], reached: float) -> int:
    return next((at for at, time in enumerate(times) if time > reached), len(times))
