"""How records are fetched: by columns, and within bounds of their number and of their bytes."""

# ruff: noqa: D102 - the tests say by their names what they test

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from streamzarr.errors import OffsetOutOfRangeError
from streamzarr.queue.base import Broker, NewRecord, Reader, Record, TopicPartition
from streamzarr.queue.columns import Columns
from streamzarr.testing.broker_bench import BrokerBench

WHEN = 1_767_225_600_000


class FetchingCases(BrokerBench):
    """Columns, and bounds in bytes. Needs no group of several members."""

    def test_columns_are_the_records_field_by_field(self, broker: Broker, single: str) -> None:
        sent = [
            NewRecord(b"a", key=b"k", headers=(("h", b"1"), ("h", b"")), partition=0, timestamp=WHEN),
            NewRecord(None, key=b"k", partition=0, timestamp=WHEN + 5),
            NewRecord(b"", partition=0, timestamp=WHEN - 5),
            NewRecord(b"\x00" * 100, key=b"", partition=0, timestamp=WHEN),
        ]
        self.send(broker, single, *sent)
        with broker.reader(single) as reader:
            runs = self.take_columns(reader, 4)
        with broker.reader(single) as reader:
            records = self.take(reader, 4)
        assert [record for run in runs for record in run.records()] == records
        assert [value for run in runs for value in run.values] == [each.value for each in sent]
        assert [key for run in runs for key in run.keys] == [each.key for each in sent]
        assert [headers for run in runs for headers in run.headers] == [each.headers for each in sent]
        offsets, timestamps = (
            np.concatenate([getattr(r, n) for r in runs]) for n in ("offsets", "timestamps")
        )
        assert offsets.dtype == timestamps.dtype == np.dtype(np.int64)
        assert offsets.tolist() == [0, 1, 2, 3]
        assert timestamps.tolist() == [each.timestamp for each in sent]
        assert sum(run.nbytes for run in runs) == 1 + 1 + 2 + 1 + 100 + 1

    def test_a_run_is_of_one_partition_and_knows_where_it_lies(self, broker: Broker, topic: str) -> None:
        for partition in range(4):
            self.fill(broker, topic, 50, partition)
        with broker.reader(topic) as reader:
            runs = self.take_columns(reader, 200)
        position = dict.fromkeys(range(4), 0)
        for run in runs:
            assert run.where == (topic, run.partition)
            assert run.offsets.tolist() == list(range(run.first, run.stop))
            assert run.first == position[run.partition], "in order, without a gap"
            position[run.partition] = run.stop
        assert set(position.values()) == {50}

    def test_a_run_can_be_cut_and_each_record_be_had(self, broker: Broker, single: str) -> None:
        self.fill(broker, single, 30)
        with broker.reader(single) as reader:
            run = max(self.take_columns(reader, 30), key=len)
        records = run.records()
        count = len(run)
        assert count > 2
        for start in range(count):
            head, tail = records[:start], run[start:]
            assert tail.records() == records[start:]
            assert (tail.first, tail.stop) == (records[start].offset, run.stop)
            assert run.record(start) == records[start] == run.record(start - count)
            if head:
                assert run[:start].records() == head
                assert run[:start].stop == head[-1].offset + 1
        with pytest.raises(IndexError):
            run.record(count)
        for empty in (slice(1, 1), slice(count, None), slice(None, None, 2)):
            with pytest.raises(ValueError, match="expected a slice of one or more"):
                run[empty]

    def test_no_more_bytes_than_asked_for(self, broker: Broker, topic: str) -> None:
        sizes = self.uneven(broker, topic, 300)
        with broker.reader(topic) as reader:
            got = 0
            for records in self.polls(reader, len(sizes), max_records=40, max_bytes=3000):
                assert len(records) <= 40
                assert sum(map(_size, records)) <= 3000 or len(records) == 1
                got += len(records)
        assert got == len(sizes)

    def test_a_record_larger_than_the_bound_comes_alone(self, broker: Broker, single: str) -> None:
        self.send(broker, single, *(NewRecord(bytes(5000), partition=0) for _ in range(8)))
        with broker.reader(single) as reader:
            polls = list(self.polls(reader, 8, max_records=100, max_bytes=1))
        assert [[record.offset for record in records] for records in polls] == [[n] for n in range(8)]

    @pytest.mark.parametrize("seed", range(3))
    def test_whatever_the_bounds_each_record_comes_once_and_in_order(
        self, broker: Broker, topic: str, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        counts, limits = [1, 7, 100, 1000], [None, 1, 500, 5000, 10**6]
        sizes = self.uneven(broker, topic, 400)
        position: dict[int, int] = dict.fromkeys(range(4), 0)
        deadline = self.deadline()
        with broker.reader(topic) as reader:
            while sum(position.values()) < len(sizes):
                assert not deadline.passed
                count, limit = counts[rng.integers(len(counts))], limits[rng.integers(len(limits))]
                for run in reader.poll_columns(count, 0.1, limit):
                    assert run.first == position[run.partition]
                    position[run.partition] = run.stop
                assert {where.partition: at for where, at in reader.positions().items()} == position

    def test_what_was_fetched_beyond_the_bound_is_forgotten_by_a_seek(
        self, broker: Broker, single: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        where = TopicPartition(single, 0)
        self.send(broker, single, *(NewRecord(bytes(1000), partition=0) for _ in range(100)))
        consumer = opened.enter_context(broker.consumer([single], group))
        for position in (50, 0, 90, 3):
            list(self.polls(consumer, 1, max_records=20, max_bytes=2500))
            consumer.seek({where: position})
            [record] = self.take(consumer, 1)
            assert record.offset == position
            assert consumer.positions() == {where: position + 1}

    def test_what_was_fetched_beyond_the_bound_waits_while_its_partition_is_paused(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(2):
            self.send(broker, topic, *(NewRecord(bytes(1000), partition=partition) for _ in range(60)))
        consumer = opened.enter_context(broker.consumer([topic], group))
        [first, *_] = next(self.polls(consumer, 1, max_records=20, max_bytes=2500))
        paused = TopicPartition(topic, first.partition)
        position = consumer.positions()[paused]
        consumer.pause([paused])
        other = 1 - first.partition
        left = 60 - consumer.positions()[TopicPartition(topic, other)]
        for records in self.polls(consumer, left, max_records=20, max_bytes=2500):
            assert {record.partition for record in records} == {other}
        assert consumer.poll(100, 0.2, 2500) == []
        consumer.resume([paused])
        rest = self.take(consumer, 60 - position)
        assert [record.offset for record in rest] == list(range(position, 60))

    def test_a_seek_while_being_assigned_is_where_reading_begins(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 20, partition)
        with broker.consumer([topic], group) as consumer:
            self.take(consumer, 80)
            consumer.commit({TopicPartition(topic, partition): 3 for partition in range(3)})

        class Seeks:
            """Stands for whoever keeps positions elsewhere."""

            def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
                consumer.seek({where: 10 + where.partition for where in partitions})
                assigned.update(consumer.positions())

            def on_revoked(self, partitions: Sequence[TopicPartition]) -> None: ...

            def on_lost(self, partitions: Sequence[TopicPartition]) -> None: ...

        assigned: dict[TopicPartition, int] = {}
        consumer = opened.enter_context(broker.consumer([topic], group, listener=Seeks()))
        records = self.take(consumer, 10 + 9 + 8 + 7)
        assert assigned == {TopicPartition(topic, partition): 10 + partition for partition in range(4)}
        for partition in range(4):
            offsets = [record.offset for record in records if record.partition == partition]
            assert offsets == list(range(10 + partition, 20)), "nothing from where the group had been"

    def test_a_trimmed_position_is_an_error_by_columns_too(self, broker: Broker, single: str) -> None:
        self.fill(broker, single, 10)
        broker.trim(single, {0: 5})
        deadline = self.deadline()
        error = None
        with broker.reader(single, {0: 2}) as reader:
            while error is None:
                assert not deadline.passed
                try:
                    assert reader.poll_columns(10, 0.2, 1000) == []
                except OffsetOutOfRangeError as caught:
                    error = caught
        assert (error.position, error.begin, error.end) == (2, 5, 10)

    def test_little_is_fetched_ahead_if_so_told_and_all_is_read(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            values = (bytes(200_000 if n == 5 else 1000) for n in range(40))
            self.send(broker, topic, *(NewRecord(value, partition=partition) for value in values))
        readers = (
            broker.reader(topic, prefetch_bytes=10_000),
            broker.consumer([topic], group, prefetch_bytes=10_000),
        )
        for reader in map(opened.enter_context, readers):
            found = [(record.partition, record.offset) for record in self.take(reader, 160)]
            assert sorted(found) == [(partition, n) for partition in range(4) for n in range(40)]

    # ------------------------------------------------------------ helpers

    def uneven(self, broker: Broker, topic: str, count: int) -> list[int]:
        """Write records of most different sizes into four partitions; return the sizes."""
        rng = np.random.default_rng(count)
        sizes = [int(size) for size in rng.choice([0, 3, 100, 1000, 4000], count)]
        headers = (("name", b"value"),)
        records = [
            NewRecord(bytes(size), b"key" * (n % 2), headers * (n % 3), n % 4) for n, size in enumerate(sizes)
        ]
        self.send(broker, topic, *records)
        return sizes

    def take_columns(self, reader: Reader, count: int) -> list[Columns]:
        """Poll until `count` records are there, in runs."""
        runs: list[Columns] = []
        deadline = self.deadline()
        while (missing := count - sum(map(len, runs))) > 0:
            assert not deadline.passed, f"{missing} of {count} records are missing"
            runs += reader.poll_columns(missing, 0.1)
        return runs

    def polls(
        self, reader: Reader, count: int, *, max_records: int, max_bytes: int
    ) -> Iterator[list[Record]]:
        """Yield what each poll gives that gives something, until `count` records have come."""
        deadline = self.deadline()
        while count > 0:
            assert not deadline.passed, f"{count} records are missing"
            if records := reader.poll(max_records, 0.1, max_bytes):
                count -= len(records)
                yield records


def _size(record: Record) -> int:
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers
