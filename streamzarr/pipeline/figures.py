"""What the workers of one stage have done, for those who look on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from streamzarr.pipeline.bisect import Outcome
from streamzarr.runtime import Runtime


class Figures:
    """Counts calls of one stage. Any thread may call any method; a lock is held for a moment.

    Examples
    --------
    >>> from streamzarr.testing.clock import FakeClock
    >>> clock = FakeClock()
    >>> figures = Figures(clock)
    >>> with figures.working(10):
    ...     clock.advance(3.0)
    >>> clock.advance(1.0)
    >>> figures.shown(concurrency=1)
    {'at_work': 0, 'calls': 1, 'done': 0, 'failed': 0, 'again': 0, 'workload': 0.75}
    """

    def __init__(self, runtime: Runtime) -> None:
        self._now = runtime.now
        self._lock = runtime.lock()
        self._begun = runtime.now()
        self._at_work = self._calls = self._done = self._failed = self._again = 0
        self._busy = 0.0

    @contextmanager
    def working(self, count: int) -> Iterator[None]:
        """Count a call with `count` messages, and its time."""
        begun = self._now()
        with self._lock:
            self._at_work += count
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= count
                self._calls += 1
                self._busy += self._now() - begun

    def count(self, outcome: Outcome) -> Outcome:
        """Count what a call has decided, and return it."""
        failed = sum(message.failure is not None for message in outcome.decided)
        with self._lock:
            self._done += len(outcome.decided) - failed
            self._failed += failed
            self._again += len(outcome.again)
        return outcome

    def shown(self, concurrency: int) -> dict[str, Any]:
        """Return the figures; the workload is the share of the time that `concurrency` workers were busy."""
        with self._lock:
            time = (self._now() - self._begun) * concurrency
            return {
                "at_work": self._at_work,
                "calls": self._calls,
                "done": self._done,
                "failed": self._failed,
                "again": self._again,
                "workload": round(min(1.0, self._busy / time), 3) if time > 0 else 0.0,
            }
