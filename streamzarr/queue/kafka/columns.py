"""Messages of librdkafka as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Self, cast

from confluent_kafka import Message

from streamzarr.queue.columns import Columns
from streamzarr.queue.record import Headers


class MessageColumns(Columns):
    """Messages without errors, of one partition. Each column is one pass over them in C."""

    def __init__(self, messages: Sequence[Any]) -> None:
        first, last = messages[0], messages[-1]
        super().__init__(first.topic(), first.partition(), first.offset(), last.offset() + 1)
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    def _cut(self, start: int, stop: int) -> Self:
        return type(self)(self._messages[start:stop])

    def _bytes_of_values(self) -> int:
        return sum(map(len, self._messages))  # every run is asked, so no value is taken out for it

    def joined(self, other: MessageColumns) -> MessageColumns:
        """Return the messages of both; those of `other` follow."""
        return MessageColumns([*self._messages, *other._messages])

    def _offsets(self) -> Iterable[int]:
        return cast("Iterable[int]", map(Message.offset, self._messages))

    def _keys(self) -> list[bytes | None]:
        return list(map(Message.key, self._messages))

    def _values(self) -> list[bytes | None]:
        return list(map(Message.value, self._messages))

    def _headers(self) -> list[Headers] | None:
        if not any(map(Message.headers, self._messages)):
            return None
        return list(map(_as_headers, cast("Iterable[Any]", map(Message.headers, self._messages))))

    def _timestamps(self) -> Iterable[int]:
        return map(itemgetter(1), map(Message.timestamp, self._messages))


def _as_headers(headers: list[tuple[str, bytes | None]] | None) -> Headers:
    return tuple((name, value or b"") for name, value in headers) if headers else ()


def message_columns(messages: Sequence[Any], *, topics: int) -> Iterator[MessageColumns]:
    """Yield `messages`, of `topics` topics and none an error, as one run for each partition."""
    places: list[Any] = list(map(Message.partition, messages))
    if topics > 1:
        places = list(zip(map(Message.topic, messages), places, strict=True))
    if places.count(places[0]) == len(places):
        yield MessageColumns(messages)
        return
    by_place: dict[Any, list[Any]] = {}
    for place, message in zip(places, messages, strict=True):
        by_place.setdefault(place, []).append(message)
    yield from map(MessageColumns, by_place.values())
