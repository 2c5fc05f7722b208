"""Time and waking, kept apart so that tests run on a clock of their own."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue
from typing import Protocol


class Bell:
    """Wakes the one thread that waits on it; a ring before the wait is not lost.

    Any thread may :meth:`ring`, and so may a signal handler: ``SimpleQueue.put`` is reentrant, which no
    lock, ``Condition`` or ``Event`` of Python is. Only the owner calls :meth:`wait`.

    Examples
    --------
    >>> bell = Bell()
    >>> bell.ring()
    >>> bell.wait(10.0), bell.wait(0.0)
    (True, False)
    """

    __slots__ = ("_rings", "_rung")

    def __init__(self) -> None:
        self._rings: SimpleQueue[None] = SimpleQueue()
        self._rung = False  # saves tokens, no more: see wait

    @property
    def rung(self) -> bool:
        """True when the next :meth:`wait` returns at once."""
        return self._rung

    def ring(self) -> None:
        """Wake the owner, now or at its next :meth:`wait`."""
        if not self._rung:
            self._rung = True
            self._rings.put(None)

    def wait(self, timeout: float) -> bool:
        """Block until a ring, at most `timeout` seconds; tell whether it rang.

        Why no ring is lost: a ringer changes the state first and looks at the flag afterwards, the owner
        lowers the flag first and looks at the state afterwards. A ringer that finds the flag up has thus
        changed the state before the owner looks. The race leaves at most a surplus token: one idle turn.
        """
        try:
            if timeout > 0:
                self._rings.get(timeout=timeout)
            else:
                self._rings.get_nowait()
        except Empty:
            return self._lower()
        self._rung = False
        return True

    def _lower(self) -> bool:
        rung, self._rung = self._rung, False
        return rung


class Clock(Protocol):
    """Seconds that only go forward, and waiting in them."""

    def now(self) -> float:
        """Return the seconds since some fixed moment."""

    def wait(self, bell: Bell, timeout: float) -> bool:
        """Wait for `bell`, at most `timeout` seconds; tell whether it rang."""


class _Monotonic:
    """The machine's monotonic clock."""

    now = staticmethod(time.monotonic)

    def wait(self, bell: Bell, timeout: float) -> bool:
        return bell.wait(timeout)


MONOTONIC: Clock = _Monotonic()
