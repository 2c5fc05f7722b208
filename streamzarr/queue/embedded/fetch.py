"""Positions in some partitions, and the records from there on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from streamzarr.errors import DamagedRecordError, OffsetOutOfRangeError, QueueError, TopicNotFoundError
from streamzarr.queue.columns import Columns, Portion
from streamzarr.queue.embedded import log
from streamzarr.queue.embedded.database import Database
from streamzarr.queue.record import TopicPartition

MAX_POLL_BYTES: Final = 64 << 20
"""One poll ends once it has read this much, so that its memory does not depend on what it asks for."""


@dataclass(slots=True)
class _Cursor:
    id: int
    position: int
    """Next offset to hand out."""
    first: int = 0
    end: int = 0
    """The offsets that the partition held when it was last looked up, `end` excluded."""


@dataclass(slots=True)
class Fetcher:
    """Reads partitions in turn, each in order. Owned by one thread; does not wait.

    Batches are decoded as a whole. What was not asked for of the last one is kept and comes first at the next
    `fetch`, so that no more than that one is ever held: `log.MAX_BATCH_BYTES`, or one record.

    `refresh` must be called after the database has changed, or new records stay unseen.
    """

    where: str
    database: Database
    paused: set[TopicPartition] = field(default_factory=set)
    _cursors: dict[TopicPartition, _Cursor] = field(default_factory=dict)
    _turns: deque[TopicPartition] = field(default_factory=deque)
    _rest: Columns | None = None
    _failed: dict[TopicPartition, QueueError] = field(default_factory=dict)
    """What was found in a partition after records of it, or of others, were ready to be handed out."""

    def add(self, starts: Mapping[TopicPartition, tuple[int, int]]) -> None:
        """Read these partitions too, given row id and position."""
        for partition, (id_, position) in starts.items():
            self._cursors[partition] = _Cursor(id_, position)
            self._turns.append(partition)

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget these partitions; what is paused stays so, should they come back."""
        for partition in partitions:
            del self._cursors[partition]
            self._turns.remove(partition)
            self._drop(partition)

    def ids(self) -> dict[TopicPartition, int]:
        """Row id of each partition."""
        return {partition: cursor.id for partition, cursor in self._cursors.items()}

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset to be handed out, by partition."""
        return {partition: cursor.position for partition, cursor in self._cursors.items()}

    def seek(self, partition: TopicPartition, position: int) -> None:
        """Go on from `position`; whether it exists is seen at the next `fetch`."""
        self._cursors[partition].position = position
        self._drop(partition)

    def _drop(self, partition: TopicPartition) -> None:
        """Forget what was fetched from `partition`, and what was wrong with it."""
        self._failed.pop(partition, None)
        if self._rest is not None and self._rest.where == partition:
            self._rest = None

    def refresh(self) -> None:
        """Look up what the partitions hold now.

        Raises
        ------
        streamzarr.errors.TopicNotFoundError
            A topic was deleted.
        """
        with self.database.read() as db:
            ranges = log.ranges(db, [cursor.id for cursor in self._cursors.values()])
        for partition, cursor in self._cursors.items():
            if cursor.id not in ranges:
                raise TopicNotFoundError(f"{self.where}: topic {partition.topic!r} was deleted")
            cursor.first, cursor.end = ranges[cursor.id]

    def fetch(self, max_records: int, max_bytes: int | None = None) -> list[Columns]:
        """Return up to `max_records` records of up to `max_bytes`, or none.

        Raises
        ------
        streamzarr.errors.OffsetOutOfRangeError
            A position lies outside of its partition.
        streamzarr.errors.DamagedRecordError
            Stored records are damaged.
        """
        if max_records > 0 and self._failed:
            raise self._failed.pop(next(iter(self._failed)))  # found again, unless somebody seeks
        portion = Portion(max_records, max_bytes)
        if not portion.full and self._rest is not None:
            rest, self._rest = self._rest, None
            if rest.where not in self.paused:  # else it is read again when its turn comes
                self._hand_out(self._cursors[rest.where], rest, portion)
        room = MAX_POLL_BYTES
        for _ in range(len(self._turns)):
            if portion.full or room <= 0:
                break
            partition = self._turns[0]
            self._turns.rotate(-1)  # the next poll begins with the next partition
            cursor = self._cursors[partition]
            if partition not in self.paused and cursor.position != cursor.end:
                try:
                    room -= self._read(partition, cursor, portion, room)
                except QueueError as error:
                    if not portion.runs:
                        raise
                    self._failed[partition] = error  # first what was read: it would be lost
        together: dict[TopicPartition, list[Columns]] = {}
        for run in portion.runs:
            together.setdefault(run.where, []).append(run)
        return [first.joined(*others) for first, *others in together.values()]

    def _read(self, partition: TopicPartition, cursor: _Cursor, portion: Portion, room: int) -> int:
        """Hand out records of one partition until `portion` is full; return the bytes read."""
        if cursor.position < cursor.first:  # its batch may still be there, cut in the middle
            raise self._out_of_range(partition, cursor)
        read, end = 0, cursor.end
        with self.database.read() as db:
            place = log.Place(cursor.id, partition, self.where)
            try:
                for size, run in log.read(db, place, cursor.position):
                    self._hand_out(cursor, run, portion)
                    read += size
                    if portion.full or read >= room:
                        break
            except DamagedRecordError:
                self._check_range(partition, cursor)
                raise
        if not read:
            self._check_range(partition, cursor)
            if cursor.position < end:  # they were there before we looked
                raise place.damaged(cursor.position, cursor.end, "missing")
        return read

    def _hand_out(self, cursor: _Cursor, run: Columns, portion: Portion) -> None:
        self._rest = portion.take(run)
        cursor.position = run.stop if self._rest is None else self._rest.first
        cursor.end = max(cursor.end, cursor.position)  # others may have written since `refresh`

    def _check_range(self, partition: TopicPartition, cursor: _Cursor) -> None:
        """Look the partition up again: it may have been trimmed or deleted in this moment."""
        with self.database.read() as db:
            found = log.ranges(db, [cursor.id])
        if cursor.id not in found:
            raise TopicNotFoundError(f"{self.where}: topic {partition.topic!r} was deleted")
        cursor.first, cursor.end = found[cursor.id]
        if not cursor.first <= cursor.position <= cursor.end:
            raise self._out_of_range(partition, cursor)

    def _out_of_range(self, partition: TopicPartition, cursor: _Cursor) -> OffsetOutOfRangeError:
        return OffsetOutOfRangeError(self.where, *partition, cursor.position, cursor.first, cursor.end)
