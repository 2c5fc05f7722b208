"""What became of the records that a feed has read since a moment: how many were bad, and where they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from streamzarr.errors import ConfigError, MessageError, NodeNotFoundError
from streamzarr.feeds.lettered import is_of
from streamzarr.feeds.target import Part, find_parts
from streamzarr.hints import hint
from streamzarr.queue import Broker, DeadLetter, TopicPartition
from streamzarr.queue.scan import scan_kept

COUNTED: Final = 100_000
"""Records of a topic of letters that are read to count the letters; of more only the number is told."""
NAMED: Final = 3
"""Topics that are named, at most."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some records."""

    records: int
    bad: Mapping[str, int] = field(default_factory=dict)
    """Records that became dead letters, by the topic that they are in."""

    @property
    def mostly_bad(self) -> bool:
        """Whether half of the records or more are bad: no data are like that, but a configuration may be."""
        return any(self.bad.values()) and 2 * sum(self.bad.values()) >= self.records


@dataclass(frozen=True, slots=True)
class Since:
    """Where topics of letters ended, and what a target had settled, at a moment."""

    letters: Mapping[str, Mapping[int, int]]
    settled: Mapping[TopicPartition, int]

    @classmethod
    def now(cls, broker: Broker, url: str, topics: Collection[str]) -> Since:
        """Return how it is now.

        Parameters
        ----------
        topics
            Of the letters; those that are not there yet count as empty.
        """
        there = set(broker.topics())
        ends = {topic: broker.describe(topic).end if topic in there else {} for topic in sorted(topics)}
        return cls(ends, {each.partition: each.position for each in _parts(url)})

    def outcome(self, broker: Broker, url: str) -> Outcome:
        """Return what became of the records since then, whichever process has read them.

        Raises
        ------
        streamzarr.errors.QueueError, streamzarr.errors.StoreError
            Broker or store cannot be reached.
        """
        parts = {each.partition: each for each in _parts(url)}
        records = sum(
            max(0, part.position - self.settled.get(where, part.facts.start)) for where, part in parts.items()
        )
        there = set(broker.topics())
        found = {
            topic: _written(broker, topic, start, parts) if topic in there else 0
            for topic, start in self.letters.items()
        }
        return Outcome(records, {topic: count for topic, count in found.items() if count})


def see_letters(topics: Collection[str], broker: str) -> str:
    """Return the commands that show the letters of some topics.

    >>> see_letters(["kl.dead"], "kafka://b:9092")
    '`streamzarr dlq ls --topic kl.dead --broker kafka://b:9092`'
    """
    named = [hint("dlq", "ls", "--topic", topic, broker=broker) for topic in sorted(topics)[:NAMED]]
    return ", ".join(named) + (", ..." if len(topics) > NAMED else "")


def _written(
    broker: Broker, topic: str, start: Mapping[int, int], parts: Mapping[TopicPartition, Part]
) -> int:
    end = broker.describe(topic).end
    begin = {number: min(start.get(number, 0), last) for number, last in end.items()}
    if (more := sum(end.values()) - sum(begin.values())) > COUNTED:
        return more
    letters = _letters(broker, topic, begin, end)
    return len({(where, offset) for where, offset, letter in letters if _is_ours(letter, parts.get(where))})


def _letters(
    broker: Broker, topic: str, begin: Mapping[int, int], end: Mapping[int, int]
) -> Iterator[tuple[TopicPartition, int, DeadLetter]]:
    for record in scan_kept(broker, topic, begin, end):
        with suppress(MessageError):  # a marker, or nothing of ours
            letter = DeadLetter.from_record(record)
            yield TopicPartition(letter.topic, letter.partition), letter.offset, letter


def _is_ours(letter: DeadLetter, part: Part | None) -> bool:
    return part is not None and is_of(letter, part)


def _parts(url: str) -> tuple[Part, ...]:
    try:
        return find_parts(url)
    except (NodeNotFoundError, ConfigError):  # new, or with others' streams beside: no reason not to begin
        return ()
