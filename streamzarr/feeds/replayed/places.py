"""Which records of a run are replays, and the offsets that they had when they failed. Pure."""

from __future__ import annotations

import re
from typing import Final

from streamzarr.feeds.rows import Rows
from streamzarr.queue import TopicPartition
from streamzarr.queue.deadletter import ORIGIN_HEADER

_ORIGIN: Final = re.compile(rb"(.+)\[(\d{1,9})\]@(\d{1,18})/-?\d{1,18}", re.DOTALL)


def places_of(rows: Rows) -> dict[int, int]:
    """Return the offset that each replayed record of this partition had first, by its index in the run.

    Only records that have rows are looked at.
    """
    if not rows.run.has_headers:
        return {}
    found, headers = {}, rows.run.headers
    for record in dict.fromkeys(rows.records().tolist()):
        for name, value in headers[record]:
            if name == ORIGIN_HEADER and (place := place_in(value, rows.run.where)) is not None:
                found[record] = place
    return found


def place_in(origin: bytes, where: TopicPartition) -> int | None:
    """Return the offset that an origin names; None: it is of another partition, or none of ours.

    >>> place_in(b"ticks[3]@41/1767225600000", TopicPartition("ticks", 3))
    41
    >>> place_in(b"ticks[2]@41/1767225600000", TopicPartition("ticks", 3))
    >>> place_in(b"rubbish", TopicPartition("ticks", 3))
    """
    match = _ORIGIN.fullmatch(origin)
    if match is None or match[1] != where.topic.encode() or int(match[2]) != where.partition:
        return None
    return int(match[3])
