"""Progress of a long loop: a callback, or one line on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], object]
"""Called with how many are done and how many there are."""


def as_progress(progress: Progress | bool | None, unit: str = "chunks") -> Progress:
    """Return a callback for ``progress=``: None or False is silent, True draws a line on stderr."""
    if callable(progress):
        return progress
    return _Line(unit) if progress else _silent


def _silent(done: int, total: int) -> None:
    """Report nothing."""


class _Line:
    """A bar that is drawn at most ten times a second, and once at the end."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._started = time.monotonic()
        self._drawn = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self._drawn < 0.1:
            return
        self._drawn = now
        filled = 30 * done // total if total else 30
        rate = done / (now - self._started) if now > self._started else 0.0
        bar = "█" * filled + "░" * (30 - filled)
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{bar} {done}/{total} {self._unit}  {rate:,.0f}/s{end}")
        sys.stderr.flush()
