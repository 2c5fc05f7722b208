"""What a broker does with records that are written together."""

# ruff: noqa: D102 - the tests say by their names what they test

from __future__ import annotations

import pytest

from streamzarr.errors import FencedError, QueueError, TopicNotFoundError
from streamzarr.queue.base import Broker, NewRecord
from streamzarr.queue.scan import scan
from streamzarr.testing.broker_bench import BrokerBench


class AtomicCases(BrokerBench):
    """Records of several topics: all of them, or none, and by one writer of a name."""

    def found(self, broker: Broker, topic: str, count: int) -> list[bytes | None]:
        with broker.reader(topic) as reader:
            return sorted(
                (record.value for record in self.take(reader, count)), key=lambda value: value or b""
            )

    def test_records_of_several_topics_are_written_together(
        self, broker: Broker, topic: str, single: str
    ) -> None:
        with broker.atomic_writer(self.new_name("writer")) as writer:
            writer.write(
                [(topic, NewRecord(b"%d" % n, partition=n)) for n in range(4)] + [(single, NewRecord(b"x"))]
            )
            writer.write(
                [(single, NewRecord(b"y", key=b"k", headers=(("h", b"1"),), timestamp=1_767_225_600_123))]
            )
        assert self.found(broker, topic, 4) == [b"0", b"1", b"2", b"3"]
        with broker.reader(single) as reader:
            first, second = self.take(reader, 2)
        assert (first.value, second.key, second.value) == (b"x", b"k", b"y")
        assert (second.headers, second.timestamp) == ((("h", b"1"),), 1_767_225_600_123)

    def test_what_a_closed_writer_has_written_is_there_at_once(self, broker: Broker, single: str) -> None:
        for n in range(20):
            with broker.atomic_writer(self.new_name("writer")) as writer:
                writer.write([(single, NewRecord(b"%d" % n))])
            assert [record.value for record in scan(broker, single)] == [
                b"%d" % each for each in range(n + 1)
            ]

    def test_with_a_record_that_is_refused_none_is_written(self, broker: Broker, single: str) -> None:
        with broker.atomic_writer(self.new_name("writer")) as writer:
            with pytest.raises(QueueError):
                writer.write([(single, NewRecord(b"lost?")), (single, NewRecord(bytes(self.too_big)))])
            with pytest.raises(TopicNotFoundError, match="no-such-topic"):
                writer.write(
                    [(single, NewRecord(b"lost?")), (self.new_name("no-such-topic"), NewRecord(b""))]
                )
            writer.write([(single, NewRecord(b"after"))])
        assert self.found(broker, single, 1) == [b"after"]

    def test_a_newer_writer_of_the_name_fences_the_older(self, broker: Broker, single: str) -> None:
        name = self.new_name("writer")
        older = broker.atomic_writer(name)
        older.write([(single, NewRecord(b"a"))])
        with broker.atomic_writer(name) as newer, broker.atomic_writer(self.new_name("other")) as other:
            with pytest.raises(FencedError, match=name):
                older.write([(single, NewRecord(b"never"))])
            newer.write([(single, NewRecord(b"b"))])
            other.write([(single, NewRecord(b"c"))])
        older.close()
        assert self.found(broker, single, 3) == [b"a", b"b", b"c"]

    def test_what_an_older_writer_wrote_is_read_once_there_is_a_newer_one(
        self, broker: Broker, single: str
    ) -> None:
        name = self.new_name("writer")
        for n in range(5):
            writer = broker.atomic_writer(name)
            end = broker.describe(single).end[0]
            with broker.reader(single) as reader:
                assert len(self.take(reader, n)) == n
            assert end >= n
            writer.write([(single, NewRecord(b"%d" % n))])

    def test_a_closed_writer_says_so(self, broker: Broker, single: str) -> None:
        writer = broker.atomic_writer(self.new_name("writer"))
        writer.close()
        writer.close()
        with pytest.raises(QueueError, match="closed"):
            writer.write([(single, NewRecord(b"never"))])
        assert broker.describe(single).end == {0: 0}

    def test_writing_nothing_is_nothing(self, broker: Broker) -> None:
        with broker.atomic_writer(self.new_name("writer")) as writer:
            writer.write([])
