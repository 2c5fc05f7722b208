"""Records that were not written, until everyone concerned knows."""

from __future__ import annotations

from collections import Counter
from typing import Generic, TypeVar

from streamzarr.queue.base import TopicPartition
from streamzarr.runtime import SYSTEM, Local, Runtime

Reason = TypeVar("Reason")


class Failures(Generic[Reason]):
    """What a producer that threads share could not write.

    A thread that sends is told of every failure from then until its flush has ended, whoever's record it was:
    nobody knows whose. A thread that only flushes is told of those that nobody was told of before.
    Thread-safe.
    """

    def __init__(self, runtime: Runtime = SYSTEM) -> None:
        self._runtime = runtime
        self._lock = runtime.lock()
        self._counts: Counter[TopicPartition] = Counter()
        self._reported: Counter[TopicPartition] = Counter()
        self._last: Reason | None = None
        self._told = self._nobody_told()

    def add(self, partition: TopicPartition, count: int, reason: Reason) -> None:
        """Note that `count` records were not written."""
        with self._lock:
            self._counts[partition] += count
            self._last = reason

    def expect_mine(self) -> None:
        """Say that this thread sends."""
        if self._told.value is None:
            with self._lock:
                self._told.value = self._counts.copy()

    def expect_none(self) -> None:
        """Say that this thread's records are all durable, or it was told."""
        self._told.value = None

    def take(self) -> tuple[Counter[TopicPartition], Reason | None]:
        """Return what this thread has not been told of, by partition, and the reason of the last one."""
        if not self._counts:
            return Counter(), None
        with self._lock:
            told = self._reported if self._told.value is None else self._told.value
            new = self._counts - told
            if not new:
                return new, None
            self._reported = self._counts.copy()
            if self._told.value is not None:
                self._told.value = self._reported
            return new, self._last

    def clear(self) -> None:
        """Forget everything, and who sends: everyone's records are durable, or it was told."""
        with self._lock:
            self._counts, self._reported, self._last = Counter(), Counter(), None
            self._told = self._nobody_told()

    def _nobody_told(self) -> Local[Counter[TopicPartition] | None]:
        """Return what a thread with records on their way was told of; None in the others."""
        return self._runtime.local(None)


def named(counts: Counter[TopicPartition]) -> str:
    """Return how many records of which partitions, for an error: ``3 of ticks[0], 1 of ticks[2]``."""
    return ", ".join(f"{count} of {topic}[{number}]" for (topic, number), count in counts.items())
