"""Which message a dispatch starts next: pure decisions over explicit state, no threads, no clock."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable

from streamzarr.flow.message import Message


class Schedule:
    """Ready messages first come, first served; failed ones again when their time has come.

    What is due again goes before the ready ones: it is the oldest, and its offset holds back the partition's
    commits.

    Not thread-safe: the dispatch calls it under its lock. Times are seconds of whatever clock the caller has.

    Examples
    --------
    >>> schedule = Schedule()
    >>> schedule.add(Message(data="a"))
    >>> message = schedule.start(now=0.0)
    >>> schedule.retry(message, due=5.0)
    >>> schedule.start(now=4.9), schedule.next_due(), schedule.start(now=5.0).data
    (None, 5.0, 'a')
    """

    def __init__(self) -> None:
        self._ready: deque[Message] = deque()
        self._later: list[tuple[float, int, Message]] = []  # a heap; the number keeps equal times in order
        self._numbers = itertools.count()
        self._running = 0

    @property
    def queued(self) -> int:
        """Number of messages that wait, for a worker or for their time."""
        return len(self._ready) + len(self._later)

    @property
    def running(self) -> int:
        """Number of messages started and neither finished nor put off."""
        return self._running

    def add(self, message: Message) -> None:
        """Queue a message behind the others."""
        self._ready.append(message)

    def start(self, now: float) -> Message | None:
        """Take the next message; ``None`` if there is none now."""
        due = []
        while self._later and self._later[0][0] <= now:
            due.append(heapq.heappop(self._later)[2])
        self._ready.extendleft(reversed(due))
        if not self._ready:
            return None
        self._running += 1
        return self._ready.popleft()

    def finish(self) -> None:
        """Note that a started message has ended."""
        self._running -= 1

    def retry(self, message: Message, due: float) -> None:
        """Note that a started message has ended and shall start again at `due`."""
        self.finish()
        heapq.heappush(self._later, (due, next(self._numbers), message))

    def next_due(self) -> float | None:
        """Return when the next put-off message may start; ``None`` if there is none."""
        return self._later[0][0] if self._later else None

    def withdraw(self, belongs: Callable[[Message], bool]) -> list[Message]:
        """Take out the messages that `belongs` picks and that are not running, oldest first."""
        later = [message for _, _, message in sorted(self._later, key=lambda entry: entry[:2])]
        withdrawn = [message for message in (*later, *self._ready) if belongs(message)]
        if withdrawn:
            self._ready = deque(message for message in self._ready if not belongs(message))
            self._later = [entry for entry in self._later if not belongs(entry[2])]
            heapq.heapify(self._later)
        return withdrawn
