"""Which records of a target's partitions have a dead letter of its own feed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streamzarr.errors import MessageError
from streamzarr.feeds.target import Part, Parts
from streamzarr.queue import Broker, DeadLetter, TopicPartition
from streamzarr.queue.scan import scan_kept

Offsets: TypeAlias = npt.NDArray[np.int64]

NONE: Final[Offsets] = np.empty(0, np.int64)


def lettered(parts: Parts) -> dict[TopicPartition, Offsets]:
    """Return the offsets of each partition that have a letter, open or not, ascending.

    Letters of other feeds that read the same topic do not count; those that do not say whose they are do.
    Reads the topics of dead letters once.
    """
    found: dict[TopicPartition, Offsets] = {}
    for topic in {each.facts.dead_letters for each in parts}:
        ours = {each.partition: each for each in parts if each.facts.dead_letters == topic}
        offsets: dict[TopicPartition, list[int]] = {partition: [] for partition in ours}
        for letter in _letters(parts.broker, topic):
            where = TopicPartition(letter.topic, letter.partition)
            if where in ours and is_of(letter, ours[where]):
                offsets[where].append(letter.offset)
        found |= {where: np.unique(np.array(each, np.int64)) for where, each in offsets.items()}
    return found


def is_of(letter: DeadLetter, part: Part) -> bool:
    """Tell whether a letter about a record of this partition is of its feed, or may be."""
    return letter.feed in ("", part.facts.id)


def _letters(broker: Broker, topic: str) -> Iterator[DeadLetter]:
    if topic in broker.topics():
        for record in scan_kept(broker, topic):
            with suppress(MessageError):  # a marker, or nothing of ours
                yield DeadLetter.from_record(record)
