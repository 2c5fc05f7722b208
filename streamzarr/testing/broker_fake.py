"""A broker in memory whose rebalances and faults a test commands."""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from streamzarr.errors import (
    DamagedRecordError,
    FencedError,
    OffsetOutOfRangeError,
    QueueError,
    TopicNotFoundError,
)
from streamzarr.queue.atomic import AtomicWriter
from streamzarr.queue.base import (
    Broker,
    Consumer,
    GroupInfo,
    NewRecord,
    Notes,
    Offsets,
    Producer,
    Reader,
    RebalanceListener,
    Record,
    TopicIdentity,
    TopicInfo,
    TopicPartition,
)
from streamzarr.queue.columns import Columns, Portion, columns_of
from streamzarr.runtime import SYSTEM, Runtime

Event = tuple[Literal["assigned", "revoked", "lost"], tuple[TopicPartition, ...]]


class FakeBroker(Broker):
    """A :class:`streamzarr.queue.base.Broker` without a server, for tests of what is built on one.

    It does not balance groups: each consumer is assigned what the test says (all partitions, if it says
    nothing), by :meth:`FakeConsumer.rebalance`. Faults are put into :attr:`faults`: a callable per method
    name that may raise. :meth:`at` writes a script of both, by the clock of `runtime`.

    Examples
    --------
    >>> broker = FakeBroker()
    >>> broker.create_topic("jobs", partitions=2)
    >>> broker.append("jobs", 0, b"a", b"b")
    >>> with broker.consumer(["jobs"], "workers") as consumer:
    ...     [record.value for record in consumer.poll(10, timeout=0)]
    ...     consumer.commit({TopicPartition("jobs", 0): 1})
    [b'a', b'b']
    >>> broker.committed("workers", "jobs")
    {0: 1}
    """

    def __init__(self, runtime: Runtime = SYSTEM) -> None:
        self.runtime = runtime
        self.consumers: list[FakeConsumer] = []
        self.commits: list[dict[TopicPartition, int]] = []
        """Every accepted commit, in order."""
        self.faults: dict[str, Callable[[], None]] = {}
        self._script: list[tuple[float, int, Callable[[], None]]] = []  # a heap by time
        self._steps = itertools.count()
        self.writers: dict[str, AtomicWriter] = {}
        """The newest writer of each name."""
        self.notes: dict[tuple[str, TopicPartition], str] = {}
        """What groups keep with their positions."""
        self._lock = runtime.lock()
        self._log: dict[str, list[list[Record]]] = {}
        self._ids: dict[str, int] = {}  # of topics, by name: how many were made before
        self.damaged: dict[TopicPartition, set[int]] = {}
        """Offsets whose records cannot be read."""
        self._begin: dict[TopicPartition, int] = {}
        self._gaps: dict[TopicPartition, int] = {}  # offsets without a record at the end
        self._committed: dict[tuple[str, TopicPartition], int] = {}

    @property
    def url(self) -> str:
        """A URL that nothing opens."""
        return "fake:"

    def fail(self, method: str, *errors: Exception) -> None:
        """Let the next calls of `method` raise these errors, one each."""
        queue = list(errors)

        def fault() -> None:
            if queue:
                raise queue.pop(0)

        self.faults[method] = fault

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` called by the first poll at or after a time, in seconds of the broker's runtime.

        Examples
        --------
        >>> from streamzarr.testing import FakeClock
        >>> clock = FakeClock()
        >>> broker = FakeBroker(clock)
        >>> broker.create_topic("jobs")
        >>> broker.at(2.0, lambda: broker.append("jobs", 0, b"late"))
        >>> with broker.consumer(["jobs"], "workers") as consumer:
        ...     [(clock.now(), len(consumer.poll(10, timeout=1.5))) for _ in range(3)]
        [(0.0, 0), (1.5, 0), (3.0, 1)]
        """
        heapq.heappush(self._script, (seconds, next(self._steps), action))

    def _play(self) -> None:
        """Do what the script says is due."""
        while self._script and self._script[0][0] <= self.runtime.now():
            heapq.heappop(self._script)[2]()

    def _fault(self, method: str) -> None:
        if method in self.faults:
            self.faults[method]()

    def append(self, topic: str, partition: int, *values: bytes | None) -> None:
        """Write records without keys."""
        self._append(topic, [NewRecord(value, partition=partition) for value in values])

    def _append(self, topic: str, records: Sequence[NewRecord]) -> None:
        with self._lock:
            log = self._partitions(topic)
            for new in records:
                number = 0 if new.partition is None else new.partition
                partition = TopicPartition(topic, number)
                offset = self._end(partition)
                self._gaps.pop(partition, None)
                log[number].append(
                    Record(topic, number, offset, new.key, new.value, new.headers, new.timestamp or 0)
                )
        for consumer in self.consumers:
            consumer.bell.ring()

    def _partitions(self, topic: str) -> list[list[Record]]:
        try:
            return self._log[topic]
        except KeyError:
            raise TopicNotFoundError(f"fake: no topic {topic!r}") from None

    def read(self, partition: TopicPartition, offset: int) -> Record | None:
        """Return the first record from `offset` on; ``None`` at the end."""
        begin = self._begin.get(partition, 0)
        log = self._partitions(partition.topic)[partition.partition]
        end = self._end(partition)
        if not begin <= offset <= end:
            raise OffsetOutOfRangeError(str(self), *partition, offset, begin, end)
        if offset in self.damaged.get(partition, ()):
            resume = next(n for n in itertools.count(offset) if n not in self.damaged[partition])
            raise DamagedRecordError(str(self), *partition, offset, resume, "planned")
        number = bisect_left(log, offset, key=lambda record: record.offset)
        return log[number] if number < len(log) else None

    def leave_out(self, partition: TopicPartition, count: int = 1) -> None:
        """Let the next `count` offsets hold no record, as transaction markers do."""
        with self._lock:
            self._gaps[partition] = self._gaps.get(partition, 0) + count

    def _end(self, partition: TopicPartition) -> int:
        log = self._partitions(partition.topic)[partition.partition]
        last = log[-1].offset + 1 if log else self._begin.get(partition, 0)
        return last + self._gaps.get(partition, 0)

    def create_topic(self, name: str, partitions: int = 1, *, exist_ok: bool = False) -> None:
        """Create a topic."""
        if name in self._log:
            if not exist_ok or len(self._log[name]) != partitions:
                raise QueueError(f"fake: topic {name!r} exists")
            return
        self._log[name] = [[] for _ in range(partitions)]
        self._ids[name] = self._ids.get(name, 0) + 1

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        self._partitions(name)
        del self._log[name]

    def topics(self) -> list[str]:
        """Return the names of all topics."""
        return sorted(self._log)

    def identify(self, topic: str) -> TopicIdentity:
        """Return an identity that changes when the topic is made anew."""
        self._partitions(topic)
        return TopicIdentity("fake", f"{topic}.{self._ids[topic]}")

    def describe(self, topic: str) -> TopicInfo:
        """Return the offsets of a topic."""
        self._fault("describe")
        with self._lock:
            log = self._partitions(topic)
            begin = {number: self._begin.get(TopicPartition(topic, number), 0) for number in range(len(log))}
            return TopicInfo(
                topic, begin, {number: self._end(TopicPartition(topic, number)) for number in begin}
            )

    def offsets_at(self, topic: str, timestamp: int) -> dict[int, int]:
        """Return the first offset by partition that is not older than `timestamp`."""
        info = self.describe(topic)
        return {
            number: next((record.offset for record in log if record.timestamp >= timestamp), info.end[number])
            for number, log in enumerate(self._partitions(topic))
        }

    def trim(self, topic: str, before: Mapping[int, int]) -> None:
        """Delete records below an offset."""
        log = self._partitions(topic)
        for number, offset in before.items():
            partition = TopicPartition(topic, number)
            log[number] = [record for record in log[number] if record.offset >= offset]
            self._begin[partition] = max(offset, self._begin.get(partition, 0))

    def groups(self, name: str | None = None) -> list[GroupInfo]:
        """Return all groups that have committed, or the one of that name."""
        names = sorted({group for group, _ in self._committed if name in (None, group)})
        return [
            GroupInfo(
                each, 0, {tp: offset for (group, tp), offset in self._committed.items() if group == each}
            )
            for each in names
        ]

    def members(self, group: str) -> int:
        """Return 0: members are commanded by the test, not counted."""
        return 0

    def assignment(self, group: str, topic: str) -> dict[str, list[int]]:
        """Return ``{}``, as there are no members to tell of."""
        return {}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the committed positions of a group."""
        self._fault("committed")
        return {
            partition.partition: offset
            for (name, partition), offset in self._committed.items()
            if name == group and partition.topic == topic
        }

    def set_committed(self, group: str, partition: TopicPartition, offset: int) -> None:
        """Store a position as some other member of the group would."""
        self._committed[group, partition] = offset

    def producer(self) -> Producer:
        """Return a producer that stores at once."""
        return FakeProducer(self)

    def atomic_writer(self, name: str) -> AtomicWriter:
        """Return a writer that stores at once, until there is a newer one of `name`."""
        return FakeAtomicWriter(self, name)

    def consumer(
        self,
        topics: Sequence[str],
        group: str,
        *,
        listener: RebalanceListener | None = None,
        session_timeout: float = 10.0,
        max_poll_interval: float = 300.0,
        prefetch_bytes: int | None = None,
        instance: str | None = None,
    ) -> FakeConsumer:
        """Return a consumer that is assigned every partition at its first poll, unless told otherwise."""
        self._fault("consumer")
        every = [
            TopicPartition(name, number) for name in topics for number in range(len(self._partitions(name)))
        ]
        consumer = FakeConsumer(self, group, every, listener)
        self.consumers.append(consumer)
        return consumer

    def reader(
        self, topic: str, start: Mapping[int, int] | None = None, *, prefetch_bytes: int | None = None
    ) -> Reader:
        """Return a reader outside any group."""
        every = [TopicPartition(topic, number) for number in range(len(self._partitions(topic)))]
        reader = FakeConsumer(self, "", every, None)
        reader.poll(0, 0.0)
        reader.seek({TopicPartition(topic, number): offset for number, offset in (start or {}).items()})
        return reader

    def close(self) -> None:
        """Do nothing."""


class FakeProducer(Producer):
    """Stores each record at once."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker

    def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        """Store `records`."""
        self._broker._fault("send")
        self._broker._append(topic, records)

    def flush(self, timeout: float = 30.0) -> None:
        """Do nothing: all is stored."""
        self._broker._fault("flush")

    def close(self) -> None:
        """Do nothing."""


class FakeAtomicWriter(AtomicWriter):
    """Stores all records of a call, or none."""

    def __init__(self, broker: FakeBroker, name: str) -> None:
        self._broker, self._name = broker, name
        broker.writers[name] = self

    def write(self, records: Sequence[tuple[str, NewRecord]]) -> None:
        """Store `records`."""
        self._broker._fault("write")
        if self._broker.writers[self._name] is not self:
            raise FencedError(f"fake: there is a newer writer {self._name!r}")
        for topic, _ in records:
            self._broker._partitions(topic)
        for topic, record in records:
            self._broker._append(topic, [record])

    def close(self) -> None:
        """Do nothing."""


class FakeConsumer(Consumer):
    """A group member whose partitions the test moves; callbacks run inside :meth:`poll` and :meth:`close`."""

    def __init__(
        self,
        broker: FakeBroker,
        group: str,
        partitions: Sequence[TopicPartition],
        listener: RebalanceListener | None,
    ) -> None:
        self.bell = broker.runtime.bell()
        self.closed = False
        self.polls = 0
        self.fenced: set[TopicPartition] = set()
        """Partitions whose commits are refused."""
        self._broker, self._group, self._listener = broker, group, listener
        self._events: list[Event] = [("assigned", tuple(partitions))]
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._turns = itertools.count()

    def rebalance(self, what: Literal["assigned", "revoked", "lost"], *partitions: TopicPartition) -> None:
        """Have the next poll tell the listener; any thread may call it."""
        self._events.append((what, partitions))
        self.bell.ring()

    def expect_nothing(self) -> None:
        """Forget the assignment of all partitions that is due at the first poll."""
        self._events.clear()

    def _run_events(self) -> None:
        while self._events:
            what, partitions = self._events.pop(0)
            if what == "assigned":
                for partition in partitions:
                    begin = self._broker.describe(partition.topic).begin[partition.partition]
                    self._positions[partition] = self._broker._committed.get((self._group, partition), begin)
                    self.fenced.discard(partition)
                if self._listener is not None:
                    self._listener.on_assigned(partitions)
                continue
            if what == "lost":
                self.fenced.update(partitions)
            if self._listener is not None:
                (self._listener.on_revoked if what == "revoked" else self._listener.on_lost)(partitions)
            for partition in partitions:
                self._positions.pop(partition, None)

    def poll_columns(self, max_records: int, timeout: float, max_bytes: int | None = None) -> list[Columns]:
        """Run what the test has ordered, then return records, from each partition in turn."""
        assert not self.closed
        self.polls += 1
        self._broker._play()
        self._run_events()
        self._broker._fault("poll")
        runs = self._take(max_records, max_bytes)
        if not runs and timeout > 0:
            self.bell.wait(timeout)
            self._run_events()
            runs = self._take(max_records, max_bytes)
        return runs

    def _take(self, max_records: int, max_bytes: int | None) -> list[Columns]:
        portion = Portion(max_records, max_bytes)
        live = [partition for partition in self._positions if partition not in self._paused]
        shift = next(self._turns) % max(1, len(live))
        for partition in live[shift:] + live[:shift]:
            while not portion.full:
                try:
                    run = self._read(partition, max_records)
                except QueueError:
                    if portion.runs:  # first what was read: it would be lost
                        return portion.runs
                    raise
                if run is None:
                    self._positions[partition] = self._broker._end(partition)
                    break
                rest = portion.take(run)
                self._positions[partition] = run.stop if rest is None else rest.first
        return portion.runs

    def _read(self, partition: TopicPartition, max_records: int) -> Columns | None:
        """Return records from the partition's position on; None at its end."""
        position, records = self._positions[partition], list[Record]()
        try:
            while len(records) < max_records and (record := self._broker.read(partition, position)):
                records.append(record)
                position = record.offset + 1
        except QueueError:
            if not records:
                raise
        return next(columns_of(records), None)

    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions that are ours."""
        return frozenset(self._positions)

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offsets to read."""
        return dict(self._positions)

    def notes(self) -> dict[TopicPartition, str]:
        """Return what is kept with the positions of our partitions."""
        notes = self._broker.notes
        return {each: notes[self._group, each] for each in self._positions if (self._group, each) in notes}

    def commit(self, offsets: Offsets, notes: Notes | None = None) -> None:
        """Store positions; refuses those of fenced partitions, and then all of this call."""
        self._broker._fault("commit")
        refused = self.fenced.intersection(offsets)
        if refused:
            raise FencedError(f"fake: {sorted(refused)} belong to another member")
        self._broker.commits.append(dict(offsets))
        for partition, offset in offsets.items():
            self._broker._committed[self._group, partition] = offset
            self._broker.notes[self._group, partition] = (notes or {}).get(partition, "")

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch nothing from `partitions`."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Undo :meth:`pause`."""
        self._paused.difference_update(partitions)

    def seek(self, offsets: Offsets) -> None:
        """Read from other positions next."""
        self._positions.update(offsets)

    def close(self) -> None:
        """Leave: revokes what is left."""
        if not self.closed:
            self._events.clear()
            if self._positions:
                self._events.append(("revoked", tuple(self._positions)))
                self._run_events()
            self.closed = True
