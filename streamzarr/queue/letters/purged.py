"""Letters of feeds that were purged: told on their topic, for whoever asks what became of the messages.

A record of a feed has rows, or a letter; so it is found out whether one is lost. A letter that somebody has
replayed or dropped, and purged, would be missed for ever. So a purge leaves a notice behind what it cuts off:
of which feed, topic and partition letters are gone, and the offsets of their messages. The next purge puts
notices that lie before its cut behind it, together with its own.

Letters that are of no feed leave none: nobody asks for them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from streamzarr.errors import MessageError
from streamzarr.queue.ahead import joined
from streamzarr.queue.base import NewRecord, Record
from streamzarr.queue.deadletter import FEED_HEADER, DeadLetter, whole
from streamzarr.queue.letters.pauses import is_about_pauses

_PREFIX: Final = "streamzarr.purged."
_NAMES: Final = tuple(_PREFIX + name for name in ("feed", "topic", "partition"))
RANGES: Final = 300
"""Ranges of offsets in one notice, at most: any topic of letters takes records of 16 kB."""


class Whose(NamedTuple):
    """Which feed letters were of, and of which partition their messages."""

    feed: str
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class PurgeNotice:
    """Letters that are gone: whose, and the offsets of their messages.

    Examples
    --------
    >>> notice = PurgeNotice(Whose("0a1b", "ticks", 1), (range(201, 209), range(300, 301)))
    >>> sent = notice.to_record(0)
    >>> sent.value
    b'201-208,300'
    >>> PurgeNotice.of(Record("ticks.dead", 0, 5, None, sent.value, sent.headers, 0)) == notice
    True
    """

    whose: Whose
    offsets: tuple[range, ...]

    def to_record(self, partition: int) -> NewRecord:
        """Return the record for a partition of the topic of the letters."""
        headers = tuple((name, str(each).encode()) for name, each in zip(_NAMES, self.whose, strict=True))
        return NewRecord(",".join(map(_told, self.offsets)).encode(), headers=headers, partition=partition)

    @classmethod
    def of(cls, record: Record) -> PurgeNotice | None:
        """Return the notice that a record is; ``None``: it is something else."""
        if record.value is None or len(record.headers) != len(_NAMES):
            return None
        if tuple(name for name, _ in record.headers) != _NAMES:
            return None
        try:
            feed, topic, partition = (value.decode() for _, value in record.headers)
            offsets = tuple(map(_range, record.value.decode().split(",")))
            return cls(Whose(feed, topic, whole(partition, 0)), offsets)
        except ValueError:
            return None


def is_notice(record: Record) -> bool:
    """Tell whether a record of a topic of letters tells of pauses, or of a purge: it is no letter then."""
    return is_about_pauses(record) or PurgeNotice.of(record) is not None


class Purging:
    """What the records of a topic of letters say that is to be known when they are cut off. One thread.

    Sixteen bytes of each letter of a feed are in memory.
    """

    def __init__(self) -> None:
        self._letters: dict[tuple[int, Whose], tuple[array[int], array[int]]] = {}
        self._notices: list[tuple[Record, PurgeNotice]] = []
        self._trailing: dict[int, int] = {}

    def seen(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records, and note what they say."""
        for record in records:
            if (notice := PurgeNotice.of(record)) is not None:
                self._notices.append((record, notice))
                self._trailing.setdefault(record.partition, record.offset)
            else:
                self._trailing.pop(record.partition, None)
                self._note(record)
            yield record

    def end(self, partition: int, end: int) -> int:
        """Return where a partition is to be cut in which no letter is open: notices at its end stay."""
        return self._trailing.get(partition, end)

    def notices(self, before: Mapping[int, int]) -> Iterator[NewRecord]:
        """Yield the notices that belong behind what is cut off `before` these offsets."""
        gone: dict[tuple[int, Whose], list[range]] = {}
        for (partition, whose), (places, offsets) in self._letters.items():
            cut = (n for at, n in zip(places, offsets, strict=True) if at < before[partition])
            gone[partition, whose] = joined(range(n, n + 1) for n in sorted(cut))
        for record, notice in self._notices:
            if record.offset < before[record.partition]:
                gone.setdefault((record.partition, notice.whose), []).extend(notice.offsets)
        for (partition, whose), ranges in gone.items():
            rest = iter(joined(sorted(ranges, key=lambda each: each.start)))
            while some := tuple(islice(rest, RANGES)):
                yield PurgeNotice(whose, some).to_record(partition)

    def _note(self, record: Record) -> None:
        if not record.headers or record.headers[-1][0] != FEED_HEADER:
            return
        try:
            letter = DeadLetter.from_record(record)
        except MessageError:
            return
        whose = Whose(letter.feed, letter.topic, letter.partition)
        places, offsets = self._letters.setdefault((record.partition, whose), (array("q"), array("q")))
        places.append(record.offset)
        offsets.append(letter.offset)


def _told(offsets: range) -> str:
    return f"{offsets.start}" if len(offsets) == 1 else f"{offsets.start}-{offsets.stop - 1}"


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    start = whole(first, 0)
    return range(start, whole(last or first, start) + 1)
