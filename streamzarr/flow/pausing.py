"""Partitions that pause: their records fail more than they may, or what the work needs is not there.

A pause ends the claim: nothing of the partition is acknowledged beyond what is settled, and nothing is read.
Then it is tried, at growing intervals, whether reading on from there goes well. Everything here is told the
time and only decides.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from streamzarr.queue.base import TopicPartition
from streamzarr.runtime import SYSTEM, Runtime


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a partition is to pause, and when it is tried again.

    Examples
    --------
    >>> pause = Pause("no credentials", first=1.0, longest=10.0)
    >>> [pause.seconds(tries) for tries in (0, 1, 2, 3, 4, 5000)]
    [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    """

    reason: str
    first: float = 1.0
    """Seconds until the first try; infinity: it waits until it is told to go on."""
    longest: float = 60.0
    """Each try that fails doubles them, up to so many."""
    strict: bool = False
    """It pauses for its letters: when it is tried, the first message that fails makes it pause again. After
    an outage a message that fails by itself becomes a letter, and the partition goes on."""

    def seconds(self, tries: int) -> float:
        """Return how long to wait after so many tries that failed."""
        return max(self.first, min(self.longest, self.first * 2.0 ** min(tries, 64)))


@dataclass(frozen=True, slots=True)
class PausedPartition:
    """A partition that pauses, as it is told to people."""

    partition: TopicPartition
    reason: str
    position: int | None
    """Where it will go on; None: where its group or committer says."""
    since: float
    """When the pause began, seconds of the runtime."""
    tries: int
    """How often it was tried since whether it may go on."""
    next_try: float
    """When it will be tried again, likewise; infinity: when it is told to go on."""
    strict: bool = False
    """As that of the :class:`Pause`."""

    def __str__(self) -> str:
        topic, number = self.partition
        return f"{topic}[{number}] pauses at {self.position}: {self.reason}"


class PauseBoard:
    """The partitions of one chain that pause, of all its sources.

    Threads: the chain's thread writes; any other may look, and may ask that some go on. Nothing blocks.
    """

    def __init__(self, runtime: Runtime = SYSTEM) -> None:
        self._lock = runtime.lock()
        self._paused: dict[TopicPartition, PausedPartition] = {}
        self._trying: dict[TopicPartition, PausedPartition] = {}  # they read again, and have not failed yet
        self._wanted: set[TopicPartition] = set()

    @property
    def paused(self) -> list[PausedPartition]:
        """Those that pause now, in their order."""
        with self._lock:
            return [self._paused[partition] for partition in sorted(self._paused)]

    def go_on(self, partitions: Collection[TopicPartition] | None = None) -> bool:
        """Ask that these, or all, read on at once, with limits as at the beginning; tell if any pauses.

        One on trial does so when it would pause again.
        """
        with self._lock:
            standing = self._paused.keys() | self._trying.keys()
            self._wanted |= standing if partitions is None else standing & set(partitions)
            return bool(self._wanted)

    def begin(
        self, partition: TopicPartition, pause: Pause, position: int | None, now: float
    ) -> PausedPartition:
        """Note that a partition pauses; one that was on trial keeps count of its tries."""
        with self._lock:
            before = self._trying.pop(partition, None)
            tries = 0 if before is None else before.tries
            paused = self._paused[partition] = PausedPartition(
                partition,
                pause.reason,
                position,
                now if before is None else before.since,
                tries,
                now + pause.seconds(tries),
                pause.strict,
            )
            return paused

    def due(self, now: float, ours: Collection[TopicPartition]) -> list[tuple[PausedPartition, bool]]:
        """Take out those of `ours` that are to read on; with each whether that is a trial, or was asked for.

        The others are those of another source of the chain.
        """
        with self._lock:
            found = []
            for partition in sorted(self._paused.keys() & ours):
                paused = self._paused[partition]
                asked = partition in self._wanted
                if asked or now >= paused.next_try:
                    del self._paused[partition]
                    self._wanted.discard(partition)
                    if not asked:
                        self._trying[partition] = replace(paused, tries=paused.tries + 1)
                    found.append((paused, not asked))
            return found

    def passed(self, partition: TopicPartition) -> PausedPartition | None:
        """Note that a record of a partition on trial was done: return what is over, if it was on trial."""
        with self._lock:
            over = self._trying.pop(partition, None)
            if over is not None:
                self._wanted.discard(partition)
            return over

    @property
    def trying(self) -> list[TopicPartition]:
        """Those on trial."""
        with self._lock:
            return list(self._trying)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Forget partitions that are ours no more."""
        with self._lock:
            for partition in partitions:
                self._paused.pop(partition, None)
                self._trying.pop(partition, None)
            self._wanted.difference_update(partitions)
