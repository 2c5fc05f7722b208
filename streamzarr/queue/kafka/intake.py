"""Out of a librdkafka client: records by columns, and what it says in the place of records.

There are two ways, which give the same. confluent-kafka makes an object of each message, and columns are made
of those. Where our extension could be built (``_intake.c``), librdkafka puts records into a queue of its own,
out of which they are taken as columns, mostly without the interpreter's lock.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from confluent_kafka import KafkaError, Message

from streamzarr.queue.columns import Columns
from streamzarr.queue.kafka.columns import message_columns
from streamzarr.queue.packed import Packed
from streamzarr.queue.record import TopicPartition

if TYPE_CHECKING:
    from streamzarr.queue.kafka import _intake
    from streamzarr.queue.kafka.clients import Source

_EVENTS: Final = 100
"""Messages taken at once from the queue in which callbacks wait; hardly ever one is there."""
_WAIT_SECONDS: Final = 0.2
"""How long to wait at once. librdkafka does not know of it, and would take who waits for longer than its
``max.poll.interval.ms`` for one that hangs."""
_PACKED_BYTES: Final = 1024
"""Bytes of a value, on average, up to which our extension gives them in one piece: it copies them anyhow."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What the client says in the place of a record."""

    topic: str | None
    partition: int
    offset: int
    error: KafkaError


class Taken(NamedTuple):
    """What the client had."""

    messages: int
    """How many: records and notices."""
    runs: list[Columns]
    notices: Sequence[Notice] = ()


class Intake(Protocol):
    """Takes what a client has. Owned by the consumer's thread; each call runs the client's callbacks."""

    def take(self, count: int, *, packed: bool) -> Taken:
        """Take up to `count` messages that are there; with `packed` small values come in one piece."""

    def look(self, timeout: float, *, packed: bool) -> Taken:
        """Run callbacks for up to `timeout` seconds, or until there is a record, which may be taken."""


def intake_of(client: Source, topics: int) -> Intake:
    """Return how to take records from a client that reads so many topics."""
    messages = MessageIntake(client, topics)
    return messages if client.intake is None else ColumnIntake(client.intake, messages)


class MessageIntake:
    """By confluent-kafka's messages."""

    def __init__(self, client: Source, topics: int) -> None:
        self._client = client
        self._topics = topics

    def take(self, count: int, *, packed: bool) -> Taken:  # noqa: D102
        # Only what is there: for the last of `count` librdkafka would wait the full timeout.
        return self._taken(self._client.consume(count, 0), packed)

    def look(self, timeout: float, *, packed: bool) -> Taken:  # noqa: D102
        message = self._client.poll(timeout)
        return self._taken([] if message is None else [message], packed)

    def _taken(self, messages: list[Any], packed: bool) -> Taken:
        records, notices = messages, []
        if any(map(Message.error, messages)):
            records = []
            for message in messages:
                if (error := message.error()) is None:
                    records.append(message)
                else:
                    notices.append(Notice(message.topic(), message.partition(), message.offset(), error))
        runs = list(message_columns(records, topics=self._topics, packed=packed)) if records else []
        return Taken(len(messages), runs, notices)


class ColumnIntake:
    """By our extension; callbacks, and what is said of the whole client, by confluent-kafka's messages."""

    def __init__(self, queue: _intake.Intake, events: MessageIntake) -> None:
        self._queue = queue
        self._events = events

    def take(self, count: int, *, packed: bool) -> Taken:  # noqa: D102
        said = self._serve(packed)
        runs, errors = self._queue.take(count, _PACKED_BYTES if packed else 0)
        if not runs and not errors:
            return said
        notices = [
            Notice(topic, partition, offset, KafkaError(code, text))
            for topic, partition, offset, code, text in errors
        ]
        return Taken(
            len(errors) + sum(run[-1] for run in runs),
            [*said.runs, *starmap(_columns, runs)],
            [*said.notices, *notices],
        )

    def look(self, timeout: float, *, packed: bool) -> Taken:  # noqa: D102
        said = self._serve(packed)
        if said.messages or timeout <= 0:
            return said
        self._queue.wait(min(timeout, _WAIT_SECONDS))
        return self._serve(packed)

    def _serve(self, packed: bool) -> Taken:
        """Run the callbacks that wait; records are here only of partitions that are assigned just now."""
        return self._events.take(_EVENTS, packed=packed)


def _columns(
    topic: str,
    partition: int,
    offsets: int | list[int],
    keys: list[bytes | None] | None,
    values: bytes | list[bytes | None],
    sizes: int | list[int],
    headers: list[tuple[tuple[str, bytes], ...]] | None,
    timestamps: bytes,
    count: int,
) -> Columns:
    if isinstance(sizes, int):
        sizes = [sizes] * count
    return Columns(
        TopicPartition(topic, partition),
        range(offsets, offsets + count) if isinstance(offsets, int) else offsets,
        keys,
        Packed(values, sizes) if isinstance(values, bytes) else values,
        headers,
        array("q", timestamps),
    )
