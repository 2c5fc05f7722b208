"""Topics for tests of pipelines, and waiting for what they do with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from streamzarr.pipeline import TopicSource
from streamzarr.queue import Broker
from streamzarr.queue.ahead import decode
from streamzarr.queue.base import NewRecord, TopicPartition
from streamzarr.queue.deadletter import DeadLetter
from streamzarr.queue.embedded.broker import EmbeddedBroker
from streamzarr.queue.letters import DeadLetterQueue
from streamzarr.runtime import SYSTEM, Deadline

PATIENCE = 200.0
"""Seconds for what happens in a moment on a machine with nothing else to do."""


class Place:
    """A broker, and names for topics and groups that nobody else has."""

    def __init__(self, broker: Broker, prefix: str) -> None:
        self.broker, self.prefix = broker, prefix
        self.group = f"{prefix}-group"
        self._topics: list[str] = []

    def topic(self, name: str, partitions: int = 1) -> str:
        """Create a topic."""
        full = f"{self.prefix}-{name}"
        self.broker.create_topic(full, partitions)
        self._topics.append(full)
        return full

    def fill(self, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
        """Write records into one partition."""
        with self.broker.producer() as producer:
            producer.send(topic, [NewRecord(value, partition=partition) for value in values])

    def source(self, *topics: str, **options: object) -> TopicSource:
        """Return the source that reads topics for the group."""
        return TopicSource(self.broker, topics=topics, group=self.group, **options)  # type: ignore[arg-type]

    def committed(self, topic: str) -> dict[int, int]:
        """Return the positions of the group."""
        return self.broker.committed(self.group, topic)

    def ahead(self, topic: str) -> int:
        """Return how many records the group keeps as done beyond its position in the first partition."""
        position = self.committed(topic).get(0)
        return 0 if position is None else sum(map(len, decode(position, self._note(topic))))

    def _note(self, topic: str) -> str:
        if isinstance(self.broker, EmbeddedBroker):
            query = "SELECT n.note FROM notes n JOIN groups g ON n.grp = g.id WHERE g.name = ?"
            with self.broker._database.read() as db:
                return next(iter(db.execute(query, (self.group,))), ("",))[0]
        partition = TopicPartition(topic, 0)
        return self.broker._admin.stored(self.group, [partition])[partition].note  # type: ignore[attr-defined]

    def letters(self, topic: str) -> list[DeadLetter]:
        """Return the open letters of a topic."""
        return [letter for _, letter in DeadLetterQueue(self.broker, topic).ls()]

    def tidy(self) -> None:
        """Delete the topics."""
        there = set(self.broker.topics())
        for topic in self._topics:
            if topic in there:
                self.broker.delete_topic(topic)


def until(condition: Callable[[], object], what: str = "condition", patience: float = PATIENCE) -> None:
    """Return when `condition` holds."""
    for _ in Deadline(SYSTEM, patience).tries(every=0.02):
        if condition():
            return
    raise AssertionError(f"{what} not reached within {patience:g} s")


class Noted:
    """What handlers saw, from any thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.handled: list[bytes] = []
        self.stored: list[bytes] = []
        self.calls: list[int] = []

    def note(self, into: list[bytes], values: Sequence[bytes]) -> None:
        """Add to one of the lists."""
        with self.lock:
            into += values
