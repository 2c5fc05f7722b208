"""The batch format and the log: what goes in comes out, in order, however it was cut."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.errors import DamagedRecordError, MessageError
from streamzarr.queue.base import Record, TopicPartition
from streamzarr.queue.embedded import log
from streamzarr.queue.embedded.database import _NOTES, _SCHEMA

WHERE = TopicPartition("t", 3)
payloads = st.none() | st.binary(max_size=40)
headers = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=8)), max_size=3).map(tuple)
records = st.tuples(payloads, payloads, headers, st.integers(-(2**63), 2**63 - 1))


@given(st.lists(records, min_size=1, max_size=20), st.integers(0, 2**39))
def test_a_batch_round_trips(batch, offset):
    data = b"".join(log.encode_record(*record) for record in batch)
    decoded = log.decode_batch(data, len(batch), offset, WHERE)
    assert decoded.records() == [
        Record("t", 3, offset + n, key, value, heads, stamp)
        for n, (key, value, heads, stamp) in enumerate(batch)
    ]


@pytest.fixture
def db():
    with sqlite3.connect(":memory:", isolation_level=None) as connection:
        connection.executescript(_SCHEMA + _NOTES)
        log.create_topic(connection, "other", 3)
        log.create_topic(connection, "t", 4)
        yield connection
    connection.close()


def put(db, partition, values, size=1):
    id_ = log.partitions_of(db, "t")[partition].id
    pending = log.Pending([log.encode_record(None, value, (), n) for n, value in enumerate(values)])
    assert log.append(db, {id_: pending}) == []
    return id_


def read_all(db, id_, offset):
    return [
        record
        for _, batch in log.read(db, log.Place(id_, WHERE, "sqlite:///q.db"), offset)
        for record in batch.records()
    ]


@settings(max_examples=60, deadline=None)
@given(writes=st.lists(st.integers(1, 30), max_size=8), start=st.integers(0, 260), before=st.integers(0, 260))
def test_reading_from_any_offset_after_any_trim(writes, start, before):
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(_SCHEMA + _NOTES)
    log.create_topic(db, "t", 4)
    end = 0
    for count in writes:
        id_ = put(db, 3, [b"%d" % n for n in range(end, end + count)])
        put(db, 2, [b"neighbour"])
        end += count
    state = log.partitions_of(db, "t")[3]
    assert (state.first, state.next) == (0, end)
    id_ = state.id
    assert [int(r.value) for r in read_all(db, id_, start)] == list(range(start, end))
    before = min(before, end)
    log.trim(db, state, before)
    if start >= before:
        assert [r.offset for r in read_all(db, id_, start)] == list(range(start, end))
    assert log.partitions_of(db, "t")[3].first == before
    db.close()


def test_large_batches_are_cut_at_both_bounds(db):
    id_ = put(db, 3, [b""] * (2 * log.MAX_BATCH_RECORDS + 1))
    assert [n for (n,) in db.execute("SELECT count FROM batches ORDER BY position")] == [1024, 1024, 1]
    half = b"x" * (log.MAX_BATCH_BYTES // 2 + 1)
    put(db, 2, [half, half, b"", half * 3, b""])
    counts = db.execute(
        "SELECT count FROM batches WHERE position < ? ORDER BY position", (log.position(id_),)
    )
    assert [n for (n,) in counts] == [1, 2, 1, 1]
    assert len(read_all(db, id_, 0)) == 2049


def test_a_flipped_bit_is_an_error_that_names_the_batch(db):
    id_ = put(db, 3, [b"a" * 100] * 3)
    (data,) = db.execute("SELECT data FROM batches").fetchone()
    db.execute("UPDATE batches SET data = ?", (data[:50] + bytes([data[50] ^ 1]) + data[51:],))
    with pytest.raises(DamagedRecordError, match=r"t\[3\].*offset 0 to 2 are damaged \(crc32"):
        read_all(db, id_, 0)


def test_a_partition_that_is_gone_is_reported_and_the_others_are_written(db):
    here = log.partitions_of(db, "t")[0].id
    record = log.encode_record(None, b"x", (), 0)
    assert log.append(db, {9999: log.Pending([record]), here: log.Pending([record])}) == [9999]
    assert log.partitions_of(db, "t")[0].next == 1


def test_deleting_a_topic_leaves_its_neighbours(db):
    put(db, 3, [b"x"])
    log.delete_topic(db, "other")
    assert log.topic_names(db) == ["t"]
    assert [r.value for r in read_all(db, log.partitions_of(db, "t")[3].id, 0)] == [b"x"]


def test_a_header_name_that_does_not_fit_is_refused():
    with pytest.raises(MessageError, match="70000"):
        log.encode_record(None, None, (("x" * 70_000, b""),), 0)
