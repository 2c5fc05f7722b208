"""Seconds that are left for something."""

from __future__ import annotations

import math
from collections.abc import Iterator

from streamzarr.runtime.base import Runtime


class Deadline:
    """A moment until which something may take, by the clock of a runtime. Owned by one thread.

    Parameters
    ----------
    runtime
        Whose clock counts, and who waits.
    seconds
        From now; None or infinity: for ever.

    Examples
    --------
    >>> from streamzarr.runtime import SYSTEM
    >>> deadline = Deadline(SYSTEM, 30.0)
    >>> deadline.passed, 29 < deadline.left <= 30
    (False, True)
    >>> Deadline(SYSTEM, 0.0).passed, Deadline(SYSTEM, None).left
    (True, inf)

    What is tried again until it succeeds, at least once:

    >>> answers = iter([None, None, "here"])
    >>> for left in deadline.tries(every=0.001):
    ...     if (answer := next(answers)) is not None:
    ...         break
    >>> answer
    'here'
    """

    __slots__ = ("_at", "_runtime")

    def __init__(self, runtime: Runtime, seconds: float | None) -> None:
        self._runtime = runtime
        self._at = runtime.now() + (math.inf if seconds is None else seconds)

    @property
    def left(self) -> float:
        """Seconds until then, never below 0."""
        return max(0.0, self._at - self._runtime.now())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self._runtime.now() >= self._at

    def tries(self, every: float) -> Iterator[float]:
        """Yield the seconds left, at once and every `every` seconds, until none are; waits in between."""
        pause = self._runtime.event()
        while True:
            yield self.left
            if self.passed:
                return
            pause.wait(min(every, self.left))
