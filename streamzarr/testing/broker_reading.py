"""How a broker's records are read outside any group, and what happens when they are gone."""

# ruff: noqa: D102 - the tests say by their names what they test

from __future__ import annotations

import contextlib

import pytest

from streamzarr.errors import OffsetOutOfRangeError, TopicNotFoundError
from streamzarr.queue.base import MAX_NOTE_BYTES, Broker, NewRecord, Reader, Record, TopicPartition
from streamzarr.queue.retry import is_transient
from streamzarr.queue.scan import scan
from streamzarr.testing.broker_bench import BrokerBench


class ReadingCases(BrokerBench):
    """Readers, times and trimming."""

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
            deadline = self.deadline()

            def fill_later() -> None:
                self.runtime.event().wait(0.3)
                self.fill(broker, single, 1)

            filling = self.runtime.thread(fill_later, "fills later")
            filling.start()
            records = reader.poll(10, self.patience)
            filling.join()
            assert [record.value for record in records] == [b"0"]
            assert deadline.left > self.patience / 2, "woken, not timed out"

    def test_a_reader_never_gets_more_than_asked_for(self, broker: Broker, single: str) -> None:
        self.fill(broker, single, 100)
        with broker.reader(single) as reader:
            sizes: list[int] = []
            while sum(sizes) < 100:
                sizes.append(len(reader.poll(7, self.patience)))
            assert max(sizes) <= 7

    def test_a_topic_made_anew_has_another_identity(self, broker: Broker, topic: str) -> None:
        first = broker.identify(topic)
        assert broker.identify(topic) == first
        other = broker.identify(self.new_topic(broker, 1))
        assert (other.cluster, other.topic != first.topic) == (first.cluster, True)
        broker.delete_topic(topic)
        with pytest.raises(TopicNotFoundError):
            broker.identify(topic)
        broker.create_topic(topic, 4)
        assert broker.identify(topic).topic != first.topic

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

    def test_a_trimmed_position_is_an_error_that_says_what_was_lost(
        self, broker: Broker, single: str
    ) -> None:
        self.fill(broker, single, 10)
        broker.trim(single, {0: 5})
        with broker.reader(single, {0: 2}) as reader:
            error = self._error_of(reader)
        assert (error.topic, error.partition) == (single, 0)
        assert (error.position, error.begin, error.end) == (2, 5, 10)
        assert f"position 2 of {single}[0] is out of range" in str(error)
        assert "3 records, 2 to 4, were trimmed or have expired" in str(error)
        assert not is_transient(error), "trying again does not bring them back"

    def test_a_position_beyond_the_end_is_an_error(self, broker: Broker, single: str) -> None:
        self.fill(broker, single, 3)
        with broker.reader(single, {0: 99}) as reader:
            error = self._error_of(reader)
        assert (error.position, error.begin, error.end) == (99, 0, 3)
        assert not is_transient(error)

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
        for _ in range(2):
            assert self._error_of(consumer).begin == 5
        consumer.seek({partition: 5})
        assert [record.offset for record in self.take(consumer, 5)] == [5, 6, 7, 8, 9]

    def test_a_commit_beyond_the_end_is_an_error_until_sought(
        self, broker: Broker, single: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        partition = TopicPartition(single, 0)
        self.fill(broker, single, 3)
        with broker.consumer([single], group) as consumer:
            self.take(consumer, 3)
            consumer.commit({partition: 1000})  # as of a topic that was made anew
        assert broker.describe(single).reading_from(broker.committed(group, single)) == {0: 0}
        consumer = opened.enter_context(broker.consumer([single], group))
        assert (self._error_of(consumer).position, self._error_of(consumer).end) == (1000, 3)
        consumer.seek({partition: 0})
        assert [record.offset for record in self.take(consumer, 3)] == [0, 1, 2]

    def test_a_note_is_kept_with_a_position_until_the_next_one(
        self, broker: Broker, topic: str, group: str
    ) -> None:
        first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
        note = "x" * MAX_NOTE_BYTES
        with broker.consumer([topic], group) as consumer:
            self.until(lambda: len(consumer.assignment()) == 4, consumer, what="all is assigned")
            consumer.commit({first: 4, second: 2}, {first: note})
        with broker.consumer([topic], group) as consumer:
            self.until(lambda: len(consumer.assignment()) == 4, consumer, what="all is assigned")
            assert {each: text for each, text in consumer.notes().items() if text} == {first: note}
            assert consumer.positions()[first] == 4
            consumer.commit({second: 2}, {second: "here"})
            consumer.commit({first: 5})
        with broker.consumer([topic], group) as consumer:
            self.until(lambda: len(consumer.assignment()) == 4, consumer, what="all is assigned")
            assert {each: text for each, text in consumer.notes().items() if text} == {second: "here"}

    def test_other_partitions_are_read_and_the_error_is_told_however_busy_they_are(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 100, partition)
        with broker.consumer([topic], group) as consumer:
            self.take(consumer, 400)
            consumer.commit({TopicPartition(topic, partition): 2 for partition in range(4)})
        broker.trim(topic, {1: 50})
        consumer = opened.enter_context(broker.consumer([topic], group))
        records: list[Record] = []
        errors: list[OffsetOutOfRangeError] = []
        deadline = self.deadline()
        while len(records) < 3 * 98 or not errors:
            assert not deadline.passed, f"{len(records)} records, {len(errors)} errors"
            try:
                records += consumer.poll(5, 0.1)
            except OffsetOutOfRangeError as error:
                errors.append(error)
        assert {error.partition for error in errors} == {1}
        consumer.seek({TopicPartition(topic, 1): 50})
        records += self.take(consumer, 50)
        found = sorted((record.partition, record.offset) for record in records)
        assert found == [(p, n) for p in range(4) for n in range(50 if p == 1 else 2, 100)]

    def test_what_is_trimmed_while_it_is_read_is_an_error_and_nothing_before_it_is_lost(
        self, broker: Broker, single: str
    ) -> None:
        self.fill(broker, single, 3000)
        with broker.reader(single, {0: 0}) as reader:
            records = self.take(reader, 10)
            broker.trim(single, {0: 3000})
            self.fill(broker, single, 1)
            deadline = self.deadline()
            try:
                while records[-1].offset < 3000:
                    assert not deadline.passed
                    records += reader.poll(1000, 0.1)
                missed = 0  # all were fetched before
            except OffsetOutOfRangeError as error:
                missed = error.begin - error.position
        assert [record.offset for record in records[: 3000 - missed]] == list(range(3000 - missed))
        assert len(records) == (3001 if not missed else 3000 - missed)

    def _error_of(self, reader: Reader) -> OffsetOutOfRangeError:
        deadline = self.deadline()
        while not deadline.passed:
            try:
                assert reader.poll(10, 0.2) == [], "silently read from elsewhere"
            except OffsetOutOfRangeError as error:
                return error
        pytest.fail(f"no error within {self.patience} s")

    # ------------------------------------------------------------ scan

    def test_scan_reads_what_is_there_now(self, broker: Broker, topic: str) -> None:
        for partition in range(4):
            self.fill(broker, topic, 5, partition)
        broker.trim(topic, {2: 3, 3: 5})
        found = sorted((record.partition, record.offset) for record in scan(broker, topic))
        assert found == [*((p, n) for p in range(2) for n in range(5)), (2, 3), (2, 4)]
        some = list(scan(broker, topic, {0: 4, 1: 5}, {0: 5, 1: 5, 2: 3, 3: 5}))
        assert [(record.partition, record.offset) for record in some] == [(0, 4)]

    @pytest.mark.parametrize("position", [2, 99])
    def test_scan_of_what_is_not_there_fails_at_once(
        self, broker: Broker, single: str, position: int
    ) -> None:
        self.fill(broker, single, 10)
        broker.trim(single, {0: 5})
        deadline = self.deadline()
        with pytest.raises(OffsetOutOfRangeError, match=f"position {position} of {single}"):
            list(scan(broker, single, {0: position}))
        assert deadline.left > self.patience / 2, "not after ten seconds without a record"
        rest = list(scan(broker, single, {0: position}, on_gap="skip"))
        assert [record.offset for record in rest] == [5, 6, 7, 8, 9]

    def test_scan_of_what_is_trimmed_meanwhile_goes_on_where_asked_to(
        self, broker: Broker, single: str
    ) -> None:
        self.fill(broker, single, 5000)
        records = scan(broker, single, on_gap="skip")
        offsets = [next(records).offset]
        broker.trim(single, {0: 4990})
        offsets += [record.offset for record in records]
        assert offsets == sorted(set(offsets))
        assert offsets[-10:] == list(range(4990, 5000))
