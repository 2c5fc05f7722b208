"""A runtime whose clock moves only when somebody waits on it or pushes it."""

from __future__ import annotations

import math

from streamzarr.runtime import Bell, SystemRuntime
from streamzarr.runtime.system import SystemBell


class FakeClock(SystemRuntime):
    """A :class:`streamzarr.runtime.Runtime` for tests: waiting for a bell takes no time, it moves the clock.

    One thread drives it; work in other threads takes real time and is not covered by it.

    Examples
    --------
    >>> clock = FakeClock()
    >>> clock.bell().wait(2.5)
    False
    >>> clock.now()
    2.5
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the seconds on this clock."""
        return self._now

    def bell(self) -> Bell:
        """Return a bell; to wait for it lets the seconds pass, unless it has rung."""
        return _FakeBell(self)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; always some time, if they are more than 0, however few."""
        if seconds > 0:
            self._now = max(self._now + seconds, math.nextafter(self._now, math.inf))


class _FakeBell(SystemBell):
    __slots__ = ("_clock",)

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float) -> bool:
        if super().wait(0.0):
            return True
        self._clock.advance(timeout)
        return False
