"""Reading what a topic holds now, outside any group, and no further."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from streamzarr.errors import OffsetOutOfRangeError, QueueError
from streamzarr.queue.base import Broker, Record

_BATCH: Final = 1000
_PATIENCE: Final = 10.0
"""Seconds without any record before reading is given up."""
_LOOK: Final = 0.05
"""Seconds between looks at the positions: they pass offsets without a record while `poll` waits for one."""


def scan(
    broker: Broker,
    topic: str,
    start: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
) -> Iterator[Record]:
    """Yield the records of `topic` from `start` to just before `end`, in order within each partition.

    Parameters
    ----------
    start, end
        Offsets by partition; the first record and the end of now where absent.

    Raises
    ------
    streamzarr.errors.TopicNotFoundError
        There is no such topic.
    streamzarr.errors.OffsetOutOfRangeError
        `start` or `end` lies outside of what the topic holds: trimmed, or the topic was made anew.
    streamzarr.errors.DamagedRecordError
        Records cannot be read.
    streamzarr.errors.QueueError
        The topic gave nothing for 10 seconds and its end was not reached.
    """
    info = broker.describe(topic)
    first = {number: (start or info.begin).get(number, info.begin[number]) for number in info.end}
    last = {number: (end or info.end).get(number, info.end[number]) for number in info.end}
    for number, position in [*first.items(), *last.items()]:
        if not info.begin[number] <= position <= info.end[number]:
            begin, behind = info.begin[number], info.end[number]
            raise OffsetOutOfRangeError(str(broker), topic, number, position, begin, behind)
    left = {number for number in last if first[number] < last[number]}
    if not left:
        return
    with broker.reader(topic, first) as reader:
        deadline = time.monotonic() + _PATIENCE
        while left:
            records = reader.poll(_BATCH, _LOOK)
            if records:
                deadline = time.monotonic() + _PATIENCE
            elif time.monotonic() > deadline:
                where = {number: last[number] for number in sorted(left)}
                raise QueueError(
                    f"{broker}: {topic} gave no record for {_PATIENCE:g} s, expected to reach {where}"
                )
            yield from (record for record in records if record.offset < last[record.partition])
            # Positions, not records, tell the end: the last offsets may hold no record (transaction markers).
            positions = reader.positions().items()
            left = {where.partition for where, offset in positions if offset < last[where.partition]}
