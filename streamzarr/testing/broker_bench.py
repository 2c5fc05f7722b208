"""Topics, groups and patience for tests of a broker."""

# ruff: noqa: D102 - the helpers of tests say by their names what they do

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import pytest

from streamzarr.queue.base import (
    Broker,
    Consumer,
    NewRecord,
    Reader,
    RebalanceListener,
    Record,
    TopicPartition,
)
from streamzarr.runtime import SYSTEM, Deadline, Runtime


class Events(RebalanceListener):
    """A listener that writes down what it is told, and can commit while partitions are being revoked."""

    def __init__(self) -> None:
        self.log: list[tuple[str, frozenset[TopicPartition]]] = []
        self.owned: set[TopicPartition] = set()
        self.commit_on_revoke: Callable[[Sequence[TopicPartition]], None] | None = None

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        assert not self.owned.intersection(partitions), "only new partitions are told of"
        self.owned.update(partitions)
        self.log.append(("assigned", frozenset(partitions)))

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        assert self.owned.issuperset(partitions)
        if self.commit_on_revoke is not None:
            self.commit_on_revoke(partitions)
        self.owned.difference_update(partitions)
        self.log.append(("revoked", frozenset(partitions)))

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        assert self.owned.issuperset(partitions)
        self.owned.difference_update(partitions)
        self.log.append(("lost", frozenset(partitions)))

    def total(self, kind: str) -> int:
        return sum(len(partitions) for event, partitions in self.log if event == kind)


class BrokerBench:
    """What the cases of the suite share: topics of their own, and patience."""

    patience: ClassVar[float] = 60.0
    """Seconds after which what has not happened will not happen."""
    runtime: ClassVar[Runtime] = SYSTEM
    """Of the brokers that the subclass gives."""
    session_timeout: ClassVar[float] = 6.0
    """Kafka's broker accepts no shorter one (``group.min.session.timeout.ms``)."""
    too_big: ClassVar[int] = 17 << 20
    """Bytes of a value that the broker refuses."""

    @pytest.fixture
    def broker(self) -> Broker:
        """Give the broker; every subclass does."""
        raise NotImplementedError

    @pytest.fixture
    def topic(self, broker: Broker) -> str:
        """Make a new topic of four partitions."""
        return self.new_topic(broker, 4)

    @pytest.fixture
    def single(self, broker: Broker) -> str:
        """Make a new topic of one partition."""
        return self.new_topic(broker, 1)

    @pytest.fixture
    def group(self) -> str:
        return self.new_name("group")

    @pytest.fixture
    def opened(self) -> Iterator[contextlib.ExitStack]:
        """Consumers put on this stack are closed whatever happens."""
        with contextlib.ExitStack() as stack:
            yield stack

    # ------------------------------------------------------------ helpers

    def deadline(self) -> Deadline:
        return Deadline(self.runtime, self.patience)

    def new_name(self, kind: str) -> str:
        return f"{kind}-{self.runtime.random_bytes(6).hex()}"

    def new_topic(self, broker: Broker, partitions: int) -> str:
        name = self.new_name("topic")
        broker.create_topic(name, partitions)
        return name

    def send(self, broker: Broker, topic: str, *records: NewRecord) -> None:
        with broker.producer() as producer:
            producer.send(topic, records)
            producer.flush()

    def fill(self, broker: Broker, topic: str, count: int, partition: int = 0) -> None:
        self.send(broker, topic, *(NewRecord(b"%d" % n, partition=partition) for n in range(count)))

    def take(self, reader: Reader, count: int, into: list[Record] | None = None) -> list[Record]:
        """Poll until `count` records are there; fail when more come than asked for."""
        records = [] if into is None else into
        deadline = self.deadline()
        while len(records) < count:
            assert not deadline.passed, f"got {len(records)} of {count} records: {records[-3:]}"
            got = reader.poll(count - len(records), 0.1)
            assert len(got) <= count - len(records), "more than asked for"
            records += got
        return records

    def until(self, condition: Callable[[], bool], *consumers: Consumer, what: str) -> None:
        """Poll all consumers in turn, taking no records, until `condition` holds."""
        deadline = self.deadline()
        while not condition():
            assert not deadline.passed, f"still not after {self.patience} s: {what}"
            for consumer in consumers:
                consumer.poll(0, 0.05)

    def balanced(self, *consumers: Consumer, partitions: int = 4) -> None:
        """Wait until the members share all partitions evenly."""

        def even() -> bool:
            counts = [len(consumer.assignment()) for consumer in consumers]
            return sum(counts) == partitions and max(counts) - min(counts) <= 1

        self.until(even, *consumers, what=f"{len(consumers)} members share {partitions} partitions")
