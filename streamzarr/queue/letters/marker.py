"""Records of a dead-letter topic: letters, and the markers that close them."""

from __future__ import annotations

from typing import Final

from streamzarr.errors import MessageError
from streamzarr.queue.base import NewRecord, Record
from streamzarr.queue.deadletter import DeadLetter, Entry, LetterId

_CLOSED: Final = "streamzarr.settled"


def marker(id_: LetterId, outcome: str) -> NewRecord:
    """Return the record that closes a letter, and says by which outcome."""
    return NewRecord(
        value=None,
        headers=((_CLOSED, b"%d" % id_.offset), (f"{_CLOSED}.as", outcome.encode())),
        partition=id_.partition,
    )


def closes(record: Record) -> LetterId | None:
    """Return the letter that a marker closes; ``None`` for other records."""
    if record.value is None and len(record.headers) == 2 and record.headers[0][0] == _CLOSED:
        offset = record.headers[0][1]
        if (
            offset.isdigit() and len(offset) <= 18 and int(offset) < record.offset
        ):  # what is still to come is open
            return LetterId(record.partition, int(offset))
    return None


def entry_of(record: Record) -> Entry:
    """Return the letter of a record that is no marker.

    A record that is no letter counts as one about itself: nothing on the topic is out of sight, and it can be
    dropped.
    """
    id_ = LetterId(record.partition, record.offset)
    try:
        return id_, DeadLetter.from_record(record)
    except MessageError as error:
        return id_, DeadLetter.of(record, error=error, stage="dead letters", first_seen=record.timestamp)
