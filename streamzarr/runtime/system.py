"""The runtime of a real machine."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic

from streamzarr.runtime.base import Bell, Condition, Event, Local, Lock, Runtime, T, Thread


class SystemBell:
    """A :class:`streamzarr.runtime.Bell`.

    ``SimpleQueue.put`` is reentrant, which no lock, ``Condition`` or ``Event`` of Python is, so a signal
    handler may ring.

    Examples
    --------
    >>> bell = SystemBell()
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


class _Local(threading.local, Generic[T]):
    """Python calls the constructor anew, with the same argument, in each thread."""

    def __init__(self, value: T) -> None:
        self.value = value


class SystemRuntime(Runtime):
    """Clocks, threads and random numbers of the machine we run on. Safe to fork: it holds no state."""

    def now(self) -> float:
        """Return ``time.monotonic()``."""
        return time.monotonic()

    def wall_ns(self) -> int:
        """Return ``time.time_ns()``."""
        return time.time_ns()

    def random(self) -> float:
        """Return ``random.random()``, which Python seeds anew in a forked child."""
        return random.random()

    def random_bytes(self, count: int) -> bytes:
        """Return bytes of the operating system."""
        return os.urandom(count)

    def bell(self) -> Bell:
        """Return a bell that signal handlers may ring."""
        return SystemBell()

    def lock(self) -> Lock:
        """Return a ``threading.Lock``."""
        return threading.Lock()

    def condition(self) -> Condition:
        """Return a ``threading.Condition``."""
        return threading.Condition()

    def event(self) -> Event:
        """Return a ``threading.Event``."""
        return threading.Event()

    def thread(self, target: Callable[[], None], name: str) -> Thread:
        """Return a daemon ``threading.Thread``."""
        return threading.Thread(target=target, name=name, daemon=True)

    def local(self, initial: T) -> Local[T]:
        """Return a ``threading.local``."""
        return _Local(initial)


SYSTEM: Runtime = SystemRuntime()
"""The runtime of whoever does not say otherwise."""
