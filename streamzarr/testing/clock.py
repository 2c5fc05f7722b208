"""A clock that moves only when somebody waits on it or pushes it."""

from __future__ import annotations

import math

from streamzarr.flow.clock import Bell


class FakeClock:
    """A :class:`streamzarr.flow.clock.Clock` for tests: waiting takes no time, it moves the clock.

    One thread drives it; work in other threads takes real time and is not covered by it.

    Examples
    --------
    >>> clock = FakeClock()
    >>> clock.wait(Bell(), 2.5)
    False
    >>> clock.now()
    2.5
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the seconds on this clock."""
        return self._now

    def wait(self, bell: Bell, timeout: float) -> bool:
        """Return at once when `bell` has rung, else let `timeout` seconds pass."""
        if bell.wait(0.0):
            return True
        self.advance(timeout)
        return False

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; always some time, if they are more than 0, however few."""
        if seconds > 0:
            self._now = max(self._now + seconds, math.nextafter(self._now, math.inf))
