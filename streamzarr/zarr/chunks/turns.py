"""Brief reads take turns, on purpose: two threads at a time would take longer than one after the other.

A chunk of 16 KiB that is in the page cache takes some 20 us, a third of them in three system calls. Each of
these lets go of the GIL; where another thread reads, too, there is somebody who takes it, and then whom to
wait for: a switch of threads a call, which costs as much as the call. A thread that waits for its turn wants
no GIL meanwhile. Where reads turn out to wait for a disk, threads go side by side.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

BRIEF = 100e-6
"""Seconds that a read may take to be worth a turn."""
PATIENCE = 1e-3
"""Seconds that a thread waits for its turn: many brief reads. Then it goes ahead all the same."""
SLOW = 8
"""So many reads in a row that were not brief are no accident."""
ASIDE = 500
"""Reads that go without turns then."""


class Turns:
    """Carries out reads one after the other while they are brief. Thread-safe."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Let all be free, in a forked child, too: the thread that had the turn does not exist there."""
        self._lock = threading.Lock()
        self._slow = 0
        self._aside = 0  # an update that is lost costs nothing but a try

    def read(self, action: Callable[[], T]) -> T:
        """Carry out `action`, if need be when no other thread is at one."""
        if self._aside > 0:
            self._aside -= 1
            return action()
        mine = self._lock.acquire(False) or self._lock.acquire(timeout=PATIENCE)
        began = time.perf_counter()
        try:
            return action()
        finally:
            if mine:
                self._slow = self._slow + 1 if time.perf_counter() - began > BRIEF else 0
                if self._slow >= SLOW:
                    self._slow, self._aside = 0, ASIDE
                self._lock.release()


turns = Turns()
"""Those of this process: there is one GIL."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=turns.renew)
