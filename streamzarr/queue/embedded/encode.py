"""From records to the bytes of their partitions."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Sequence

from streamzarr.errors import MessageError, QueueError, TopicNotFoundError
from streamzarr.queue.base import NewRecord, TopicPartition
from streamzarr.queue.embedded import log
from streamzarr.queue.embedded.database import Database


class Encoder:
    """Chooses partitions and encodes records; knows the topics that it has met. Thread-safe."""

    def __init__(self, where: str, database: Database, max_record_bytes: int) -> None:
        self._where = where
        self._database = database
        self._max_record_bytes = max_record_bytes
        first = int(database.runtime.random() * (1 << 16))  # several producers spread keyless records
        self._turn = itertools.count(first)
        self._topics: dict[str, list[int]] = {}
        self._names: dict[int, TopicPartition] = {}

    def encode(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[int, bytes, int]]:
        """Return (partition id, encoded record, timestamp) of each; raises before anything is queued."""
        partitions = self._topics.get(topic) or self._look_up(topic)
        count = len(partitions)
        now = self._database.runtime.wall_ns() // 1_000_000
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

    def name_of(self, partition: int) -> TopicPartition:
        """Return the name of a partition id."""
        return self._names.get(partition, TopicPartition("?", -1))

    def forget(self, missing: Iterable[int]) -> TopicNotFoundError:
        """Forget the topics of partitions that are gone; return the error that says so."""
        topics = {self._names[id_].topic for id_ in missing}
        for topic in topics:
            self._topics.pop(topic, None)  # it may be made again, with other partitions
        deleted = ", ".join(map(repr, sorted(topics)))
        return TopicNotFoundError(f"{self._where}: topic {deleted} was deleted")

    def _look_up(self, topic: str) -> list[int]:
        with self._database.read() as db:
            partitions = [state.id for state in log.partitions_of(db, topic).values()]
        if not partitions:
            raise TopicNotFoundError(f"{self._where}: no topic {topic!r}")
        self._topics[topic] = partitions
        self._names.update((id_, TopicPartition(topic, number)) for number, id_ in enumerate(partitions))
        return partitions
