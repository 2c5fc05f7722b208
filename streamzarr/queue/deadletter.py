"""A message that failed for good, kept exactly as it was, with the reason.

A dead letter is a record of a topic of its own. Key, value, timestamp and headers are those of the
message that failed; the reason follows in headers ``streamzarr.error.*``, always the last ones, so that a
letter about a letter can be told apart too. What becomes of letters is the matter of
:mod:`streamzarr.queue.letters`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self, TypeAlias

from streamzarr.errors import MessageError, message_of, name_of
from streamzarr.queue.base import Headers, NewRecord, Record
from streamzarr.runtime import SYSTEM, Runtime

MAX_MESSAGE_BYTES: Final = 4096
"""An error message longer than this is cut: brokers bound headers, and people stop reading."""
MAX_WORD_BYTES: Final = 256
"""Likewise for class, stage and worker."""

CUT_HEADER: Final = "streamzarr.cut"
"""On a letter about a message that is longer than a letter may be: how many bytes it has."""
CUT_BYTES: Final = 4096
"""What is kept of the key and the value of such a message."""

REASON: Final = "streamzarr.error"
"""What the headers with the reason begin with."""
_PREFIX: Final = f"{REASON}."
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
FEED_HEADER: Final = f"{_PREFIX}feed"
"""Behind all of them, on letters of feeds: others may read the same topic, to which the message is good."""

_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")

ORIGIN_HEADER: Final = "streamzarr.origin"
"""On a message that was replayed: where it first was, however often it has failed and been replayed since."""


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
    feed: str = ""
    """The id of the feed that it failed in; empty: of none, or of one that has none."""

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
        feed: str = "",
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
            error_class=cut(name_of(error), MAX_WORD_BYTES),
            message=cut(message_of(error, MAX_MESSAGE_BYTES), MAX_MESSAGE_BYTES),
            stage=cut(stage, MAX_WORD_BYTES),
            attempts=attempts,
            first_seen=runtime.wall_ns() // 1_000_000 if first_seen is None else first_seen,
            worker=cut(worker, MAX_WORD_BYTES),
            feed=feed,
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
        if self.feed:
            reason += ((FEED_HEADER, self.feed.encode()),)
        return NewRecord(self.value, self.key, self.headers + reason, timestamp=self.timestamp)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Read a letter back.

        Raises
        ------
        streamzarr.errors.MessageError
            The record is not a dead letter.
        """
        behind = record.headers[-1:] if [name for name, _ in record.headers[-1:]] == [FEED_HEADER] else ()
        told = record.headers[: len(record.headers) - len(behind)]
        headers, reason = told[: -len(_NAMES)], told[-len(_NAMES) :]
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
                whole(partition, 0),
                whole(offset, 0),
                error_class,
                message,
                stage,
                whole(attempts, 0),
                whole(first_seen),
                worker,
                "".join(value.decode() for _, value in behind),
            )
        except ValueError as error:
            raise MessageError(
                f"{where}: a dead letter with a header that cannot be read: {error}"
            ) from error

    @property
    def is_cut(self) -> bool:
        """Whether it has only the beginning of its message."""
        return any(name == CUT_HEADER for name, _ in self.headers)

    def cut(self) -> DeadLetter:
        """Return the letter with the beginning of its message; where the whole lies, it still says.

        With the reason added a message may be more than the broker takes, and a letter that cannot be written
        would hold up its partition for ever.

        Examples
        --------
        >>> record = Record("ticks", 3, 41, b"EURUSD", bytes(10**6), (), 1767225600000)
        >>> letter = DeadLetter.of(record, error=ValueError("no price"), stage="decode").cut()
        >>> len(letter.value), letter.headers, letter.offset, letter.is_cut
        (4096, (('streamzarr.cut', b'1000006'),), 41, True)
        """
        return replace(
            self,
            key=self.key and self.key[:CUT_BYTES],
            value=self.value and self.value[:CUT_BYTES],
            headers=((CUT_HEADER, b"%d" % size_of(self)),),
        )

    @property
    def origin(self) -> tuple[str, int, int, int, bytes | None]:
        """Which message it is about.

        The time tells apart what has one place on a topic made anew, the key the parts of one record.
        """
        return self.topic, self.partition, self.offset, self.timestamp, self.key

    def original(self, *, partition: int | None = None) -> NewRecord:
        """Return the message as it was."""
        return NewRecord(self.value, self.key, self.headers, partition, self.timestamp)

    def again(self, *, partition: int | None = None) -> NewRecord:
        """Return the message as it is sent again: as it was, with the header `ORIGIN_HEADER` behind.

        Examples
        --------
        >>> record = Record("ticks", 3, 41, None, b"x", (), 1767225600000)
        >>> DeadLetter.of(record, error=ValueError(), stage="decode").again().headers
        (('streamzarr.origin', b'ticks[3]@41/1767225600000'),)
        """
        if any(name == ORIGIN_HEADER for name, _ in self.headers):
            return self.original(partition=partition)
        origin = f"{self.topic}[{self.partition}]@{self.offset}/{self.timestamp}".encode()
        headers = (*self.headers, (ORIGIN_HEADER, origin))
        return NewRecord(self.value, self.key, headers, partition, self.timestamp)


def size_of(message: Record | DeadLetter) -> int:
    """Return the bytes of a message: key, value and headers."""
    headers = sum(len(name) + len(data) for name, data in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers


Entry: TypeAlias = tuple[LetterId, DeadLetter]


def whole(text: str, minimum: int = -(1 << 63)) -> int:
    """Return the whole number of a header, of at least `minimum` and at most 63 bits, as a broker's are.

    Raises
    ------
    ValueError
        It is none: whoever writes to a topic may write anything.
    """
    if _WHOLE.fullmatch(text) is None or not minimum <= (number := int(text)) < 1 << 63:
        raise ValueError(f"{cut(text, 40)!r} is no whole number from {minimum} to {(1 << 63) - 1}")
    return number


def cut(text: str, limit: int) -> str:
    """Shorten to `limit` bytes of UTF-8, at a character's edge, and show that something is missing."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - 3].decode(errors="ignore") + "…"
