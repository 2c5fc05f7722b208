"""Reading what a topic holds now, outside any group, and no further."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from streamzarr.errors import DamagedRecordError, OffsetOutOfRangeError, QueueError
from streamzarr.queue.base import Broker, OnGap, Record
from streamzarr.runtime import Deadline

_log = logging.getLogger(__name__)

_BATCH: Final = 1000
_BATCH_BYTES: Final = 8 << 20
"""Of records that are read and not yet handed out."""
_PATIENCE: Final = 10.0
"""Seconds without any record before reading is given up."""
_LOOK: Final = 0.05
"""Seconds between looks at the positions: they pass offsets without a record while `poll` waits for one."""


def scan(
    broker: Broker,
    topic: str,
    start: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
    *,
    on_gap: OnGap = "fail",
) -> Iterator[Record]:
    """Yield the records of `topic` from `start` to just before `end`, in order within each partition.

    Parameters
    ----------
    start, end
        Offsets by partition; the first record and the end of now where absent.
    on_gap
        What to do when records from `start` on are gone or damaged: ``"fail"``, or ``"skip"``, which logs
        what was lost and goes on behind it; at the beginning, if `start` is beyond the end.

    Raises
    ------
    streamzarr.errors.TopicNotFoundError
        There is no such topic.
    streamzarr.errors.OffsetOutOfRangeError
        Records from `start` on are gone: trimmed, or the topic was made anew.
    streamzarr.errors.DamagedRecordError
        Records cannot be read.
    streamzarr.errors.QueueError
        The topic gave nothing for 10 seconds and its end was not reached.
    """
    info = broker.describe(topic)
    first = dict(start or {})
    last = {number: (end or info.end).get(number, info.end[number]) for number in info.end}
    for number, position in first.items():
        begin, behind = info.begin[number], info.end[number]
        if not begin <= position <= behind:
            error = OffsetOutOfRangeError(str(broker), topic, number, position, begin, behind)
            first[number] = _behind(error, on_gap)
    # The reader finds the first record where none was given: what is trimmed just now is no error.
    position_of = {**info.begin, **first}
    while left := {number for number in last if position_of[number] < last[number]}:
        try:
            yield from _read(broker, topic, first, position_of, last, left)
        except (OffsetOutOfRangeError, DamagedRecordError) as error:
            position_of[error.partition] = _behind(error, on_gap)
            first = position_of


def scan_kept(
    broker: Broker,
    topic: str,
    start: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
) -> Iterator[Record]:
    """Do as :func:`scan`, but pass over what is trimmed meanwhile: somebody wanted it away.

    Raises
    ------
    streamzarr.errors.OffsetOutOfRangeError
        A position is beyond the end: the topic was made anew.
    """
    end = broker.describe(topic).end if end is None else end
    position_of = dict(start or {})
    while True:
        try:
            for record in scan(broker, topic, position_of, end):
                yield record
                position_of[record.partition] = record.offset + 1
        except OffsetOutOfRangeError as error:
            if error.position >= error.begin:
                raise
            position_of[error.partition] = error.begin
        else:
            return


def _read(
    broker: Broker,
    topic: str,
    first: Mapping[int, int],
    position_of: dict[int, int],
    last: Mapping[int, int],
    left: set[int],
) -> Iterator[Record]:
    """Yield the records of the partitions that are `left`, and keep `position_of` them."""
    with broker.reader(topic, first) as reader:
        deadline = Deadline(broker.runtime, _PATIENCE)
        while left:
            records = reader.poll(_BATCH, _LOOK, _BATCH_BYTES)
            if records:
                deadline = Deadline(broker.runtime, _PATIENCE)
            elif deadline.passed:
                where = {number: last[number] for number in sorted(left)}
                raise QueueError(
                    f"{broker}: {topic} gave no record for {_PATIENCE:g} s, expected to reach {where}"
                )
            yield from (record for record in records if record.offset < last[record.partition])
            # Positions, not records, tell the end: the last offsets may hold no record (transaction markers).
            position_of.update((where.partition, at) for where, at in reader.positions().items())
            left = {number for number in last if position_of[number] < last[number]}


def _behind(error: OffsetOutOfRangeError | DamagedRecordError, on_gap: OnGap) -> int:
    """Return where to go on, or raise `error`."""
    if on_gap == "fail":
        raise error
    _log.error("%s; reading goes on at offset %d", error, error.resume)
    return error.resume
