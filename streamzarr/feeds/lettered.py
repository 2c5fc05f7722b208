"""Which records of a target's partitions have a dead letter of its own feed, or had one that was purged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streamzarr.errors import MessageError
from streamzarr.feeds.target import Part, Parts
from streamzarr.queue import Broker, DeadLetter, Record, TopicPartition
from streamzarr.queue.letters import PurgeNotice
from streamzarr.queue.scan import scan_kept

Offsets: TypeAlias = npt.NDArray[np.int64]

NONE: Final[Offsets] = np.empty(0, np.int64)


def lettered(parts: Parts) -> dict[TopicPartition, Offsets]:
    """Return the offsets of each partition that have a letter, or had one that was purged, ascending.

    Letters of other feeds that read the same topic do not count; those that do not say whose they are do.
    Reads the topics of dead letters once.
    """
    found: dict[TopicPartition, Offsets] = {}
    for topic in {each.facts.dead_letters for each in parts}:
        ours = {each.partition: each for each in parts if each.facts.dead_letters == topic}
        offsets: dict[TopicPartition, list[int]] = {partition: [] for partition in ours}
        gone: dict[TopicPartition, list[Offsets]] = {partition: [NONE] for partition in ours}
        for told in _told(parts.broker, topic):
            if isinstance(told, PurgeNotice):
                where = TopicPartition(told.whose.topic, told.whose.partition)
                if where in ours and told.whose.feed == ours[where].facts.id:
                    gone[where] += (_below(each, ours[where].position) for each in told.offsets)
            else:
                where = TopicPartition(told.topic, told.partition)
                if where in ours and is_of(told, ours[where]):
                    offsets[where].append(told.offset)
        found |= {
            where: np.unique(np.concatenate([np.array(each, np.int64), *gone[where]]))
            for where, each in offsets.items()
        }
    return found


def is_of(letter: DeadLetter, part: Part) -> bool:
    """Tell whether a letter about a record of this partition is of its feed, or may be."""
    return letter.feed in ("", part.facts.id)


def _below(offsets: range, position: int) -> Offsets:
    """Return the offsets of a notice that are below a position: it may say anything."""
    return np.arange(offsets.start, max(offsets.start, min(offsets.stop, position)), dtype=np.int64)


def _told(broker: Broker, topic: str) -> Iterator[DeadLetter | PurgeNotice]:
    if topic in broker.topics():
        for record in _records(broker, topic):
            if (notice := PurgeNotice.of(record)) is not None:
                yield notice
                continue
            with suppress(MessageError):  # a marker, or nothing of ours
                yield DeadLetter.from_record(record)


def _records(broker: Broker, topic: str) -> Iterator[Record]:
    """Yield the records of a topic of letters; if somebody purges meanwhile, with what they say of it."""
    info = broker.describe(topic)
    if info.begin == info.end:
        return
    yield from scan_kept(broker, topic, end=info.end)
    while (now := broker.describe(topic)).begin != info.begin:
        yield from scan_kept(broker, topic, info.end, now.end)
        info = now
