"""How many messages a worker takes at once: few where each takes long, many where handing over costs more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from streamzarr.runtime import Runtime

SECONDS: Final = 0.005
"""What the work of one call shall take: handing it over costs some 20 µs, and others wait no longer."""
MOST: Final = 500
_NEWEST: Final = 0.2
"""Weight of the newest call in the mean."""


class Pace:
    """Measures what a message takes. Any thread may use it; a measurement that gets lost does no harm.

    Examples
    --------
    >>> from streamzarr.testing.clock import FakeClock
    >>> clock = FakeClock()
    >>> pace = Pace(clock)
    >>> pace.size
    1
    >>> with pace.measured(10):
    ...     clock.advance(0.001)
    >>> pace.size
    50
    """

    def __init__(self, runtime: Runtime) -> None:
        self._now = runtime.now
        self._each: float | None = None

    @property
    def size(self) -> int:
        """Messages for the next call."""
        if self._each is None:
            return 1
        return max(1, min(MOST, round(SECONDS / max(self._each, SECONDS / MOST))))

    @contextmanager
    def measured(self, count: int) -> Iterator[None]:
        """Take the time of what happens inside, with `count` messages."""
        begun = self._now()
        yield
        each = (self._now() - begun) / count
        self._each = each if self._each is None else self._each + _NEWEST * (each - self._each)
