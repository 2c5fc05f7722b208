"""Writing records: many to a transaction, because a transaction costs an fsync."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamzarr.errors import QueueError, StreamzarrError
from streamzarr.queue.base import NewRecord, Producer
from streamzarr.queue.embedded import log, presence
from streamzarr.queue.embedded.database import Database
from streamzarr.queue.embedded.encode import Encoder
from streamzarr.queue.failures import Failures, named
from streamzarr.runtime import Thread

MAX_BUFFERED_BYTES: Final = 32 << 20
"""`send` blocks above this; about what the writer stores in a quarter of a second."""
_IDLE: Final = 1.0
"""Seconds that the writer thread outlives its last record."""


@dataclass(slots=True)
class _Batch:
    """What is written in one transaction; they are written in the order of their numbers."""

    number: int
    pending: dict[int, log.Pending] = field(default_factory=dict)
    size: int = 0
    given_up: bool = False
    """Reported as not written, although it may be in the end."""


class EmbeddedProducer(Producer):
    """Queues records, and writes what has gathered as soon as the previous transaction is durable.

    So a lone record is written at once, and under load each fsync carries thousands. Thread-safe. The
    writer is a daemon thread that exists while there is something to write; `send` blocks while
    `MAX_BUFFERED_BYTES` wait, at most as long as a transaction takes (the busy timeout included).
    After a fork the child starts empty: what was queued is the parent's to write.

    A flush that times out gives up everything that is queued, whoever has sent it; every thread that sends
    is told by its own next `send` or `flush`.
    """

    def __init__(self, where: str, database: Database, max_record_bytes: int) -> None:
        self._where = where
        self._database = database
        self._runtime = database.runtime
        self._encoder = Encoder(where, database, max_record_bytes)
        self._closed = False
        self._start_empty()
        _producers.add(self)

    def _start_empty(self) -> None:
        self._changed = self._runtime.condition()  # guards all below
        self._next = _Batch(1)  # gathers what is sent
        self._writing: _Batch | None = None
        self._done = 0  # number of the last batch that was written, refused or given up
        self._buffered_bytes = 0  # of both batches
        self._failures = Failures[StreamzarrError](self._runtime)
        self._writer: Thread | None = None

    def send(self, topic: str, records: Sequence[NewRecord]) -> None:  # noqa: D102
        self._ensure_open()
        encoded = self._encoder.encode(topic, records)
        size = sum(len(data) for _, data, _ in encoded)
        self._failures.expect_mine()
        with self._changed:
            self._raise_failures()
            while self._buffered_bytes and self._buffered_bytes + size > MAX_BUFFERED_BYTES:
                self._changed.wait()
                self._raise_failures()
            self._wake_writer()
            for partition, data, timestamp in encoded:
                pending = self._next.pending.get(partition)
                if pending is None:
                    pending = self._next.pending[partition] = log.Pending()
                pending.records.append(data)
                if timestamp > pending.newest:
                    pending.newest = timestamp
            self._next.size += size
            self._buffered_bytes += size

    def flush(self, timeout: float = 30.0) -> None:  # noqa: D102
        self._ensure_open()
        with self._changed:
            last = self._next.number if self._next.pending else self._next.number - 1
            when = ""
            if not self._changed.wait_for(lambda: self._done >= last, timeout):
                self._give_up(timeout)
                when = f" within {timeout:g} s"
            try:
                self._raise_failures(when)
            finally:
                self._failures.expect_none()

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

    def _give_up(self, timeout: float) -> None:
        """Note that nothing of what is queued was written."""
        reason = QueueError(f"{self._where}: the file is busy")
        for batch in (self._writing, self._next):
            if batch is not None and not batch.given_up:
                batch.given_up = True
                self._note(batch, batch.pending, reason)
        self._buffered_bytes -= self._next.size  # the other's are its writer's to subtract
        self._done = self._next.number
        self._next = _Batch(self._next.number + 1)
        self._changed.notify_all()

    def _note(self, batch: _Batch, partitions: Iterable[int], reason: StreamzarrError) -> None:
        for partition in partitions:
            name = self._encoder.name_of(partition)
            self._failures.add(name, len(batch.pending[partition].records), reason)

    def _raise_failures(self, when: str = "") -> None:
        failed, reason = self._failures.take()
        if reason is not None:
            text = f"{failed.total()} records were not written{when} ({named(failed)}): {reason}"
            raise type(reason)(text) from reason

    # ------------------------------------------------------------ the writer's side

    def _wake_writer(self) -> None:
        """Make sure that somebody writes what will be queued; before, so that an error leaves nothing."""
        if self._writer is not None:
            self._changed.notify_all()
            return
        writer = self._runtime.thread(self._write_all, "streamzarr-producer")
        try:
            writer.start()
        except RuntimeError as error:  # no more threads
            raise QueueError(f"{self._where}: {error}, nothing was queued") from error
        self._writer = writer

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._next.pending) or self._closed, _IDLE)
                if not self._next.pending:
                    self._writer = None
                    return
                batch = self._writing = self._next
                self._next = _Batch(batch.number + 1)
            missing, reason = self._write(batch)
            with self._changed:
                self._writing = None
                self._buffered_bytes -= batch.size
                self._done = max(self._done, batch.number)
                if reason is not None and not batch.given_up:
                    self._note(batch, missing, reason)
                self._changed.notify_all()

    def _write(self, batch: _Batch) -> tuple[Iterable[int], StreamzarrError | None]:
        """Write in one transaction; return the partitions whose records were refused, and why."""
        try:
            with self._database.write() as db:
                missing = log.append(db, batch.pending)
        except StreamzarrError as error:
            return batch.pending, error
        except Exception as error:  # noqa: BLE001 - the sender must learn of it, and this thread must live
            return batch.pending, QueueError(f"{self._where}: {type(error).__name__}: {error}")
        presence.ring(self._database.live)
        if not missing:
            return (), None
        return missing, self._encoder.forget(missing)


# The writer thread does not survive a fork, and what was queued is the parent's to write.
_producers: weakref.WeakSet[EmbeddedProducer] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for producer in list(_producers):
        producer._start_empty()


os.register_at_fork(after_in_child=_after_fork_in_child)
