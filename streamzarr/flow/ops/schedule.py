"""Which message a dispatch starts next: pure decisions over explicit state, no threads, no clock."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from streamzarr.flow.message import Message


class Job(NamedTuple):
    """A message that waits for a worker, or is with one."""

    message: Message
    alone: bool
    """Runs only while nothing else does."""


class Schedule:
    """Ready messages first come, first served; failed ones again when their time has come.

    A job that runs alone waits until all others have ended, and none is started past it meanwhile, so it
    cannot starve. A job that is due again goes before the ready ones: it is the oldest, and its offset holds
    back the partition's commits.

    Not thread-safe: the dispatch calls it under its lock. Times are seconds of whatever clock the caller has.

    Examples
    --------
    >>> schedule = Schedule()
    >>> schedule.add(Job(Message(data="a"), alone=False))
    >>> job = schedule.start(now=0.0)
    >>> schedule.retry(job, due=5.0)
    >>> schedule.start(now=4.9), schedule.next_due(), schedule.start(now=5.0).message.data
    (None, 5.0, 'a')
    """

    def __init__(self) -> None:
        self._ready: deque[Job] = deque()
        self._later: list[tuple[float, int, Job]] = []  # a heap; the number keeps equal times in order
        self._numbers = itertools.count()
        self._running = 0
        self._running_alone = False

    @property
    def queued(self) -> int:
        """Number of jobs that wait, for a worker or for their time."""
        return len(self._ready) + len(self._later)

    @property
    def running(self) -> int:
        """Number of jobs started and neither finished nor put off."""
        return self._running

    def add(self, job: Job) -> None:
        """Queue a job behind the others."""
        self._ready.append(job)

    def start(self, now: float) -> Job | None:
        """Take the next job that may run now; ``None`` if none may."""
        due = []
        while self._later and self._later[0][0] <= now:
            due.append(heapq.heappop(self._later)[2])
        self._ready.extendleft(reversed(due))
        if not self._ready or self._running_alone or (self._ready[0].alone and self._running):
            return None
        job = self._ready.popleft()
        self._running += 1
        self._running_alone = job.alone
        return job

    def finish(self) -> None:
        """Note that a started job has ended."""
        self._running -= 1
        self._running_alone = False

    def retry(self, job: Job, due: float) -> None:
        """Note that a started job has ended and shall start again at `due`."""
        self.finish()
        heapq.heappush(self._later, (due, next(self._numbers), job))

    def next_due(self) -> float | None:
        """Return when the next put-off job may start; ``None`` if there is none."""
        return self._later[0][0] if self._later else None

    def withdraw(self, belongs: Callable[[Message], bool]) -> list[Message]:
        """Take out the messages that `belongs` picks and that are not running, oldest first."""
        queued = [job for _, _, job in sorted(self._later, key=lambda entry: entry[:2])] + list(self._ready)
        withdrawn = [job.message for job in queued if belongs(job.message)]
        if withdrawn:
            self._ready = deque(job for job in self._ready if not belongs(job.message))
            self._later = [entry for entry in self._later if not belongs(entry[2].message)]
            heapq.heapify(self._later)
        return withdrawn
