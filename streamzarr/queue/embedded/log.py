"""Topics and their records: the SQL, and the format of a batch.

Records of one partition that are written together are one row, as in Kafka's log. Not only is that less
for SQLite to do: Python's ``sqlite3`` releases the interpreter lock at every row, and a thread that
computes may then keep it for 5 ms, which for single records would cost a worker most of its time.

A batch holds, per record, in the order of their offsets::

    timestamp i64 | key length i32 (-1: None) | value length i32 (-1: None) | headers u16
    then per header: name length u16 | value length u32 | name UTF-8 | value
    then key, value

Its row number is ``position = partition id << 40 | first offset``, so that the batches of a partition are
neighbours in the order of their offsets: 2^40 records in each of 2^23 partitions.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamzarr.errors import DamagedRecordError, MessageError
from streamzarr.queue.columns import Columns
from streamzarr.queue.record import Headers, TopicPartition

_OFFSET_BITS: Final = 40
_OFFSET_MASK: Final = (1 << _OFFSET_BITS) - 1

MAX_BATCH_RECORDS: Final = 1024
"""A consumer decodes a whole batch at a time; 1024 small records take about a millisecond."""
MAX_BATCH_BYTES: Final = 256 << 10
"""Likewise a consumer holds at most one batch of each partition beyond what it has handed out."""

_RECORD: Final = struct.Struct("<qiiH")
_HEADER: Final = struct.Struct("<HI")


@dataclass(frozen=True, slots=True)
class PartitionState:
    """A partition's row number in the database and the offsets that it holds."""

    id: int
    first: int
    next: int


def position(partition: int, offset: int = 0) -> int:
    """Return the row number of a batch that begins at `offset`."""
    return partition << _OFFSET_BITS | offset


# ---------------------------------------------------------------- the format of a batch


def encode_record(key: bytes | None, value: bytes | None, headers: Headers, timestamp: int) -> bytes:
    """Return one record in the format above.

    Raises
    ------
    streamzarr.errors.MessageError
        A header name is too long for the format.
    TypeError
        Key, value or a header holds something other than bytes.
    """
    key_data, value_data = _as_bytes(key), _as_bytes(value)
    head = _RECORD.pack(
        timestamp,
        -1 if key is None else len(key_data),
        -1 if value is None else len(value_data),
        len(headers),
    )
    return (
        head + _encode_headers(headers) + key_data + value_data if headers else head + key_data + value_data
    )


def _encode_headers(headers: Headers) -> bytes:
    parts: list[bytes] = []
    for name, value in headers:
        text, data = name.encode(), _as_bytes(value)
        if len(text) > 0xFFFF:
            raise MessageError(f"a header name of {len(text)} bytes, expected at most {0xFFFF}")
        parts += (_HEADER.pack(len(text), len(data)), text, data)
    return b"".join(parts)


def _as_bytes(data: bytes | None) -> bytes:
    if type(data) is bytes:
        return data
    # Not len() of it: a memoryview counts items, and a wrong length would shift all records behind it.
    return b"" if data is None else memoryview(data).tobytes()


def decode_batch(data: bytes, count: int, offset: int, where: TopicPartition) -> Columns:
    """Return the `count` records of a batch whose first offset is `offset`.

    Raises
    ------
    ValueError, struct.error
        The data are not such a batch.
    """
    unpack, size = _RECORD.unpack_from, _RECORD.size
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    headers: list[Headers] = []
    timestamps: list[int] = []
    at = 0
    for _ in range(count):
        timestamp, key_length, value_length, header_count = unpack(data, at)
        at += size
        timestamps.append(timestamp)
        if header_count:
            some, at = _decode_headers(data, at, header_count)
            headers += [()] * (len(keys) - len(headers))
            headers.append(some)
        if key_length >= 0:
            keys.append(data[at : at + key_length])
            at += key_length
        else:
            keys.append(None)
        if value_length >= 0:
            values.append(data[at : at + value_length])
            at += value_length
        else:
            values.append(None)
    if at != len(data):
        raise ValueError(f"{count} records take {at} bytes, the batch has {len(data)}")
    if headers:
        headers += [()] * (count - len(headers))
    return Columns(
        where,
        range(offset, offset + count),
        keys if keys.count(None) < count else None,
        values,
        headers or None,
        timestamps,
    )


def _decode_headers(data: bytes, at: int, count: int) -> tuple[Headers, int]:
    headers = []
    for _ in range(count):
        name_length, value_length = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        name = data[at : at + name_length].decode()
        at += name_length
        headers.append((name, data[at : at + value_length]))
        at += value_length
    return tuple(headers), at


# ---------------------------------------------------------------- topics


def create_topic(db: sqlite3.Connection, name: str, partitions: int) -> None:
    """Add a topic with empty partitions."""
    topic = db.execute("INSERT INTO topics (name) VALUES (?)", (name,)).lastrowid
    db.executemany(
        "INSERT INTO partitions (topic, number) VALUES (?, ?)", [(topic, n) for n in range(partitions)]
    )


def delete_topic(db: sqlite3.Connection, name: str) -> None:
    """Remove a topic, its records, and what groups know of it."""
    ids = [state.id for state in partitions_of(db, name).values()]
    for table in ("assignments", "committed", "notes"):
        db.executemany(f"DELETE FROM {table} WHERE partition = ?", [(id_,) for id_ in ids])  # noqa: S608
    db.executemany(
        "DELETE FROM batches WHERE position >= ? AND position < ?",
        [(position(id_), position(id_ + 1)) for id_ in ids],
    )
    db.executemany("DELETE FROM partitions WHERE id = ?", [(id_,) for id_ in ids])
    db.execute("DELETE FROM topics WHERE name = ?", (name,))


def topic_names(db: sqlite3.Connection) -> list[str]:
    """Return the names of all topics, sorted."""
    return [name for (name,) in db.execute("SELECT name FROM topics ORDER BY name")]


def topic_id(db: sqlite3.Connection, name: str) -> int | None:
    """Return the id of a topic, which no other one ever had; ``None`` when there is no such topic."""
    row = db.execute("SELECT id FROM topics WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def file_id(db: sqlite3.Connection, new: str) -> str:
    """Return the id of the file; `new`, from now on, if it has none."""
    db.execute("CREATE TABLE IF NOT EXISTS identity (file TEXT NOT NULL)")  # files made before have none
    row = db.execute("SELECT file FROM identity").fetchone()
    if row is None:
        db.execute("INSERT INTO identity (file) VALUES (?)", (new,))
    return new if row is None else str(row[0])


def partitions_of(db: sqlite3.Connection, topic: str) -> dict[int, PartitionState]:
    """Return the partitions of a topic by number; empty when there is no such topic."""
    rows = db.execute(
        "SELECT p.number, p.id, p.first, p.next FROM partitions p JOIN topics t ON p.topic = t.id "
        "WHERE t.name = ? ORDER BY p.number",
        (topic,),
    )
    return {number: PartitionState(id_, first, following) for number, id_, first, following in rows}


def ranges(db: sqlite3.Connection, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return first and next offset by partition id; a partition that was deleted is absent."""
    marks = ",".join("?" * len(ids))
    rows = db.execute(f"SELECT id, first, next FROM partitions WHERE id IN ({marks})", ids)  # noqa: S608
    return {id_: (first, following) for id_, first, following in rows}


# ---------------------------------------------------------------- records


@dataclass(slots=True)
class Pending:
    """Encoded records on their way to one partition, in order."""

    records: list[bytes] = field(default_factory=list)
    newest: int = 0
    """Latest timestamp among them, ms."""


def append(db: sqlite3.Connection, pending: Mapping[int, Pending]) -> list[int]:
    """Append records by partition id; return the ids of partitions that no longer exist."""
    offsets = {id_: following for id_, (_, following) in ranges(db, list(pending)).items()}
    rows: list[tuple[int, int, int, int, bytes]] = []
    for id_, offset in offsets.items():
        records = pending[id_]
        for count, data in _batches(records.records):
            rows.append((position(id_, offset), count, records.newest, zlib.crc32(data), data))
            offset += count
        offsets[id_] = offset
    db.executemany("INSERT INTO batches VALUES (?, ?, ?, ?, ?)", rows)
    db.executemany("UPDATE partitions SET next = ? WHERE id = ?", [(n, id_) for id_, n in offsets.items()])
    return [id_ for id_ in pending if id_ not in offsets]


def _batches(records: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Cut records into batches within the bounds; a record larger than them is a batch of its own."""
    start = size = 0
    for index, record in enumerate(records):
        if index > start and (size + len(record) > MAX_BATCH_BYTES or index - start >= MAX_BATCH_RECORDS):
            yield index - start, b"".join(records[start:index])
            start, size = index, 0
        size += len(record)
    yield len(records) - start, b"".join(records[start:])


@dataclass(frozen=True, slots=True)
class Place:
    """A partition, for reading: its row number, its name, and the broker's for errors."""

    id: int
    where: TopicPartition
    broker: str

    def damaged(self, offset: int, resume: int, reason: str) -> DamagedRecordError:
        """Return the error for records from `offset` to before `resume` that cannot be read."""
        return DamagedRecordError(self.broker, *self.where, offset, resume, reason)


def read(db: sqlite3.Connection, place: Place, offset: int) -> Iterator[tuple[int, Columns]]:
    """Yield (bytes, records) batch by batch from `offset` on, without a gap; nothing at the end.

    Raises
    ------
    streamzarr.errors.DamagedRecordError
        A batch cannot be read, or is missing: damaged, or trimmed in this moment.
    """
    id_ = place.id
    rows = db.execute(
        "SELECT position, count, crc, data FROM batches WHERE position < ? AND position >= "
        "coalesce((SELECT max(position) FROM batches WHERE position BETWEEN ? AND ?), ?) ORDER BY position",
        (position(id_ + 1), position(id_), position(id_, offset), position(id_, offset)),
    )
    try:
        for row, count, crc, data in rows:
            first = row & _OFFSET_MASK
            if first + count <= offset:
                continue  # what lies below a missing batch
            if first > offset:
                raise place.damaged(offset, first, "missing")
            records = _decode(place, first, count, crc, data)
            yield len(data), records[offset - first :]  # only the first batch can begin below
            offset = first + count
    finally:
        rows.close()  # ends the read transaction even when the caller stops early


def _decode(place: Place, first: int, count: int, crc: int, data: bytes) -> Columns:
    try:
        if zlib.crc32(data) != crc:
            raise ValueError("crc32 differs")
        return decode_batch(data, count, first, place.where)
    except (ValueError, TypeError, struct.error) as error:
        raise place.damaged(first, first + count, str(error)) from error


def offset_at(db: sqlite3.Connection, place: Place, state: PartitionState, timestamp: int) -> int:
    """Return the first offset whose record is not older than `timestamp` (ms), or the end."""
    rows = db.execute(
        "SELECT position, count, crc, data FROM batches WHERE position >= ? AND position < ? "
        "AND newest >= ? ORDER BY position",
        (position(state.id), position(state.id + 1), timestamp),
    )
    for row, count, crc, data in rows:
        run = _decode(place, row & _OFFSET_MASK, count, crc, data)
        found = run.offsets[(run.timestamps >= timestamp) & (run.offsets >= state.first)]
        if len(found):
            return int(found[0])
    return state.next


def trim(db: sqlite3.Connection, state: PartitionState, before: int) -> None:
    """Make `before` the first offset and delete the batches that lie wholly below it."""
    db.execute("UPDATE partitions SET first = ? WHERE id = ?", (before, state.id))
    db.execute(
        "DELETE FROM batches WHERE position >= ? AND position < ? AND position + count <= ?",
        (position(state.id), position(state.id, before), position(state.id, before)),
    )
