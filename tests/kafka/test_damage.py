"""Bytes that change on a cluster's disk: it sends them as they are, and the client tells."""

import struct
import time
import uuid

import pytest

from streamzarr.errors import DamagedRecordError
from streamzarr.queue import NewRecord, TopicPartition, open_broker
from streamzarr.queue.retry import is_transient
from streamzarr.queue.scan import scan

pytestmark = pytest.mark.kafka


@pytest.fixture
def broker(kafka_process):
    with open_broker(kafka_process.url) as broker:
        yield broker


@pytest.fixture
def damaged(kafka_process, broker):
    """A topic of four batches of two records each, of which the second is damaged."""
    topic = f"topic-{uuid.uuid4().hex[:12]}"
    broker.create_topic(topic)
    with broker.producer() as producer:
        for n in range(4):
            producer.send(topic, [NewRecord(b"%d" % n), NewRecord(b"%d" % n)])
            producer.flush()
    path = kafka_process.segment(topic, 0)
    data = path.read_bytes()
    starts = [0]
    while starts[-1] < len(data):
        (length,) = struct.unpack_from(">i", data, starts[-1] + 8)
        starts.append(starts[-1] + 12 + length)
    assert len(starts) == 5, "four batches"
    with path.open("r+b") as file:
        file.seek(starts[2] - 1)
        file.write(bytes([data[starts[2] - 1] ^ 0xFF]))
    return topic


def take(consumer, count):
    records = []
    deadline = time.monotonic() + 60
    while len(records) < count:
        assert time.monotonic() < deadline
        records += consumer.poll(count - len(records), 1.0)
    return records


def test_damaged_records_are_told_and_what_follows_comes_after_a_seek(broker, damaged):
    with broker.consumer([damaged], f"g-{damaged}") as consumer:
        assert [record.offset for record in take(consumer, 2)] == [0, 1]
        with pytest.raises(DamagedRecordError) as caught:
            take(consumer, 1)
        error = caught.value
        assert (error.offset, error.resume) == (2, 4)
        assert not is_transient(error)
        consumer.seek({TopicPartition(damaged, 0): 4})
        assert [record.offset for record in take(consumer, 4)] == [4, 5, 6, 7]


def test_scan_fails_at_damaged_records_or_passes_them_over(broker, damaged, caplog):
    with pytest.raises(DamagedRecordError, match=r"the records from offset 2 to 3 are damaged"):
        list(scan(broker, damaged))
    assert [record.offset for record in scan(broker, damaged, on_gap="skip")] == [0, 1, 4, 5, 6, 7]
    assert "the records from offset 2 to 3 are damaged" in caplog.text
