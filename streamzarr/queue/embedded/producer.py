"""Writing records: many to a transaction, because a transaction costs an fsync."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
import weakref
import zlib
from collections.abc import Sequence
from typing import Final

from streamzarr.errors import MessageError, QueueError, StreamzarrError, TopicNotFoundError
from streamzarr.queue.base import NewRecord, Producer
from streamzarr.queue.embedded import log, presence
from streamzarr.queue.embedded.database import Database

MAX_BUFFERED_BYTES: Final = 32 << 20
"""`send` blocks above this; about what the writer stores in a quarter of a second."""
_IDLE: Final = 1.0
"""Seconds that the writer thread outlives its last record."""


class EmbeddedProducer(Producer):
    """Queues records, and writes what has gathered as soon as the previous transaction is durable.

    So a lone record is written at once, and under load each fsync carries thousands. Thread-safe. The
    writer is a daemon thread that exists while there is something to write; `send` blocks while
    `MAX_BUFFERED_BYTES` wait, at most as long as a transaction takes (the busy timeout included).
    After a fork the child starts empty: what was queued is the parent's to write.
    """

    def __init__(self, where: str, database: Database, max_record_bytes: int) -> None:
        self._where = where
        self._database = database
        self._max_record_bytes = max_record_bytes
        self._turn = itertools.count(random.randrange(1 << 16))  # several producers spread keyless records
        self._topics: dict[str, list[int]] = {}
        self._closed = False
        self._start_empty()
        _producers.add(self)

    def _start_empty(self) -> None:
        self._changed = threading.Condition()  # guards all below
        self._pending: dict[int, log.Pending] = {}
        self._pending_bytes = 0
        self._buffered_bytes = 0  # those, and what is being written
        self._sent = self._settled = 0  # records, counted from the beginning
        self._refused: list[tuple[int, StreamzarrError]] = []
        self._writer: threading.Thread | None = None

    def send(self, topic: str, records: Sequence[NewRecord]) -> None:  # noqa: D102
        self._ensure_open()
        encoded = self._encode(topic, records)
        size = sum(len(data) for _, data, _ in encoded)
        with self._changed:
            self._raise_refused()
            while self._buffered_bytes and self._buffered_bytes + size > MAX_BUFFERED_BYTES:
                self._changed.wait()
            for partition, data, timestamp in encoded:
                pending = self._pending.get(partition)
                if pending is None:
                    pending = self._pending[partition] = log.Pending()
                pending.records.append(data)
                if timestamp > pending.newest:
                    pending.newest = timestamp
            self._pending_bytes += size
            self._buffered_bytes += size
            self._sent += len(encoded)
            self._wake_writer()

    def flush(self, timeout: float = 30.0) -> None:  # noqa: D102
        self._ensure_open()
        with self._changed:
            sent = self._sent
            if not self._changed.wait_for(lambda: self._settled >= sent, timeout):
                unsettled = self._sent - self._settled
                _, waiting, size = self._take_pending()
                self._settled += waiting
                self._buffered_bytes -= size
                self._changed.notify_all()
                raise QueueError(f"{self._where}: {unsettled} records not written within {timeout:g} s")
            self._raise_refused()

    def close(self) -> None:  # noqa: D102
        if not self._closed:
            try:
                self.flush()
            finally:
                with self._changed:
                    self._closed = True
                    self._changed.notify_all()
                    writer = self._writer
                if writer is not None:
                    writer.join()
                self._database.close()

    def _ensure_open(self) -> None:
        if self._closed:
            raise QueueError(f"{self._where}: the producer is closed")

    # ------------------------------------------------------------ the sender's side

    def _encode(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[int, bytes, int]]:
        """Return (partition id, encoded record, timestamp) of each; raises before anything is queued."""
        partitions = self._topics.get(topic) or self._look_up(topic)
        count = len(partitions)
        now = time.time_ns() // 1_000_000
        encoded = []
        for record in records:
            key, value = record.key, record.value
            if record.partition is not None:
                number = record.partition
                if not 0 <= number < count:
                    raise QueueError(f"{self._where}: topic {topic!r} has {count} partitions, got {number}")
            elif key:
                number = zlib.crc32(key) % count  # librdkafka's "consistent_random": both brokers agree
            else:
                number = next(self._turn) % count
            timestamp = now if record.timestamp is None else record.timestamp
            data = log.encode_record(key, value, record.headers, timestamp)
            if len(data) > self._max_record_bytes:
                raise MessageError(
                    f"{self._where}: a record of {len(data)} bytes for topic {topic!r}, "
                    f"expected at most {self._max_record_bytes} (max_record_bytes)"
                )
            encoded.append((partitions[number], data, timestamp))
        return encoded

    def _look_up(self, topic: str) -> list[int]:
        with self._database.read() as db:
            partitions = [state.id for state in log.partitions_of(db, topic).values()]
        if not partitions:
            raise TopicNotFoundError(f"{self._where}: no topic {topic!r}")
        self._topics[topic] = partitions
        return partitions

    def _raise_refused(self) -> None:
        if self._refused:
            refused, self._refused = self._refused, []
            count = sum(number for number, _ in refused)
            first = refused[0][1]
            raise type(first)(f"{count} records were not written: {first}") from first

    # ------------------------------------------------------------ the writer's side

    def _wake_writer(self) -> None:
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_all, name="streamzarr-producer", daemon=True)
            self._writer.start()
        else:
            self._changed.notify_all()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closed, _IDLE)
                if not self._pending:
                    self._writer = None
                    return
                pending, count, size = self._take_pending()
            refused = self._write(pending, count)
            with self._changed:
                self._buffered_bytes -= size
                self._settled += count
                self._refused += refused
                self._changed.notify_all()

    def _take_pending(self) -> tuple[dict[int, log.Pending], int, int]:
        """Return what waits, how many records that are, and how many bytes."""
        pending, self._pending = self._pending, {}
        size, self._pending_bytes = self._pending_bytes, 0
        return pending, sum(len(each.records) for each in pending.values()), size

    def _write(self, pending: dict[int, log.Pending], count: int) -> list[tuple[int, StreamzarrError]]:
        """Write in one transaction; return how many records were refused, and why."""
        try:
            with self._database.write() as db:
                missing = log.append(db, pending)
        except StreamzarrError as error:
            return [(count, error)]
        except Exception as error:  # noqa: BLE001 - the sender must learn of it, and this thread must live
            return [(count, QueueError(f"{self._where}: {type(error).__name__}: {error}"))]
        presence.ring(self._database.live)
        return [self._refuse_missing(partition, pending[partition]) for partition in missing]

    def _refuse_missing(self, partition: int, pending: log.Pending) -> tuple[int, StreamzarrError]:
        name = next((topic for topic, ids in self._topics.items() if partition in ids), "?")
        self._topics.pop(name, None)  # it may be made again, with other partitions
        return len(pending.records), TopicNotFoundError(f"{self._where}: topic {name!r} was deleted")


# The writer thread does not survive a fork, and what was queued is the parent's to write.
_producers: weakref.WeakSet[EmbeddedProducer] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for producer in list(_producers):
        producer._start_empty()


os.register_at_fork(after_in_child=_after_fork_in_child)
