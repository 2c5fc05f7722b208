"""The behaviour of a broker as a pytest class: subclass it, give it a broker, and every test runs by name.

>>> import pytest
>>> from streamzarr.queue import open_broker
>>> class TestMyBroker(BrokerSuite):
...     @pytest.fixture
...     def broker(self, tmp_path):
...         with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
...             yield broker

The broker may hold other topics and groups: the tests use new names, and leave them behind. Everything
that takes time on a real cluster is waited for, up to ``patience`` seconds.
"""

# ruff: noqa: D102 - the tests say by their names what they test

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle  # noqa: TID251 - a broker must survive the pickling that multiprocessing does
import signal
import threading
import time
import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import ClassVar

import pytest

from streamzarr.errors import FencedError, QueueError, TopicNotFoundError
from streamzarr.queue.base import (
    Broker,
    Consumer,
    NewRecord,
    Offsets,
    Reader,
    RebalanceListener,
    Record,
    TopicPartition,
)


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


class BrokerSuite:
    """Every promise of `streamzarr.queue.base`, as one test each."""

    patience: ClassVar[float] = 60.0
    """Seconds after which what has not happened will not happen."""
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
        return f"group-{uuid.uuid4().hex[:12]}"

    @pytest.fixture
    def opened(self) -> Iterator[contextlib.ExitStack]:
        """Consumers put on this stack are closed whatever happens."""
        with contextlib.ExitStack() as stack:
            yield stack

    # ------------------------------------------------------------ helpers

    def new_topic(self, broker: Broker, partitions: int) -> str:
        name = f"topic-{uuid.uuid4().hex[:12]}"
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
        deadline = time.monotonic() + self.patience
        while len(records) < count:
            assert time.monotonic() < deadline, f"got {len(records)} of {count} records: {records[-3:]}"
            got = reader.poll(count - len(records), 0.1)
            assert len(got) <= count - len(records), "more than asked for"
            records += got
        return records

    def until(self, condition: Callable[[], bool], *consumers: Consumer, what: str) -> None:
        """Poll all consumers in turn, taking no records, until `condition` holds."""
        deadline = time.monotonic() + self.patience
        while not condition():
            assert time.monotonic() < deadline, f"still not after {self.patience} s: {what}"
            for consumer in consumers:
                consumer.poll(0, 0.05)

    def balanced(self, *consumers: Consumer, partitions: int = 4) -> None:
        """Wait until the members share all partitions evenly."""

        def even() -> bool:
            counts = [len(consumer.assignment()) for consumer in consumers]
            return sum(counts) == partitions and max(counts) - min(counts) <= 1

        self.until(even, *consumers, what=f"{len(consumers)} members share {partitions} partitions")

    # ------------------------------------------------------------ topics

    def test_create_and_list_topics(self, broker: Broker) -> None:
        names = sorted(self.new_topic(broker, 1) for _ in range(3))
        listed = broker.topics()
        assert listed == sorted(listed)
        assert [name for name in listed if name in names] == names

    def test_create_twice_is_an_error(self, broker: Broker, topic: str) -> None:
        with pytest.raises(QueueError, match=topic):
            broker.create_topic(topic, 4)

    def test_create_twice_with_exist_ok(self, broker: Broker, topic: str) -> None:
        broker.create_topic(topic, 4, exist_ok=True)
        assert broker.describe(topic).partitions == 4

    def test_exist_ok_does_not_hide_another_number_of_partitions(self, broker: Broker, topic: str) -> None:
        with pytest.raises(QueueError, match=topic):
            broker.create_topic(topic, 5, exist_ok=True)

    def test_describe_an_empty_topic(self, broker: Broker, topic: str) -> None:
        info = broker.describe(topic)
        assert (info.name, info.partitions) == (topic, 4)
        assert dict(info.begin) == dict(info.end) == {0: 0, 1: 0, 2: 0, 3: 0}

    def test_describe_counts_what_was_flushed(self, broker: Broker, topic: str) -> None:
        self.fill(broker, topic, 7, partition=2)
        info = broker.describe(topic)
        assert dict(info.begin) == {0: 0, 1: 0, 2: 0, 3: 0}
        assert dict(info.end) == {0: 0, 1: 0, 2: 7, 3: 0}

    def test_delete_topic(self, broker: Broker, topic: str) -> None:
        broker.delete_topic(topic)
        self.until(lambda: topic not in broker.topics(), what=f"{topic} is gone")
        with pytest.raises(TopicNotFoundError, match=topic):
            broker.describe(topic)

    @pytest.mark.parametrize(
        "call", ["describe", "delete", "offsets_at", "trim", "reader", "consumer", "send"]
    )
    def test_an_unknown_topic_is_an_error_that_names_it(
        self, broker: Broker, group: str, opened: contextlib.ExitStack, call: str
    ) -> None:
        name = f"no-such-topic-{uuid.uuid4().hex[:8]}"
        with pytest.raises(TopicNotFoundError, match=name):  # noqa: PT012 - one of these calls
            match call:
                case "describe":
                    broker.describe(name)
                case "delete":
                    broker.delete_topic(name)
                case "offsets_at":
                    broker.offsets_at(name, 0)
                case "trim":
                    broker.trim(name, {0: 0})
                case "reader":
                    opened.enter_context(broker.reader(name)).poll(1, self.patience)
                case "consumer":
                    opened.enter_context(broker.consumer([name], group)).poll(1, self.patience)
                case "send":
                    producer = broker.producer()
                    producer.send(name, [NewRecord(b"lost?")])
                    producer.flush()
        assert name not in broker.topics(), "never created by mistyping"

    # ------------------------------------------------------------ writing and reading back

    def test_a_key_chooses_the_same_partition_on_every_broker(self, broker: Broker, topic: str) -> None:
        keys = [b"EURUSD", b"GBPUSD", b"a", b"\x00\xff", b"chunk/0/17", b"k" * 1000]
        self.send(broker, topic, *(NewRecord(b"", key=key) for key in keys))
        with broker.reader(topic) as reader:
            found = {record.key: record.partition for record in self.take(reader, len(keys))}
        assert found == {key: zlib.crc32(key) % 4 for key in keys}

    def test_a_partition_can_be_chosen(self, broker: Broker, topic: str) -> None:
        self.send(broker, topic, *(NewRecord(b"%d" % n, key=b"same", partition=n) for n in range(4)))
        with broker.reader(topic) as reader:
            assert {r.partition: r.value for r in self.take(reader, 4)} == {
                0: b"0",
                1: b"1",
                2: b"2",
                3: b"3",
            }

    def test_records_without_a_key_reach_some_partition(self, broker: Broker, topic: str) -> None:
        self.send(broker, topic, *(NewRecord(b"%d" % n) for n in range(100)))
        with broker.reader(topic) as reader:
            assert sorted(int(r.value or b"") for r in self.take(reader, 100)) == list(range(100))

    def test_order_and_offsets_within_a_partition(self, broker: Broker, topic: str) -> None:
        self.send(broker, topic, *(NewRecord(b"%d" % n, key=b"key %d" % (n % 10)) for n in range(500)))
        with broker.reader(topic) as reader:
            records = self.take(reader, 500)
        for partition in {record.partition for record in records}:
            mine = [record for record in records if record.partition == partition]
            assert [record.offset for record in mine] == list(range(len(mine)))
            values = [int(record.value or b"") for record in mine]
            assert values == sorted(values)

    def test_everything_of_a_record_comes_back(self, broker: Broker, single: str) -> None:
        headers = (("a", b"1"), ("empty", b""), ("a", b"\x00\xff"), ("ü", b"x" * 1000))
        sent = NewRecord(b"value", key=b"key", headers=headers, timestamp=1_767_225_600_123)
        self.send(broker, single, sent)
        with broker.reader(single) as reader:
            [record] = self.take(reader, 1)
        assert record == Record(single, 0, 0, b"key", b"value", headers, 1_767_225_600_123)

    def test_no_key_and_no_value_are_not_empty_ones(self, broker: Broker, single: str) -> None:
        self.send(broker, single, NewRecord(None), NewRecord(b""), NewRecord(None, key=b"k"))
        with broker.reader(single) as reader:
            found = [(record.key, record.value, record.headers) for record in self.take(reader, 3)]
        assert found == [(None, None, ()), (None, b"", ()), (b"k", None, ())]

    def test_a_timestamp_is_given_when_absent(self, broker: Broker, single: str) -> None:
        before = time.time_ns() // 1_000_000
        self.fill(broker, single, 1)
        with broker.reader(single) as reader:
            [record] = self.take(reader, 1)
        assert before - 1 <= record.timestamp <= time.time_ns() // 1_000_000 + 1

    def test_a_large_value(self, broker: Broker, single: str) -> None:
        value = bytes(range(256)) * 3600
        self.send(broker, single, NewRecord(value), NewRecord(b"after"))
        with broker.reader(single) as reader:
            assert [record.value for record in self.take(reader, 2)] == [value, b"after"]

    def test_a_value_that_is_too_big_is_refused(self, broker: Broker, single: str) -> None:
        with broker.producer() as producer:
            with pytest.raises(QueueError):  # noqa: PT012 - at once, or when it is flushed
                producer.send(single, [NewRecord(bytes(self.too_big))])
                producer.flush(self.patience)
            producer.send(single, [NewRecord(b"small")])
            producer.flush(self.patience)
        assert broker.describe(single).end == {0: 1}

    def test_flush_without_records_returns(self, broker: Broker) -> None:
        with broker.producer() as producer:
            producer.flush()

    def test_records_are_written_without_a_flush_too(self, broker: Broker, single: str) -> None:
        with broker.producer() as producer, broker.reader(single) as reader:
            producer.send(single, [NewRecord(b"soon")])
            assert self.take(reader, 1)[0].value == b"soon"

    def test_closing_a_producer_flushes_and_can_be_repeated(self, broker: Broker, single: str) -> None:
        producer = broker.producer()
        producer.send(single, [NewRecord(b"%d" % n) for n in range(1000)])
        producer.close()
        producer.close()
        assert broker.describe(single).end == {0: 1000}

    def test_many_producers(self, broker: Broker, topic: str) -> None:
        def work(name: bytes) -> None:
            with broker.producer() as producer:
                for n in range(0, 250, 10):
                    producer.send(topic, [NewRecord(b"%d" % m, key=name) for m in range(n, n + 10)])

        self._in_threads(work, [b"one", b"two", b"three", b"four"])
        self._assert_ordered_by_key(broker, topic, 1000)

    def test_a_producer_shared_by_threads(self, broker: Broker, topic: str) -> None:
        with broker.producer() as producer:

            def work(name: bytes) -> None:
                for n in range(250):
                    producer.send(topic, [NewRecord(b"%d" % n, key=name)])
                producer.flush()

            self._in_threads(work, [b"one", b"two", b"three", b"four"])
        self._assert_ordered_by_key(broker, topic, 1000)

    def _in_threads(self, work: Callable[[bytes], None], names: Sequence[bytes]) -> None:
        failures: list[BaseException] = []

        def guarded(name: bytes) -> None:
            try:
                work(name)
            except BaseException as error:  # noqa: BLE001 - raised below
                failures.append(error)

        threads = [threading.Thread(target=guarded, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _assert_ordered_by_key(self, broker: Broker, topic: str, count: int) -> None:
        with broker.reader(topic) as reader:
            records = self.take(reader, count)
            assert reader.poll(1, 0.2) == []
        by_key = defaultdict(list)
        for record in records:
            by_key[record.key].append(int(record.value or b""))
        assert len(by_key) == 4
        for numbers in by_key.values():
            assert numbers == list(range(count // 4))

    # ------------------------------------------------------------ readers, times, trimming

    def test_a_reader_starts_where_told(self, broker: Broker, topic: str) -> None:
        for partition in range(4):
            self.fill(broker, topic, 10, partition)
        with broker.reader(topic, {0: 10, 1: 7, 3: 9}) as reader:
            found = sorted((r.partition, r.offset) for r in self.take(reader, 14))
            assert found == [(1, 7), (1, 8), (1, 9), *((2, n) for n in range(10)), (3, 9)]
            ends = {TopicPartition(topic, partition): 10 for partition in range(4)}
            assert reader.positions() == ends

    def test_a_reader_waits_for_new_records(self, broker: Broker, single: str) -> None:
        with broker.reader(single) as reader:
            assert reader.poll(10, 0.2) == []
            started = time.monotonic()
            timer = threading.Timer(0.3, self.fill, (broker, single, 1))
            timer.start()
            records = reader.poll(10, self.patience)
            timer.join()
            assert [record.value for record in records] == [b"0"]
            assert time.monotonic() - started < self.patience / 2, "woken, not timed out"

    def test_a_reader_never_gets_more_than_asked_for(self, broker: Broker, single: str) -> None:
        self.fill(broker, single, 100)
        with broker.reader(single) as reader:
            sizes: list[int] = []
            while sum(sizes) < 100:
                sizes.append(len(reader.poll(7, self.patience)))
            assert max(sizes) <= 7

    def test_offsets_at_a_time(self, broker: Broker, topic: str) -> None:
        times = [1_767_225_600_000 + 1000 * n for n in range(5)]
        self.send(broker, topic, *(NewRecord(b"", partition=1, timestamp=t) for t in times))
        assert broker.offsets_at(topic, 0) == {0: 0, 1: 0, 2: 0, 3: 0}
        assert broker.offsets_at(topic, times[2]) == {0: 0, 1: 2, 2: 0, 3: 0}
        assert broker.offsets_at(topic, times[2] + 1) == {0: 0, 1: 3, 2: 0, 3: 0}
        assert broker.offsets_at(topic, times[-1] + 1) == {0: 0, 1: 5, 2: 0, 3: 0}

    def test_trim_moves_the_beginning(self, broker: Broker, topic: str) -> None:
        self.fill(broker, topic, 10, partition=3)
        broker.trim(topic, {3: 4})
        info = broker.describe(topic)
        assert dict(info.begin) == {0: 0, 1: 0, 2: 0, 3: 4}
        assert info.end[3] == 10
        with broker.reader(topic) as reader:
            assert [record.offset for record in self.take(reader, 6)] == [4, 5, 6, 7, 8, 9]

    def test_trim_to_the_end_keeps_counting(self, broker: Broker, single: str) -> None:
        self.fill(broker, single, 10)
        broker.trim(single, {0: 10})
        self.fill(broker, single, 1)
        with broker.reader(single) as reader:
            assert [record.offset for record in self.take(reader, 1)] == [10]

    def test_a_trimmed_position_is_an_error_not_a_jump(self, broker: Broker, single: str) -> None:
        self.fill(broker, single, 10)
        broker.trim(single, {0: 5})
        with broker.reader(single, {0: 2}) as reader, pytest.raises(QueueError, match=single):
            self._poll_for_error(reader)

    def test_a_trimmed_commit_is_an_error_until_sought(
        self, broker: Broker, single: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        partition = TopicPartition(single, 0)
        self.fill(broker, single, 10)
        with broker.consumer([single], group) as consumer:
            self.take(consumer, 2)
            consumer.commit({partition: 2})
        broker.trim(single, {0: 5})
        consumer = opened.enter_context(broker.consumer([single], group))
        with pytest.raises(QueueError, match=single):
            self._poll_for_error(consumer)
        consumer.seek({partition: 5})
        assert [record.offset for record in self.take(consumer, 5)] == [5, 6, 7, 8, 9]

    def _poll_for_error(self, reader: Reader) -> None:
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            assert reader.poll(10, 0.2) == [], "silently read from elsewhere"

    # ------------------------------------------------------------ groups

    def test_a_group_begins_at_the_beginning(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 5, partition)
        events = Events()
        consumer = opened.enter_context(broker.consumer([topic], group, listener=events))
        records = self.take(consumer, 20)
        assert sorted((r.partition, r.offset) for r in records) == [
            (p, n) for p in range(4) for n in range(5)
        ]
        assert consumer.assignment() == events.owned == {TopicPartition(topic, p) for p in range(4)}
        assert consumer.positions() == {TopicPartition(topic, p): 5 for p in range(4)}

    def test_a_group_resumes_where_it_committed(self, broker: Broker, single: str, group: str) -> None:
        partition = TopicPartition(single, 0)
        self.fill(broker, single, 10)
        with broker.consumer([single], group) as consumer:
            self.take(consumer, 10)
            consumer.commit({partition: 4})
        assert broker.committed(group, single) == {0: 4}
        with broker.consumer([single], group) as consumer:
            assert [record.offset for record in self.take(consumer, 6)] == [4, 5, 6, 7, 8, 9]

    def test_nothing_is_committed_unasked(self, broker: Broker, single: str, group: str) -> None:
        self.fill(broker, single, 10)
        with broker.consumer([single], group) as consumer:
            self.take(consumer, 10)
        assert broker.committed(group, single) == {}
        with broker.consumer([single], group) as consumer:
            assert len(self.take(consumer, 10)) == 10

    def test_two_groups_are_independent(self, broker: Broker, single: str, group: str) -> None:
        self.fill(broker, single, 5)
        for name in (group, f"{group}-other"):
            with broker.consumer([single], name) as consumer:
                assert [record.offset for record in self.take(consumer, 5)] == [0, 1, 2, 3, 4]
                consumer.commit({TopicPartition(single, 0): 5})

    def test_a_consumer_of_two_topics(
        self, broker: Broker, single: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        other = self.new_topic(broker, 1)
        self.fill(broker, single, 3)
        self.fill(broker, other, 3)
        consumer = opened.enter_context(broker.consumer([single, other], group))
        assert {record.topic for record in self.take(consumer, 6)} == {single, other}

    def test_groups_lists_members_and_positions(self, broker: Broker, single: str, group: str) -> None:
        partition = TopicPartition(single, 0)
        self.fill(broker, single, 3)
        with broker.consumer([single], group) as consumer:
            self.take(consumer, 3)
            consumer.commit({partition: 3})
            [info] = [info for info in broker.groups() if info.name == group]
            assert (info.members, dict(info.committed)) == (1, {partition: 3})
            assert broker.members(group) == 1
        self.until(
            lambda: [info.members for info in broker.groups() if info.name == group] == [0],
            what="the member is gone and the group's positions stay",
        )
        assert broker.members(group) == 0
        assert broker.members(f"{group}-that-nobody-joined") == 0

    def test_polling_for_nothing_joins_and_takes_nothing(
        self, broker: Broker, single: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        self.fill(broker, single, 3)
        consumer = opened.enter_context(broker.consumer([single], group))
        self.until(lambda: bool(consumer.assignment()), consumer, what="the only member owns the partition")
        assert consumer.poll(0, 0.0) == []
        assert [record.offset for record in self.take(consumer, 3)] == [0, 1, 2]

    def test_pause_and_resume_leave_no_gap(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        paused = TopicPartition(topic, 1)
        for partition in range(4):
            self.fill(broker, topic, 20, partition)
        consumer = opened.enter_context(broker.consumer([topic], group))
        records = self.take(consumer, 10)
        consumer.pause([paused])
        before = sum(record.partition == 1 for record in records)
        rest = self.take(consumer, 70 - (20 - before))
        assert all(record.partition != 1 for record in rest)
        assert consumer.poll(100, 0.3) == []
        assert paused in consumer.assignment()
        consumer.resume([paused])
        offsets = [r.offset for r in [*records, *self.take(consumer, 20 - before)] if r.partition == 1]
        assert offsets == list(range(20))

    def test_what_is_paused_stays_so_when_it_went_and_came_back(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 5, partition)
        one = opened.enter_context(broker.consumer([topic], group))
        self.balanced(one)
        everything = sorted(one.assignment())
        one.pause(everything)
        two = opened.enter_context(broker.consumer([topic], group))
        self.balanced(one, two)
        two.close()
        self.balanced(one)
        assert one.poll(100, 0.5) == []
        one.resume(everything)
        assert len(self.take(one, 20)) == 20

    def test_seek(self, broker: Broker, single: str, group: str, opened: contextlib.ExitStack) -> None:
        partition = TopicPartition(single, 0)
        self.fill(broker, single, 10)
        consumer = opened.enter_context(broker.consumer([single], group))
        self.take(consumer, 5)
        consumer.seek({partition: 8})
        assert [record.offset for record in self.take(consumer, 2)] == [8, 9]
        consumer.seek({partition: 1})
        assert [record.offset for record in self.take(consumer, 3)] == [1, 2, 3]
        assert consumer.positions() == {partition: 4}

    def test_a_join_moves_only_what_it_must(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        first, second = Events(), Events()
        one = opened.enter_context(broker.consumer([topic], group, listener=first))
        self.balanced(one)
        two = opened.enter_context(broker.consumer([topic], group, listener=second))
        self.balanced(one, two)
        assert first.owned == one.assignment()
        assert second.owned == two.assignment()
        assert not first.owned & second.owned
        assert (first.total("assigned"), first.total("revoked"), first.total("lost")) == (4, 2, 0)
        assert (second.total("assigned"), second.total("revoked"), second.total("lost")) == (2, 0, 0)

    def test_a_leave_hands_over_at_once(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        first, second = Events(), Events()
        one = opened.enter_context(broker.consumer([topic], group, listener=first))
        two = opened.enter_context(broker.consumer([topic], group, listener=second))
        self.balanced(one, two)
        two.close()
        assert second.owned == set()
        assert second.total("lost") == 0
        self.balanced(one)
        assert first.total("assigned") >= 4
        two.close()

    def test_a_third_member_of_four_partitions_and_a_fifth_that_gets_none(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        consumers = [opened.enter_context(broker.consumer([topic], group)) for _ in range(5)]
        self.balanced(*consumers)
        owned = [partition for consumer in consumers for partition in consumer.assignment()]
        assert len(owned) == len(set(owned)) == 4

    def test_a_commit_while_partitions_are_revoked_counts(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 10, partition)
        events = Events()
        one = opened.enter_context(broker.consumer([topic], group, listener=events))
        events.commit_on_revoke = lambda partitions: one.commit(dict.fromkeys(partitions, 6))
        self.take(one, 40)
        two = opened.enter_context(broker.consumer([topic], group))
        records: list[Record] = []
        deadline = time.monotonic() + self.patience
        while len(records) < 8:
            assert time.monotonic() < deadline, f"the second member got {records}"
            assert one.poll(10, 0.05) == []
            records += two.poll(10, 0.05)
        moved = {record.partition for record in records}
        assert len(moved) == 2
        assert sorted((r.partition, r.offset) for r in records) == sorted(
            (p, n) for p in moved for n in range(6, 10)
        )

    def test_a_commit_of_a_partition_never_owned_is_fenced(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        one = opened.enter_context(broker.consumer([topic], group))
        two = opened.enter_context(broker.consumer([topic], group))
        self.balanced(one, two)
        foreign = next(iter(two.assignment()))
        with pytest.raises(FencedError, match=topic):
            one.commit({foreign: 1})
        assert broker.committed(group, topic) == {}

    def test_a_member_that_does_not_poll_loses_its_partitions_and_its_commits_are_fenced(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 5, partition)
        events = Events()
        timeouts = {"session_timeout": self.session_timeout, "max_poll_interval": self.session_timeout}
        sleeper = opened.enter_context(broker.consumer([topic], group, listener=events, **timeouts))
        self.take(sleeper, 20)
        owned = sleeper.assignment()
        assert len(owned) == 4

        other = opened.enter_context(broker.consumer([topic], group))
        self.until(lambda: other.assignment() == owned, other, what="the other member owns everything")
        assert len(self.take(other, 20)) == 20, "nothing was committed"
        other.commit(dict.fromkeys(owned, 5))

        with pytest.raises(FencedError):
            sleeper.commit(dict.fromkeys(owned, 1))
        assert broker.committed(group, topic) == {0: 5, 1: 5, 2: 5, 3: 5}
        self.until(lambda: events.total("lost") == 4, sleeper, other, what="on_lost is called")
        assert events.total("revoked") == 0
        self.balanced(sleeper, other)  # it joins again

    def test_a_killed_member_is_replaced_and_what_it_did_not_commit_comes_again(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 10, partition)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(
            target=_consume_and_hang, args=(broker, topic, group, self.session_timeout, 40, 3, there)
        )
        process.start()
        there.close()
        opened.callback(process.kill)
        assert here.poll(self.patience), "the member never got its records"
        assert here.recv() == 40
        assert broker.committed(group, topic) == {0: 3, 1: 3, 2: 3, 3: 3}

        survivor = opened.enter_context(broker.consumer([topic], group))
        self.until(lambda: len(survivor.assignment()) == 2, survivor, what="both members share the topic")
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        records = self.take(survivor, 4 * 7)
        assert sorted((r.partition, r.offset) for r in records) == [
            (p, n) for p in range(4) for n in range(3, 10)
        ]

    # ------------------------------------------------------------ processes

    def test_a_broker_travels_by_its_url(self, broker: Broker, single: str) -> None:
        self.fill(broker, single, 3)
        with pickle.loads(pickle.dumps(broker)) as copy:  # noqa: S301 - our own bytes
            assert copy.url == broker.url
            assert copy.describe(single).end == {0: 3}

    def test_closing_can_be_repeated(self, broker: Broker, single: str, group: str) -> None:
        reader, consumer = broker.reader(single), broker.consumer([single], group)
        for each in (reader, consumer):
            each.poll(0, 0.0)
            each.close()
            each.close()


def _consume_and_hang(
    broker: Broker,
    topic: str,
    group: str,
    session_timeout: float,
    records: int,
    position: int,
    done: Connection,
) -> None:
    """Run in a process of its own: read, commit `position` everywhere, and go on polling until killed."""
    consumer = broker.consumer([topic], group, session_timeout=session_timeout)
    got = 0
    while got < records:
        got += len(consumer.poll(records - got, 0.1))
    committed: Offsets = dict.fromkeys(consumer.assignment(), position)
    consumer.commit(committed)
    done.send(got)
    while True:
        consumer.poll(10, 0.1)
