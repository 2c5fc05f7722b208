"""Producers of a simulated broker: records wait in the client until they are flushed, or a little less."""

from __future__ import annotations

from collections.abc import Sequence

from streamzarr.errors import FencedError, QueueError
from streamzarr.queue.atomic import AtomicWriter
from streamzarr.queue.base import NewRecord, Producer
from streamzarr.testing.simulation.cluster import LOST_SECONDS, Cluster

MAX_RECORD_BYTES = 16 << 20
LINGER = 0.05
"""Seconds that a record waits for others at most before it is written, flushed or not."""


class SimulatedProducer(Producer):
    """Records are durable when :meth:`flush` returns; when it raises, some, all or none of them are."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._queue: list[tuple[str, NewRecord]] = []
        self._closed = False

    def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        """Queue `records`."""
        cluster = self._cluster
        cluster.kernel.step()
        cluster.topics.partitions(topic)
        for record in records:
            size = len(record.value or b"")
            if size > MAX_RECORD_BYTES:
                raise QueueError(f"{cluster.url}: topic {topic!r}: a value of {size} bytes is too large")
        self._queue += [(topic, record) for record in records]
        process = cluster.kernel.current.process

        def linger() -> None:
            if process.runs and cluster.reachable:
                self._write()

        cluster.kernel.at(cluster.kernel.time + cluster.random.random() * LINGER, linger)

    def flush(self, timeout: float = 30.0) -> None:
        """Write what is queued."""
        if not self._queue:
            self._cluster.kernel.step()
            return
        detail = ", ".join(sorted({topic for topic, _ in self._queue}))
        detail = f"{len(self._queue)} records to {detail}"
        try:
            self._cluster.call("flush", detail, self._write)
        except QueueError:
            left, self._queue = self._queue, []
            if left and self._cluster.random.random() < 0.5:  # some had been carried out before it broke
                self._cluster.append(left[: self._cluster.random.randint(0, len(left))])
            raise

    def _write(self) -> None:
        queue, self._queue = self._queue, []
        self._cluster.append(queue)

    def close(self) -> None:
        """Flush. Idempotent."""
        if not self._closed:
            self._closed = True
            self.flush(LOST_SECONDS)


class SimulatedAtomicWriter(AtomicWriter):
    """All records of a call are written, or none; an answer may be lost all the same."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self._name = cluster, name
        self._closed = False
        self._epoch = cluster.call("atomic_writer", name, self._begin)

    def _begin(self) -> int:
        epoch = self._cluster.writers[self._name] = self._cluster.writers.get(self._name, 0) + 1
        return epoch

    def write(self, records: Sequence[tuple[str, NewRecord]]) -> None:
        """Write `records`."""
        if self._closed:
            raise QueueError(f"{self._cluster.url}: the writer {self._name!r} is closed")
        if any(len(record.value or b"") > MAX_RECORD_BYTES for _, record in records):
            raise QueueError(f"{self._cluster.url}: a value is too large")

        def write() -> None:
            if self._cluster.writers[self._name] != self._epoch:
                raise FencedError(f"{self._cluster.url}: there is a newer writer {self._name!r}")
            for topic, _ in records:
                self._cluster.topics.partitions(topic)
            self._cluster.append(records)

        self._cluster.call("atomic_write", f"{len(records)} records by {self._name}", write)

    def close(self) -> None:
        """Write no more."""
        self._closed = True
