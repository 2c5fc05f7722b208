"""What the embedded broker says of a file that is damaged, replaced, or may not be written."""

import os
import pickle  # noqa: TID251 - errors travel between processes
import shutil
import sqlite3
import zlib

import pytest

from streamzarr.errors import (
    AccessDeniedError,
    DamagedError,
    DamagedRecordError,
    OffsetOutOfRangeError,
    QueueError,
    QueueReplacedError,
)
from streamzarr.queue import NewRecord, TopicPartition, open_broker
from streamzarr.queue.embedded import log
from streamzarr.queue.retry import is_transient
from streamzarr.queue.scan import scan

P0 = TopicPartition("t", 0)


@pytest.fixture
def broker(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        broker.create_topic("t", 2)
        yield broker


def put(broker, *values, partition=0):
    """Write each value as a batch of its own."""
    with broker.producer() as producer:
        for value in values:
            producer.send("t", [NewRecord(value, partition=partition)] * 2)
            producer.flush()


def change(broker, statement, *arguments):
    with sqlite3.connect(broker._path) as db:
        assert db.execute(statement, arguments).rowcount == 1
    db.close()


def position(broker, offset):
    return log.position(broker._partitions("t")[0].id, offset)


def flip(broker, offset):
    change(broker, "UPDATE batches SET crc = crc + 1 WHERE position = ?", position(broker, offset))


def lose(broker, offset):
    change(broker, "DELETE FROM batches WHERE position = ?", position(broker, offset))


def garble(broker, offset):
    """Store bytes that match their checksum and are no batch."""
    data = b"\x07" * 50
    change(
        broker,
        "UPDATE batches SET data = ?, crc = ? WHERE position = ?",
        data,
        zlib.crc32(data),
        position(broker, offset),
    )


def miscount(broker, offset):
    change(broker, "UPDATE batches SET count = 1 WHERE position = ?", position(broker, offset))


@pytest.mark.parametrize("damage", [flip, lose, garble])
def test_damaged_records_are_told_and_nothing_before_them_is_lost(broker, damage):
    put(broker, b"a", b"b", b"c")
    damage(broker, 2)
    with broker.consumer(["t"], "g") as consumer:
        assert [record.offset for record in consumer.poll(10, 5.0)] == [0, 1]
        for _ in range(2):
            with pytest.raises(DamagedRecordError) as caught:
                consumer.poll(10, 0.0)
        error = caught.value
        assert (error.topic, error.partition, error.offset, error.resume) == ("t", 0, 2, 4)
        assert "t[0]: the records from offset 2 to 3 are damaged (" in str(error)
        assert not is_transient(error)
        consumer.seek({P0: error.resume})
        assert [record.offset for record in consumer.poll(10, 5.0)] == [4, 5]


@pytest.mark.parametrize("damage", [flip, lose, garble, miscount])
def test_scan_of_damaged_records_fails_at_once(broker, damage):
    put(broker, b"a", b"b", b"c")
    damage(broker, 2)
    with pytest.raises(DamagedRecordError, match=r"t\[0\]"):
        list(scan(broker, "t"))


def test_the_first_and_the_last_batch_are_missed_too(broker):
    put(broker, b"a", b"b", b"c")
    lose(broker, 0)
    lose(broker, 4)
    with broker.consumer(["t"], "g") as consumer:
        with pytest.raises(DamagedRecordError) as caught:
            consumer.poll(10, 5.0)
        assert (caught.value.offset, caught.value.resume) == (0, 2)
        consumer.seek({P0: 2})
        assert [record.offset for record in consumer.poll(10, 5.0)] == [2, 3]
        with pytest.raises(DamagedRecordError) as caught:
            consumer.poll(10, 5.0)
        assert (caught.value.offset, caught.value.resume) == (4, 6)


def test_other_partitions_are_read_beside_damaged_records(broker):
    put(broker, b"a", b"b")
    put(broker, b"x", b"y", partition=1)
    flip(broker, 0)
    records, errors = [], 0
    with broker.consumer(["t"], "g") as consumer:
        while len(records) < 4 or not errors:
            try:
                records += consumer.poll(1, 0.0)
            except DamagedRecordError:
                errors += 1
    assert [(record.partition, record.offset) for record in records] == [(1, n) for n in range(4)]


def test_times_of_damaged_records_are_an_error(broker):
    put(broker, b"a")
    flip(broker, 0)
    with pytest.raises(DamagedRecordError):
        broker.offsets_at("t", 0)


def test_a_damaged_file_is_a_permanent_error(broker, tmp_path):
    put(broker, *[bytes(4000)] * 40)
    broker.close()
    path = tmp_path / "q.db"
    data = bytearray(path.read_bytes())
    data[20 * 4096 :] = b"\xa5" * (len(data) - 20 * 4096)
    path.write_bytes(data)
    with pytest.raises(DamagedError) as caught:
        list(scan(broker, "t"))
    assert not is_transient(caught.value)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_deleted_or_replaced_under_its_users_is_told_to_all_of_them(broker, tmp_path, replaced):
    put(broker, b"a")
    consumer, producer = broker.consumer(["t"], "g"), broker.producer()
    assert len(consumer.poll(10, 5.0)) == 2
    producer.send("t", [NewRecord(b"b")])
    producer.flush()
    for name in ("q.db", "q.db-wal", "q.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.rmtree(tmp_path / "q.db-live")
    if replaced:
        with open_broker(f"sqlite:///{tmp_path}/q.db") as other:
            other.create_topic("else")
    with pytest.raises(DamagedError, match="deleted or replaced while it was in use") as caught:
        consumer.poll(10, 0.0)
    assert not is_transient(caught.value)
    producer.send("t", [NewRecord(b"c", partition=0)])
    with pytest.raises(DamagedError, match="deleted or replaced"):
        producer.flush()
    for _ in range(2):  # what is there now is another queue, which knows nothing of all this
        with pytest.raises(QueueReplacedError, match="deleted or replaced"):
            broker.describe("t")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_file_that_may_not_be_written_is_a_permanent_error(broker, tmp_path):
    broker.close()
    (tmp_path / "q.db").chmod(0o444)
    with pytest.raises(QueueError):
        broker.create_topic("u")


@pytest.mark.parametrize(
    ("code", "kind", "transient"),
    [
        (sqlite3.SQLITE_BUSY, QueueError, True),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, QueueError, True),
        (sqlite3.SQLITE_FULL, QueueError, True),
        (sqlite3.SQLITE_IOERR_WRITE, QueueError, True),
        (sqlite3.SQLITE_CANTOPEN, QueueError, True),
        (sqlite3.SQLITE_READONLY, AccessDeniedError, False),
        (sqlite3.SQLITE_READONLY_DBMOVED, AccessDeniedError, False),
        (sqlite3.SQLITE_PERM, AccessDeniedError, False),
        (sqlite3.SQLITE_CORRUPT, DamagedError, False),
        (sqlite3.SQLITE_CORRUPT_VTAB, DamagedError, False),
    ],
)
def test_each_failure_of_sqlite_is_transient_or_not(broker, code, kind, transient):
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    explained = broker._database._explain(error)
    assert type(explained) is kind
    assert is_transient(explained) is transient


def test_errors_with_facts_survive_pickling():
    for error in (
        OffsetOutOfRangeError("kafka://h", "t", 0, 2, 5, 9),
        DamagedRecordError("kafka://h", "t", 0, 2, 5, "crc"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), vars(again)) == (str(error), vars(error))


@pytest.mark.parametrize(("position", "resume"), [(2, 5), (99, 5), (7, 7)])
def test_where_whoever_accepts_a_loss_goes_on(position, resume):
    assert OffsetOutOfRangeError("kafka://h", "t", 0, position, 5, 9).resume == resume
