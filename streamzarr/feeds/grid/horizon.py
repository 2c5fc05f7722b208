"""How far ahead of the clock records of a grid may be, told again as it was told first. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

ANYWHERE = 2**63 - 1


class Horizon:
    """Owned by the chain's thread.

    The clock has moved when a record is read again. What was taken before has a time up to `seen`, and what
    was refused a later one: nothing is taken that is at or beyond a time that was refused, while that record
    may be read again.

    Parameters
    ----------
    wall_ns
        The time of day, nanoseconds since 1970.
    ahead
        Nanoseconds by which a time may be ahead of the clock.
    known
        Up to which offset records were settled when this life began.
    seen
        The latest time of those that were taken of them; None: nobody looked at the clock.

    Examples
    --------
    >>> clock = iter([0, 15, 15])
    >>> horizon = Horizon(clock.__next__, 10, 0, None)
    >>> horizon.until(np.array([0, 1]))
    array([10, 10])
    >>> horizon.refuse(np.array([1]), np.array([20]))
    >>> horizon.until(np.array([2]))
    array([19])
    >>> horizon.settle(2)
    >>> horizon.until(np.array([2]))
    array([25])
    """

    def __init__(self, wall_ns: Callable[[], int], ahead: int, known: int, seen: int | None) -> None:
        self._wall_ns, self._ahead, self._known = wall_ns, ahead, known
        self._seen = ANYWHERE if seen is None else seen
        self._limit = -ANYWHERE if seen is None else seen
        self._refused: deque[tuple[int, int]] = deque()  # later offsets have later times

    def until(self, offsets: Numbers) -> Numbers:
        """Return the latest time that the record at each offset may have."""
        now = self._wall_ns()
        while self._refused and self._refused[0][1] <= now:  # else nothing might ever be taken again
            self._refused.popleft()
        self._limit = max(self._limit, now + self._ahead)
        limit = min(self._limit, self._refused[0][1] - 1) if self._refused else self._limit
        return np.where(offsets < self._known, self._seen, limit)

    def refuse(self, offsets: Numbers, times: Numbers) -> None:
        """Note records that are refused, before anybody hears of it."""
        for offset, time in zip(offsets.tolist(), times.tolist(), strict=True):
            while self._refused and self._refused[-1][1] >= time:
                self._refused.pop()
            self._refused.append((offset, time))

    def settle(self, opened: int) -> None:
        """Forget records before the one from which on they are read again."""
        while self._refused and self._refused[0][0] < opened:
            self._refused.popleft()
