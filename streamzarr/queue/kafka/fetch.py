"""Records out of a librdkafka consumer: in batches, in order, and none lost to an error on the way.

librdkafka hands out messages by count. To keep within a bound of bytes, they are taken in steps of as many as
are usual for so many bytes; what a step brings beyond the bound waits here and counts against the next one.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError

from streamzarr.errors import DamagedRecordError, OffsetOutOfRangeError, QueueError, TopicNotFoundError
from streamzarr.queue.columns import Columns
from streamzarr.queue.kafka.admin import KafkaAdmin
from streamzarr.queue.kafka.backlog import Backlog
from streamzarr.queue.kafka.clients import Source
from streamzarr.queue.kafka.config import logger
from streamzarr.queue.kafka.damage import BAD_DATA, first_behind
from streamzarr.queue.kafka.errors import AWAY, TRANSIENT, UNKNOWN_TOPIC, GaveUpError, translate
from streamzarr.queue.kafka.intake import Notice, Taken, intake_of
from streamzarr.queue.record import TopicPartition
from streamzarr.runtime import Deadline

_MAX_STEP: Final = 2000
"""Messages taken from librdkafka at once: of small ones as many as a core's own cache holds with their
columns. What one step costs beside its messages is about as much as eighty of them."""

_OUT_OF_RANGE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})


@dataclass(slots=True)
class _Damage:
    """Records that cannot be read, and the first offset behind them, once it was looked for."""

    offset: int
    reason: str
    resume: int | None = None


class Fetcher:
    """Takes messages from a client as records, and keeps those that nobody has asked for yet.

    Owned by the consumer's thread. `fetch` and `serve` run the client's callbacks, which may call `add`,
    `remove`, `seek` and `fail`.
    """

    def __init__(self, client: Source, admin: KafkaAdmin, topics: int) -> None:
        self._intake = intake_of(client, topics)
        self._admin = admin
        self._where = str(admin.config)
        self.positions: dict[TopicPartition, int] = {}
        """Partitions that are read, and the next offset that `fetch` returns of each."""
        self.paused: set[TopicPartition] = set()
        """Partitions whose records wait, and are returned later."""
        self.backlog = Backlog()
        """What was fetched and not yet returned."""
        self.packed = False
        """Whether small values are kept in one piece."""
        self._usual = math.inf
        """Bytes of a record, on average of the last ones."""
        self._calling = False  # the client: its callbacks run
        self._sought: dict[TopicPartition, Callable[[], None]] = {}
        self._moved = False
        self._out_of_range: set[TopicPartition] = set()
        self._damaged: dict[TopicPartition, _Damage] = {}
        self._gave = False  # records, at the last `fetch`
        self._ends: dict[TopicPartition, int] = {}
        """Where partitions end, beyond the records that wait: behind transaction markers, say."""
        self._error: BaseException | None = None
        self.broken_off = False
        """Whether records were lost on their way, to Ctrl-C or for lack of memory. Then all partitions have
        to be read again from their positions, before anything else."""
        self.fatal: GaveUpError | None = None
        """Why the client has stopped for good: it says so once, and is silent from then on."""

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions too; the client was told."""
        self.positions.update(positions)

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these partitions no longer; the client was told."""
        partitions = set(partitions)
        for partition in partitions:
            self.positions.pop(partition, None)
        self.drop(partitions)
        self._moved = True

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget what was fetched from these partitions, and what was wrong with them."""
        partitions = set(partitions)
        self.backlog.keep(lambda partition: partition not in partitions)
        self._out_of_range -= partitions
        for partition in partitions:
            self._damaged.pop(partition, None)
            self._ends.pop(partition, None)
            self._sought.pop(partition, None)

    def begin(self, partition: TopicPartition, position: int) -> None:
        """Return the record at `position` of a partition first, of which nothing was fetched yet."""
        self.positions[partition] = position
        self.drop([partition])

    def seek(self, partition: TopicPartition, position: int, tell: Callable[[], None]) -> None:
        """Return the record at `position` of an own partition next; `tell` makes it known to the client.

        In one of the client's callbacks that has to wait for the client to return: what it brings then may be
        from before or after, and nobody could tell which.
        """
        if not self._calling:
            tell()
        self.begin(partition, position)
        if self._calling:
            self._sought[partition] = tell

    def fail(self, error: BaseException) -> None:
        """Have `error` raised when the client is done; raised inside, it would lose what is being fetched."""
        self._error = self._error or error

    def check_topic(self, topic: str) -> None:
        """Fail if `topic` is gone: a server that has not heard of a new topic yet says so too."""
        try:
            self._admin.partitions(topic)
        except TopicNotFoundError as error:
            self.fail(error)
        except QueueError as error:
            logger.warning("%s: cannot tell whether topic %r is gone: %s", self._where, topic, error)

    def step(self, max_records: int, max_bytes: int | None) -> int:
        """Return how many messages to take from the client next, for a `fetch` within these bounds."""
        free = self.backlog.without(self.paused)
        room = min(max_records - free.records, _MAX_STEP)
        if max_bytes is None or room <= 0:
            return room
        if free.records:
            return min(room, int((max_bytes - free.nbytes) * free.records / max(1, free.nbytes)))
        return max(1, min(room, int(max_bytes / self._usual)))

    def fetch(self, max_records: int, timeout: float, max_bytes: int | None = None) -> list[Columns]:
        """Return up to `max_records` of up to `max_bytes`, waiting at most `timeout` seconds for the first.

        Raises
        ------
        streamzarr.errors.OffsetOutOfRangeError, streamzarr.errors.DamagedRecordError
            A partition cannot be read on, until somebody seeks; all before it was returned.
        """
        deadline = Deadline(self._admin.config.runtime, timeout)
        if self._gave:  # in turn, so that neither error nor other partitions wait for ever
            self._gave = False
            self._raise_unreadable()
        while True:
            while (step := self.step(max_records, max_bytes)) > 0:
                if self._call(self._intake.take, step) < step:
                    break
            if runs := self._take(max_records, max_bytes):
                self._gave = True
                return runs
            self._raise_unreadable()
            left = deadline.left
            if left <= 0:
                return []
            self.serve(left)

    def serve(self, timeout: float) -> None:
        """Run callbacks for up to `timeout` seconds, or until a record comes, which is kept."""
        self._call(self._intake.look, timeout)

    def _call(self, method: Callable[..., Taken], argument: float) -> int:
        """Keep what this method of the intake takes; return how many messages that were."""
        before = self.broken_off
        try:
            self._calling = self.broken_off = True
            taken = method(argument, packed=self.packed)
        finally:
            self._calling = False
        self._accept(taken)
        self.broken_off = before
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return taken.messages

    def _take(self, max_records: int, max_bytes: int | None) -> list[Columns]:
        begun = dict(self.positions)
        self.broken_off = True
        try:
            runs = self.backlog.take(max_records, max_bytes, self.paused)
            for run in runs:
                self.positions[run.where] = run.stop
            if runs and max_bytes is not None:
                self._usual = max(1.0, sum(run.nbytes for run in runs) / sum(map(len, runs)))
            if self._ends:
                self._pass_ends()
        except BaseException:
            self.positions.update(begun)
            raise
        self.broken_off = False
        return runs

    def _pass_ends(self) -> None:
        """Move positions over offsets that hold no record, once all records before them are handed out."""
        waiting = self.backlog.partitions()
        for partition in [each for each in self._ends if each not in waiting]:
            end = self._ends.pop(partition)
            if partition in self.positions and partition not in self._damaged:
                self.positions[partition] = max(end, self.positions[partition])

    def _raise_unreadable(self) -> None:
        if not self._out_of_range and not self._damaged:
            return
        waiting = self.backlog.partitions()
        for partition in self._out_of_range - waiting:
            begin, end = self._admin.begin([partition]), self._admin.end([partition])
            raise OffsetOutOfRangeError(
                self._where, *partition, self.positions[partition], begin[partition], end[partition]
            )
        for partition in self._damaged.keys() - waiting:
            damage = self._damaged[partition]
            if damage.resume is None:
                damage.resume = first_behind(self._admin, partition, damage.offset)
            raise DamagedRecordError(self._where, *partition, damage.offset, damage.resume, damage.reason)

    def _accept(self, taken: Taken) -> None:
        if self._sought:
            taken = self._seek_now(taken)
        for notice in taken.notices:
            self._note(notice)
        for run in taken.runs:
            self._keep(run)
        if self._moved:  # a callback in between: what came before it may not be ours any more
            self.backlog.keep(self.positions.__contains__)
            self._moved = False
        if self._ends:
            self._pass_ends()

    def _seek_now(self, taken: Taken) -> Taken:
        """Tell the client of what was sought in its callbacks; return what is not of those partitions."""
        sought, self._sought = self._sought, {}
        for partition, tell in sought.items():
            try:
                tell()
            except QueueError as error:
                self._sought[partition] = tell  # until then nothing of it may be returned
                self.fail(error)
        return Taken(
            taken.messages,
            [run for run in taken.runs if run.where not in sought],
            [notice for notice in taken.notices if (notice.topic, notice.partition) not in sought],
        )

    def _keep(self, run: Columns) -> None:
        damage = self._damaged.get(run.where) if self._damaged else None
        if damage is None or run.stop <= damage.offset:
            self.backlog.add(run)
        # librdkafka goes on behind damaged records as if nothing were missing.
        elif readable := bisect_left(run.offsets, damage.offset):
            self.backlog.add(run[:readable])

    def _note(self, notice: Notice) -> None:
        error, topic = notice.error, notice.topic
        code, partition = error.code(), TopicPartition(topic or "", notice.partition)
        if code == KafkaError._PARTITION_EOF:
            self._ends[partition] = notice.offset
        elif code in _OUT_OF_RANGE:
            if partition in self.positions:
                self._out_of_range.add(partition)
        elif code in BAD_DATA:
            if partition in self.positions and partition not in self._damaged:
                offset = max(notice.offset, self.positions[partition])
                self._damaged[partition] = _Damage(offset, error.str())
        elif code in UNKNOWN_TOPIC and topic:
            self.check_topic(topic)
        elif code in AWAY:
            self._admin.config.contact.failed(error.str())  # the client goes on by itself
        elif code in TRANSIENT:
            logger.info("%s: %s", self._where, error.str())  # an answer, though not the one that was wanted
        elif code == KafkaError._FATAL:
            self.fatal = GaveUpError(f"{self._where}: {error.str()}")
            self.fail(self.fatal)
        elif code == KafkaError._MAX_POLL_EXCEEDED:
            logger.warning("%s: %s", self._where, error.str())
        else:
            self.fail(translate(error, f"{self._where}: {topic or 'consumer'}"))
