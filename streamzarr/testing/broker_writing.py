"""What a broker does with the records that it is given."""

# ruff: noqa: D102 - the tests say by their names what they test

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from streamzarr.errors import QueueError
from streamzarr.queue.base import Broker, NewRecord, Record
from streamzarr.testing.broker_bench import BrokerBench


class WritingCases(BrokerBench):
    """Records as they are sent, in order, durable, and refused."""

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
        before = self.runtime.wall_ns() // 1_000_000
        self.fill(broker, single, 1)
        with broker.reader(single) as reader:
            [record] = self.take(reader, 1)
        assert before - 1 <= record.timestamp <= self.runtime.wall_ns() // 1_000_000 + 1

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

        threads = [self.runtime.thread(partial(guarded, name), name.decode()) for name in names]
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
