"""Messages that failed for good: kept exactly as they were, with the reason, until replayed or dropped.

A dead letter is a record of a topic of its own. Key, value, timestamp and headers are those of the
message that failed; the reason follows in headers ``streamzarr.error.*``, always the last ones, so that a
letter about a letter can be told apart too. Replaying sends the original to the topic it came from.

That a letter was replayed or dropped is itself a record, a *marker*, behind it in the same partition.
The original is durable on its topic before the marker is written, so a crash between the two can only
make a replay happen twice, never get lost.

A worker that dies after it wrote a letter gets its message again, and may write another. Letters about the
same message are one: the newest stands for all, and what closes one closes them. Parts of one record are
messages of their own if their keys differ.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple, Self, TypeAlias

from streamzarr.errors import MessageError, QueueError, message_of, name_of
from streamzarr.queue.base import Broker, Headers, NewRecord, Record
from streamzarr.queue.scan import scan
from streamzarr.runtime import SYSTEM, Runtime

MAX_MESSAGE_BYTES: Final = 4096
"""An error message longer than this is cut: brokers bound headers, and people stop reading."""
MAX_WORD_BYTES: Final = 256
"""Likewise for class, stage and worker."""

_PREFIX: Final = "streamzarr.error."
_FIELDS: Final = (
    "class",
    "message",
    "stage",
    "attempts",
    "first_seen",
    "worker",
    "topic",
    "partition",
    "offset",
)
_NAMES: Final = tuple(_PREFIX + field for field in _FIELDS)
_CLOSED: Final = "streamzarr.settled"

_REPLAY_BATCH: Final = 500
"""Letters between two flushes: what a crash during a replay can repeat."""
_READ_TIMEOUT: Final = 10.0
"""Seconds to wait for one letter."""


def dead_letter_topic(topic: str) -> str:
    """Return the name of the topic that holds the dead letters of `topic`.

    >>> dead_letter_topic("fx.ticks")
    'fx.ticks.dead'
    """
    return f"{topic}.dead"


class LetterId(NamedTuple):
    """Where a letter lies on the dead-letter topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed for good, unchanged, and why.

    Examples
    --------
    >>> record = Record("ticks", 3, 41, b"EURUSD", b"not a price", (), 1767225600000)
    >>> letter = DeadLetter.of(record, error=ValueError("no price"), stage="decode", attempts=1)
    >>> letter.error_class, letter.stage, letter.offset
    ('ValueError', 'decode', 41)
    >>> letter.original().value
    b'not a price'
    """

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int
    """Of the message, milliseconds since the epoch."""
    topic: str
    partition: int
    offset: int
    error_class: str
    message: str
    """What the error said, at most `MAX_MESSAGE_BYTES`."""
    stage: str
    """Where it failed."""
    attempts: int
    first_seen: int
    """When it was first tried, milliseconds since the epoch."""
    worker: str

    @classmethod
    def of(
        cls,
        record: Record,
        *,
        error: BaseException,
        stage: str,
        attempts: int = 1,
        first_seen: int | None = None,
        worker: str = "",
        runtime: Runtime = SYSTEM,
    ) -> Self:
        """Make the letter for `record`; without `first_seen` (ms) it was first tried now, by `runtime`."""
        return cls(
            record.key,
            record.value,
            record.headers,
            record.timestamp,
            record.topic,
            record.partition,
            record.offset,
            error_class=_cut(name_of(error), MAX_WORD_BYTES),
            message=_cut(message_of(error, MAX_MESSAGE_BYTES), MAX_MESSAGE_BYTES),
            stage=_cut(stage, MAX_WORD_BYTES),
            attempts=attempts,
            first_seen=runtime.wall_ns() // 1_000_000 if first_seen is None else first_seen,
            worker=_cut(worker, MAX_WORD_BYTES),
        )

    def to_record(self) -> NewRecord:
        """Return the record for the dead-letter topic."""
        values: tuple[str | int, ...] = (
            self.error_class,
            self.message,
            self.stage,
            self.attempts,
            self.first_seen,
            self.worker,
            self.topic,
            self.partition,
            self.offset,
        )
        reason = tuple((name, str(value).encode()) for name, value in zip(_NAMES, values, strict=True))
        return NewRecord(self.value, self.key, self.headers + reason, timestamp=self.timestamp)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Read a letter back.

        Raises
        ------
        streamzarr.errors.MessageError
            The record is not a dead letter.
        """
        headers, reason = record.headers[: -len(_NAMES)], record.headers[-len(_NAMES) :]
        where = f"{record.topic}[{record.partition}] offset {record.offset}"
        if tuple(name for name, _ in reason) != _NAMES:
            raise MessageError(f"{where}: not a dead letter, it does not end with the headers {_PREFIX}*")
        try:
            error_class, message, stage, attempts, first_seen, worker, topic, partition, offset = (
                value.decode() for _, value in reason
            )
            return cls(
                record.key,
                record.value,
                headers,
                record.timestamp,
                topic,
                int(partition),
                int(offset),
                error_class,
                message,
                stage,
                int(attempts),
                int(first_seen),
                worker,
            )
        except ValueError as error:
            raise MessageError(
                f"{where}: a dead letter with a header that cannot be read: {error}"
            ) from error

    @property
    def origin(self) -> tuple[str, int, int, int, bytes | None]:
        """Which message it is about.

        The time tells apart what has one place on a topic made anew, the key the parts of one record.
        """
        return self.topic, self.partition, self.offset, self.timestamp, self.key

    def original(self, *, partition: int | None = None) -> NewRecord:
        """Return the message as it was, to be sent to `topic` again."""
        return NewRecord(self.value, self.key, self.headers, partition, self.timestamp)


Entry: TypeAlias = tuple[LetterId, DeadLetter]


def open_letters(records: Iterable[Record]) -> list[Entry]:
    """Return the letters among all records of a dead-letter topic that were not replayed or dropped.

    A record that is no letter is listed as one about itself: nothing on the topic is out of sight, and it
    can be dropped.
    """
    records = list(records)
    return _open(filter(None, map(_entry, records)), set(map(_closes, records)), None)


def _open(
    entries: Iterable[Entry],
    closed: Container[LetterId | None],
    predicate: Callable[[DeadLetter], bool] | None,
) -> list[Entry]:
    """Return the newest letter about each message, unless one about it is `closed`."""
    newest: dict[tuple[object, ...], Entry] = {}
    over: set[tuple[object, ...]] = set()
    for id_, letter in entries:
        if id_ in closed:
            over.add(letter.origin)
        elif predicate is None or predicate(letter):
            newest[letter.origin] = (id_, letter)
    return sorted(
        (entry for origin, entry in newest.items() if origin not in over), key=lambda entry: entry[0]
    )


class DeadLetterQueue:
    """The letters of one dead-letter topic. Threads: as the broker, but one replay of a letter at a time.

    Examples
    --------
    >>> import tempfile
    >>> from streamzarr.queue import open_broker
    >>> folder = tempfile.TemporaryDirectory()
    >>> broker = open_broker(f"sqlite:///{folder.name}/queue.db")
    >>> broker.create_topic("ticks"), broker.create_topic("ticks.dead")
    (None, None)
    >>> record = Record("ticks", 0, 41, None, b"not a price", (), 0)
    >>> letter = DeadLetter.of(record, error=ValueError("no price"), stage="decode")
    >>> with broker.producer() as producer:
    ...     producer.send("ticks.dead", [letter.to_record()])
    >>> queue = DeadLetterQueue(broker, "ticks.dead")
    >>> [(id_.offset, letter.message) for id_, letter in queue.ls()]
    [(0, 'no price')]
    >>> queue.replay(queue.ls()), queue.ls()
    (1, [])
    >>> broker.close(); folder.cleanup()
    """

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def ls(self, predicate: Callable[[DeadLetter], bool] | None = None) -> list[Entry]:
        """Return the letters that are still open, in the order of their partitions.

        Raises
        ------
        streamzarr.errors.TopicNotFoundError
            There is no such topic.
        """
        # Two passes: the markers are small and come last, and only the letters asked for stay in memory.
        closed = set(map(_closes, scan(self._broker, self._topic)))
        entries = map(_entry, scan(self._broker, self._topic))
        return _open(filter(None, entries), closed, predicate)

    def get(self, id_: LetterId | tuple[int, int]) -> DeadLetter:
        """Return one letter, whether open or not; raises ``QueueError`` when there is none."""
        partition, offset = id_
        info = self._broker.describe(self._topic)
        if info.begin.get(partition, 0) <= offset < info.end.get(partition, 0):
            with self._broker.reader(self._topic, {**info.end, partition: offset}) as reader:
                for record in reader.poll(1, _READ_TIMEOUT):
                    entry = _entry(record)
                    if entry is not None and entry[0] == (partition, offset):
                        return entry[1]
        raise QueueError(f"{self._broker}: {self._topic}[{partition}] has no letter at offset {offset}")

    def replay(self, letters: Iterable[Entry]) -> int:
        """Send the originals to their topics again, mark them as replayed, and return how many.

        Raises
        ------
        streamzarr.errors.QueueError
            The broker refused some; those are not marked and stay open.
        """
        return self._close(letters, b"replayed", self._send_originals)

    def drop(self, letters: Iterable[Entry]) -> int:
        """Mark letters as dropped and return how many; they stay on the topic but are open no more."""
        return self.mark(letters, "dropped")

    def mark(self, letters: Iterable[Entry], outcome: str) -> int:
        """Mark letters as closed in another way than by a replay and return how many."""
        return self._close(letters, outcome.encode(), lambda _: None)

    def _close(self, letters: Iterable[Entry], outcome: bytes, before: Callable[[list[Entry]], None]) -> int:
        count = 0
        rest = iter(letters)
        while batch := list(islice(rest, _REPLAY_BATCH)):
            before(batch)
            with self._broker.producer() as producer:
                producer.send(self._topic, [_marker(id_, outcome) for id_, _ in batch])
            count += len(batch)
        return count

    def _send_originals(self, batch: list[Entry]) -> None:
        partitions: dict[str, int] = {}
        for id_, letter in batch:
            if letter.topic == self._topic:
                where = f"{self._topic}[{id_.partition}] offset {id_.offset}"
                raise MessageError(f"{where} cannot be replayed, only dropped: {letter.message}")
            if letter.topic not in partitions:
                partitions[letter.topic] = self._broker.describe(letter.topic).partitions
        with self._broker.producer() as producer:  # closing flushes
            for _, letter in batch:
                # Its own partition keeps it among its like, unless the topic was made again with fewer.
                there = letter.partition < partitions[letter.topic]
                original = letter.original(partition=letter.partition if there else None)
                producer.send(letter.topic, [original])


def _entry(record: Record) -> Entry | None:
    """Return the letter of a record; ``None`` for a marker."""
    if _closes(record) is not None:
        return None
    id_ = LetterId(record.partition, record.offset)
    try:
        return id_, DeadLetter.from_record(record)
    except MessageError as error:
        return id_, DeadLetter.of(record, error=error, stage="dead letters", first_seen=record.timestamp)


def _marker(id_: LetterId, outcome: bytes) -> NewRecord:
    return NewRecord(
        value=None,
        headers=((_CLOSED, b"%d" % id_.offset), (f"{_CLOSED}.as", outcome)),
        partition=id_.partition,
    )


def _closes(record: Record) -> LetterId | None:
    """Return the letter that a marker closes; ``None`` for other records."""
    if record.value is None and len(record.headers) == 2 and record.headers[0][0] == _CLOSED:
        offset = record.headers[0][1]
        if offset.isdigit() and len(offset) <= 20:
            return LetterId(record.partition, int(offset))
    return None


def _cut(text: str, limit: int) -> str:
    """Shorten to `limit` bytes of UTF-8, at a character's edge, and show that something is missing."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - 3].decode(errors="ignore") + "…"
