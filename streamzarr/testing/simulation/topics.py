"""What a simulated broker keeps: topics of partitions of records. Pure state, no waiting and no faults."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from streamzarr.errors import OffsetOutOfRangeError, QueueError, TopicNotFoundError
from streamzarr.queue.base import NewRecord, Record, TopicIdentity, TopicInfo, TopicPartition


@dataclass(slots=True)
class Partition:
    """Records by offset; some offsets hold none, as with Kafka's transaction markers."""

    begin: int = 0
    end: int = 0
    offsets: list[int] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def trim(self, before: int) -> None:
        """Delete records below an offset."""
        self.begin = max(self.begin, min(before, self.end))
        gone = bisect_left(self.offsets, self.begin)
        del self.offsets[:gone], self.records[:gone]


class Topics:
    """All topics of one cluster."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._topics: dict[str, list[Partition]] = {}
        self._next_partition = 0
        self._ids: dict[str, int] = {}  # how often a topic of that name was made

    def names(self) -> list[str]:
        """Names of all topics, sorted."""
        return sorted(self._topics)

    def partitions(self, topic: str) -> list[Partition]:
        """Return the partitions of `topic`; raises ``TopicNotFoundError``."""
        try:
            return self._topics[topic]
        except KeyError:
            raise TopicNotFoundError(f"{self._where}: no topic {topic!r}") from None

    def create(self, name: str, partitions: int, *, exist_ok: bool) -> None:
        """Create a topic, or see that it is there as wanted."""
        found = self._topics.get(name)
        if found is None:
            self._topics[name] = [Partition() for _ in range(partitions)]
            self._ids[name] = self._ids.get(name, 0) + 1
        elif not exist_ok or len(found) != partitions:
            raise QueueError(
                f"{self._where}: topic {name!r} exists with {len(found)} partitions, expected {partitions}"
            )

    def delete(self, name: str) -> None:
        """Delete a topic."""
        self.partitions(name)
        del self._topics[name]

    def identity(self, topic: str) -> TopicIdentity:
        """Return an identity that changes when the topic is made anew."""
        self.partitions(topic)
        return TopicIdentity(self._where, f"{topic}.{self._ids[topic]}")

    def info(self, topic: str) -> TopicInfo:
        """Return the offsets of a topic."""
        found = self.partitions(topic)
        return TopicInfo(
            topic,
            {number: each.begin for number, each in enumerate(found)},
            {number: each.end for number, each in enumerate(found)},
        )

    def offsets_at(self, topic: str, timestamp: int) -> dict[int, int]:
        """First offset by partition whose record is not older than `timestamp`; the end if none."""
        return {
            number: next(
                (record.offset for record in each.records if record.timestamp >= timestamp), each.end
            )
            for number, each in enumerate(self.partitions(topic))
        }

    def append(self, topic: str, new: NewRecord, timestamp: int) -> Record:
        """Write one record; return it as it is read back."""
        partitions = self.partitions(topic)
        number = new.partition
        if number is None:
            if new.key is None:
                self._next_partition += 1
                number = self._next_partition % len(partitions)
            else:
                number = zlib.crc32(new.key) % len(partitions)
        partition = partitions[number]
        time = timestamp if new.timestamp is None else new.timestamp
        record = Record(topic, number, partition.end, new.key, new.value, new.headers, time)
        partition.records.append(record)
        partition.offsets.append(partition.end)
        partition.end += 1
        return record

    def leave_out(self, topic: str, number: int) -> None:
        """Let the next offset hold no record."""
        self.partitions(topic)[number].end += 1

    def read(self, where: TopicPartition, position: int, count: int) -> tuple[list[Record], int]:
        """Return up to `count` records from `position` on, and where to go on.

        Raises
        ------
        streamzarr.errors.OffsetOutOfRangeError
            The position is outside of what the partition holds.
        """
        partition = self.partitions(where.topic)[where.partition]
        if not partition.begin <= position <= partition.end:
            raise OffsetOutOfRangeError(self._where, *where, position, partition.begin, partition.end)
        start = bisect_left(partition.offsets, position)
        records = partition.records[start : start + count]
        if len(records) < count:
            return records, partition.end
        return records, records[-1].offset + 1 if records else position

    def all(self, topic: str) -> list[Record]:
        """Return every record of a topic, in the order of partitions and offsets."""
        return [record for each in self.partitions(topic) for record in each.records]

    def trim(self, topic: str, before: Mapping[int, int]) -> None:
        """Delete records below the given offset, by partition."""
        partitions = self.partitions(topic)
        for number, offset in before.items():
            partitions[number].trim(offset)
