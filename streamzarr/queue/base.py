"""The contract of a broker: topics of partitions of records, consumer groups, committed offsets.

Semantics are Kafka's; ``kafka://`` is confluent-kafka and ``sqlite:///path`` the embedded log with the
same behaviour on one machine. ``streamzarr.testing.brokers`` is the suite that both pass.

Threads: a :class:`Broker` and a :class:`Producer` may be shared between threads. A :class:`Consumer` and a
:class:`Reader` are owned by the one thread that created them; their callbacks run on that thread, inside
``poll`` or ``close``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, Protocol, TypeAlias

from streamzarr.errors import ConfigError
from streamzarr.queue.atomic import AtomicWriter
from streamzarr.queue.closing import Closing
from streamzarr.queue.columns import Columns
from streamzarr.queue.outage import Contact
from streamzarr.queue.record import Headers as Headers
from streamzarr.queue.record import NewRecord as NewRecord
from streamzarr.queue.record import Record as Record
from streamzarr.queue.record import TopicPartition as TopicPartition
from streamzarr.queue.share import ShareConsumer
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM, Runtime

OnGap: TypeAlias = Literal["fail", "skip"]
"""What to do when records that were to be read are gone or damaged."""

Offsets: TypeAlias = Mapping[TopicPartition, int]
"""Positions by partition. As in Kafka a position is the *next* offset to read."""

Notes: TypeAlias = Mapping[TopicPartition, str]
"""Texts that are kept with committed positions."""

MAX_NOTE_BYTES: Final = 4000
"""What may be kept with a position: Kafka's ``offset.metadata.max.bytes`` is 4096 by default, exclusively."""


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic and the range of offsets that each partition holds."""

    name: str
    begin: Mapping[int, int]
    """First offset still there, by partition."""
    end: Mapping[int, int]
    """Offset behind the last record that can be read, by partition: the next record's, as a rule."""

    @property
    def partitions(self) -> int:
        """Number of partitions."""
        return len(self.end)

    def reading_from(self, committed: Mapping[int, int]) -> dict[int, int]:
        """Return where a group goes on: at the beginning where it has no position that is in range.

        Examples
        --------
        >>> info = TopicInfo("jobs", begin={0: 10, 1: 0, 2: 0}, end={0: 50, 1: 30, 2: 5})
        >>> info.reading_from(committed={0: 7, 1: 25, 2: 99})
        {0: 10, 1: 25, 2: 0}
        """
        found = {}
        for partition, end in self.end.items():
            begin = self.begin.get(partition, 0)
            position = committed.get(partition, begin)
            found[partition] = position if begin <= position <= end else begin
        return found


@dataclass(frozen=True, slots=True)
class TopicIdentity:
    """Which topic a name means: another one after it was made anew, or where the name leads elsewhere."""

    cluster: str
    """Id of the cluster, or of the embedded broker's file."""
    topic: str
    """Id of the topic in its cluster; never given twice."""


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A consumer group: its members and the position committed in each partition."""

    name: str
    members: int
    committed: Mapping[TopicPartition, int]


class RebalanceListener(Protocol):
    """What a consumer's owner is told; every call is on the consumer's thread, inside ``poll`` or ``close``.

    ``on_revoked`` may block until its partitions are drained, at most a few seconds; offsets committed
    inside it are still accepted. After ``on_lost`` another member may already own the partitions: commit
    nothing for them.
    """

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Hear of partitions that are now also ours (only the new ones: assignment is cooperative)."""

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Hear of partitions that are about to be given up."""

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Hear of partitions that are no longer ours; commits for them would be refused."""


class Producer(Closing):
    """Writes records. Thread-safe. ``send`` may block while the local queue is full (backpressure)."""

    @abstractmethod
    def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        """Queue `records` for `topic`, in order.

        Durable only when a later :meth:`flush` returns.

        Raises
        ------
        streamzarr.errors.TopicNotFoundError
            The topic does not exist (at the latest from ``flush``).
        streamzarr.errors.QueueError
            The broker refused a record sent earlier, or cannot be reached.
        """

    @abstractmethod
    def flush(self, timeout: float = 30.0) -> None:
        """Return when every record sent so far is durable on the broker.

        Raises
        ------
        streamzarr.errors.QueueError
            Some record was refused or not acknowledged within `timeout` seconds; says how many.
            Those records are no longer queued: the caller decides whether to send them again.
        """

    @abstractmethod
    def close(self) -> None:
        """Flush, then release the connection. Idempotent."""


class Reader(Closing):
    """Reads partitions from given positions, outside any group. Owned by one thread."""

    @abstractmethod
    def poll_columns(self, max_records: int, timeout: float, max_bytes: int | None = None) -> list[Columns]:
        """Return up to `max_records`, waiting at most `timeout` seconds for the first one.

        They come by columns, those of one partition together. ``poll_columns(0, 0.0)`` reads nothing and
        does the rest: a consumer stays in its group and its callbacks run.

        Parameters
        ----------
        max_bytes
            Bound for the bytes of all values, keys and headers. The first record is returned however big
            it is. What was fetched beyond is kept for the next call: at most one batch.

        Raises
        ------
        streamzarr.errors.OffsetOutOfRangeError
            A position is outside of what its partition holds: trimmed, expired, or never written.
        streamzarr.errors.DamagedRecordError
            The next records of a partition cannot be read.
        """

    def poll(self, max_records: int, timeout: float, max_bytes: int | None = None) -> list[Record]:
        """Return what :meth:`poll_columns` does, record by record."""
        runs = self.poll_columns(max_records, timeout, max_bytes)
        try:
            return runs[0].records() if len(runs) == 1 else [each for run in runs for each in run.records()]
        except BaseException:  # Ctrl-C, or no memory
            self._take_back(runs)
            raise

    def _take_back(self, runs: Sequence[Columns]) -> None:
        """Give these runs again, which nobody has seen."""

    @abstractmethod
    def positions(self) -> dict[TopicPartition, int]:
        """Next offset to be read, by partition; behind offsets without a record, once they were passed."""

    @abstractmethod
    def close(self) -> None:
        """Release the connection. Idempotent."""


class Consumer(Reader):
    """A member of a consumer group. Owned by one thread; must poll at least every ``max_poll_interval``."""

    asks = True
    """Whether a poll for records asks the broker; else they were fetched before: it may be away by now."""

    def _take_back(self, runs: Sequence[Columns]) -> None:
        self.seek({run.where: run.first for run in runs})

    def want_packed(self) -> None:
        """Hear that small values are best given in one piece (``Columns.packed``); a hint."""

    @abstractmethod
    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions that are ours now."""

    @abstractmethod
    def commit(self, offsets: Offsets, notes: Notes | None = None) -> None:
        """Store these positions for the group, durably, before returning.

        Parameters
        ----------
        notes
            Texts that are kept with some of the positions, at most :data:`MAX_NOTE_BYTES` each: until the
            next commit for the partition, which keeps its own, or none. A cluster that allows less is
            given none.

        Raises
        ------
        streamzarr.errors.FencedError
            This member no longer owns one of the partitions; nothing was stored for those.
        streamzarr.errors.QueueError
            The broker cannot be reached; nothing is known to be stored.
        """

    def tell(self, offsets: Offsets) -> bool:
        """Have the group hear of these positions, for others to look at; return whether it was asked to.

        As :meth:`commit`, but a broker that has to be waited for is not: whether it has heard is not known.
        """
        self.commit(offsets)
        return True

    @abstractmethod
    def notes(self) -> dict[TopicPartition, str]:
        """Return what is kept with the committed positions of our partitions.

        As of their assignment, or newer; inside ``on_assigned`` those of the new ones are there already.
        """

    @abstractmethod
    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch nothing from these partitions until :meth:`resume`; they stay ours."""

    @abstractmethod
    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Undo :meth:`pause`; reading goes on without a gap."""

    @abstractmethod
    def seek(self, offsets: Offsets) -> None:
        """Read these owned partitions from these positions next."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group at once (``on_revoked`` runs first) and release the connection. Idempotent."""


class Broker(Closing):
    """A connection to topics. Thread-safe, picklable by URL, opened with ``streamzarr.queue.open_broker``.

    ``str()`` of a broker is its URL as it may be shown, for errors, logs and people.
    """

    runtime: Runtime = SYSTEM
    """Where its clocks, threads and ids come from, and those of whoever works with it."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL that opens this broker again; it may hold a password, so it is never shown."""

    def __str__(self) -> str:
        return redacted(self.url)

    @cached_property
    def contact(self) -> Contact:
        """Says when the broker goes away and when it is back; for those who try again."""
        return Contact(self.url, self.runtime)

    @abstractmethod
    def create_topic(self, name: str, partitions: int = 1, *, exist_ok: bool = False) -> None:
        """Create a topic whose records are kept until trimmed.

        Raises
        ------
        streamzarr.errors.QueueError
            The topic exists and `exist_ok` is false, or exists with another number of partitions.
        """

    @abstractmethod
    def delete_topic(self, name: str) -> None:
        """Delete a topic and what it holds; raises ``TopicNotFoundError``."""

    @abstractmethod
    def topics(self) -> list[str]:
        """Names of all topics but the broker's own, sorted."""

    def compacts(self, topic: str) -> bool:
        """Tell whether `topic` is compacted: of records with one key it may keep the last alone.

        A broker that does not say, or not to us, does not, as far as anybody can tell.
        """
        return False

    @abstractmethod
    def describe(self, topic: str) -> TopicInfo:
        """Return the partitions of `topic` and their offsets; raises ``TopicNotFoundError``."""

    def ends_soon(self, partitions: Collection[TopicPartition]) -> Callable[[], Offsets | None]:
        """Ask where `partitions` end; return what tells it, or None until it is known.

        A broker that has to be waited for is not. Both raise ``QueueError``.
        """
        topics = {each.topic: self.describe(each.topic).end for each in partitions}
        ends = {each: topics[each.topic].get(each.partition, 0) for each in partitions}
        return lambda: ends

    @abstractmethod
    def identify(self, topic: str) -> TopicIdentity:
        """Return which topic the name `topic` means; raises ``TopicNotFoundError``.

        Offsets of one identity cannot be told from those of another, so whoever keeps positions keeps it.
        """

    @abstractmethod
    def offsets_at(self, topic: str, timestamp: int) -> dict[int, int]:
        """First offset by partition whose record is not older than `timestamp` (ms); the end if none."""

    @abstractmethod
    def trim(self, topic: str, before: Mapping[int, int]) -> None:
        """Delete records below the given offset, by partition."""

    @abstractmethod
    def groups(self, name: str | None = None) -> list[GroupInfo]:
        """All consumer groups, sorted by name; or only the one of that name, at the price of one."""

    @abstractmethod
    def members(self, group: str) -> int:
        """Return how many members `group` has now; 0 when nobody has heard of it. Cheap enough to poll."""

    @abstractmethod
    def assignment(self, group: str, topic: str) -> dict[str, list[int]]:
        """Return the partitions of `topic` that each member of `group` owns now, sorted.

        A member without any has an empty list; ``{}`` says that nobody is there. One question to the broker.
        """

    @abstractmethod
    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the committed positions of `group` by partition; partitions without one are absent."""

    @abstractmethod
    def producer(self) -> Producer:
        """Return a new producer."""

    @abstractmethod
    def atomic_writer(self, name: str) -> AtomicWriter:
        """Return a new writer of what belongs together, the only one of `name` from now on.

        Raises
        ------
        streamzarr.errors.QueueError
            The broker refuses, or cannot be reached.
        """

    @abstractmethod
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
    ) -> Consumer:
        """Join `group`; partitions without a committed position are read from their beginning.

        Offsets are never committed but by ``Consumer.commit``. A position that is out of range raises
        ``OffsetOutOfRangeError`` from ``poll`` until it is sought; it is never reset in silence. Likewise
        ``DamagedRecordError``: what lies behind the damage is returned only after a ``seek``.

        Parameters
        ----------
        topics, group
            What to read, and the name that those who share the work have in common.
        listener
            Is told of partitions that come and go.
        session_timeout
            Seconds without a sign of life after which the group takes this member for dead.
        max_poll_interval
            Seconds without a poll after which it does so, too.
        prefetch_bytes
            Bytes to fetch ahead of `poll` at most, and one fetch; None: the broker's own choice. The
            embedded broker fetches no more than a batch ahead, whatever this says.
        instance
            A name of this member that outlives it, another one for each member: one that comes back by it
            within the session timeout has its partitions again, and the others notice nothing. So it does
            not leave when it is closed. Kafka's static membership, by the classic protocol unless the URL
            says otherwise; other brokers take no notice.
        """

    @abstractmethod
    def reader(
        self, topic: str, start: Mapping[int, int] | None = None, *, prefetch_bytes: int | None = None
    ) -> Reader:
        """Read all partitions of `topic` from `start` (absent ones: the beginning), outside any group.

        `prefetch_bytes` is as for :meth:`consumer`.
        """

    def share_consumer(self, topics: Sequence[str], group: str) -> ShareConsumer:
        """Join the share group `group`, whose members acknowledge record by record.

        It begins with the first record there is.

        Raises
        ------
        streamzarr.errors.ConfigError
            This broker, or its client, has no share groups.
        """
        raise ConfigError(f"{self}: share groups need Apache Kafka 4.2 or later, this broker has none")

    @abstractmethod
    def close(self) -> None:
        """Release the connection. Idempotent."""
