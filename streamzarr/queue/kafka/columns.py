"""Messages of librdkafka as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from confluent_kafka import Message

from streamzarr.queue.columns import Columns
from streamzarr.queue.kafka.config import logger
from streamzarr.queue.packed import Packed
from streamzarr.queue.record import Headers, TopicPartition


def message_columns(messages: Sequence[Any], *, topics: int, packed: bool = False) -> Iterator[Columns]:
    """Yield `messages`, of `topics` topics and none an error, as one run for each partition.

    With `packed` small values come in one piece.
    """
    places: list[Any] = list(map(Message.partition, messages))
    if topics > 1:
        places = list(zip(map(Message.topic, messages), places, strict=True))
    if places.count(places[0]) == len(places):
        yield columns(messages, packed=packed)
        return
    by_place: dict[Any, list[Any]] = {}
    start = 0
    for place, stretch in groupby(places):  # librdkafka hands out what it has fetched of one, then of another
        stop = start + len(list(stretch))
        by_place.setdefault(place, []).extend(messages[start:stop])
        start = stop
    yield from map(partial(columns, packed=packed), by_place.values())


def columns(messages: Sequence[Any], *, packed: bool = False) -> Columns:
    """Return messages of one partition, none an error, by columns: each is one pass over them in C.

    All are taken at once, so that the messages can go: kept, each costs the garbage collector more than its
    columns cost here.
    """
    of: Any = Message  # its types leave out what librdkafka never gives for a record
    first = messages[0]
    keys = list(map(of.key, messages))
    values = list(map(of.value, messages))
    return Columns(
        TopicPartition(first.topic(), first.partition()),
        _offsets(messages),
        keys if keys.count(None) < len(keys) else None,
        (Packed.of(values) if packed else None) or values,
        _headers(messages),
        list(map(itemgetter(1), map(of.timestamp, messages))),
    )


def _offsets(messages: Sequence[Any]) -> Sequence[int]:
    """Return the offsets, which ascend: between ends as far apart as there are messages none is left out."""
    first, last = messages[0].offset(), messages[-1].offset()
    if last - first + 1 == len(messages):
        return range(first, last + 1)
    return [message.offset() for message in messages]


def _headers(messages: Sequence[Any]) -> list[Headers] | None:
    of: Any = Message
    found: list[Any] = []
    each = map(of.headers, messages)
    while len(found) < len(messages):
        try:
            found.extend(each)
        except (SystemError, UnicodeDecodeError):  # a name is no UTF-8; the record counts for more than that
            message = messages[len(found)]
            place = message.topic(), message.partition(), message.offset()
            logger.warning("%s[%d]: the headers of offset %d cannot be read and are left out", *place)
            found.append(None)  # and not asked for again: confluent-kafka would crash
    return list(map(_as_headers, found)) if any(found) else None


def _as_headers(headers: list[tuple[str, bytes | None]] | None) -> Headers:
    return tuple((name, value or b"") for name, value in headers) if headers else ()
