"""Records of a dead-letter topic: letters, and the markers that close them."""

from __future__ import annotations

from typing import Final

from streamzarr.errors import MessageError
from streamzarr.queue.base import NewRecord, Record
from streamzarr.queue.deadletter import REASON, DeadLetter, Entry, LetterId

_CLOSED: Final = "streamzarr.settled"
_OURS: Final = (f"{REASON}.", _CLOSED, "streamzarr.paused.", "streamzarr.resume", "streamzarr.purged.")
"""What the headers begin with of all that is written to a topic of letters."""


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


def is_foreign(record: Record) -> bool:
    """Tell whether nothing on a record says that it is, or was, meant for a topic of letters.

    >>> is_foreign(Record("t", 0, 5, None, b"x", (("own", b"1"),), 0))
    True
    """
    return not any(name.startswith(_OURS) for name, _ in reversed(record.headers))


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
