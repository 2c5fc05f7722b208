"""How far a feed is: what its target has against what its topics have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from streamzarr.feeds.asked import Asked
from streamzarr.feeds.lettered import lettered
from streamzarr.feeds.replayed.read import replayed_of
from streamzarr.feeds.route.read import targets_of
from streamzarr.feeds.target import Part, Parts, parts_of
from streamzarr.queue import Broker, DeadLetter, DeadLetterQueue, TopicInfo, TopicPartition
from streamzarr.stream import Snapshot

_WITH_REPLAYS: Final = ("log", "grid", "routes")
"""Layouts that take replays."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """How far one partition is."""

    name: str
    topic: str
    partition: int
    rows: int
    replayed: int
    """Rows beside them of records that failed, and came again by a replay."""
    position: int
    """The next offset to be read."""
    end: int
    """The next offset that the broker gives."""
    lag: int | None
    """None: the topic is not the one that its rows came from, and nobody can say."""
    commits: int
    """The first one aside, which has no rows: it says where the partition begins."""
    rows_a_commit: float
    write_amplification: float
    """About how often each row was written, from the rows of a commit and those of a chunk."""
    epoch: int
    writer: str
    committed: float
    """When the last commit was, seconds since the epoch."""
    remark: str = ""
    """What is wrong with it, in a sentence: its topic was made anew, or is on another cluster."""


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """How much one of several targets has."""

    name: str
    partitions: int
    """Partitions that rows came from."""
    rows: int
    committed: float
    """When the last of its commits was, seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How far a feed is."""

    url: str
    broker: str
    group: str
    members: int
    """Processes that share it now."""
    dead: int
    """Dead letters that are open."""
    dead_topics: tuple[str, ...]
    """Where they are."""
    partitions: tuple[PartitionStatus, ...]
    targets: tuple[TargetStatus, ...] = ()
    """Those of a feed that has several."""
    waiting: int = 0
    """Records in partitions of its topics that nobody has taken yet."""

    @property
    def rows(self) -> int:
        """Rows of all partitions, those of replays aside."""
        return sum(each.rows for each in self.partitions)

    @property
    def replayed(self) -> int:
        """Rows of all partitions that came by a replay."""
        return sum(each.replayed for each in self.partitions)

    @property
    def lag(self) -> int:
        """Records that are not committed yet, where that can be said."""
        return sum(each.lag or 0 for each in self.partitions) + self.waiting


def feed_status(url: str, broker: Broker | None = None) -> FeedStatus:
    """Return how far the feed with the target `url` is; arguments and errors as :func:`check_feed`."""
    with parts_of(url, broker) as parts:
        asked = Asked(parts.broker)
        infos = {topic: asked.info(topic) for topic in sorted({each.partition.topic for each in parts})}
        first = next(iter(parts))
        letters = _open_letters(parts)
        targets = {each.name: targets_of(each) for each in parts if each.facts.layout == "routes"}
        return FeedStatus(
            url=url,
            broker=str(parts.broker),
            group=first.facts.group,
            members=parts.broker.members(first.facts.group),
            dead=sum(letters.values()),
            dead_topics=tuple(letters),
            partitions=tuple(
                _status(
                    each,
                    infos[each.partition.topic],
                    [*targets.get(each.name, {}).values()],
                    asked.changed(each),
                )
                for each in parts
            ),
            targets=tuple(_targets(targets.values())),
            waiting=_waiting(infos, {each.partition for each in parts}),
        )


def _waiting(infos: Mapping[str, TopicInfo], taken: Collection[TopicPartition]) -> int:
    """Return how many records are in the partitions that are not taken, as when a topic has more than it had.

    >>> ticks = TopicInfo("ticks", begin={0: 0, 1: 2}, end={0: 7, 1: 5})
    >>> _waiting({"ticks": ticks}, [TopicPartition("ticks", 0)])
    3
    """
    return sum(
        end - info.begin[number]
        for topic, info in infos.items()
        for number, end in info.end.items()
        if TopicPartition(topic, number) not in taken
    )


def amplification(rows: int, commits: int, chunk_rows: int) -> float:
    """Return about how often each row was written: a commit puts the chunk that is not full again.

    >>> amplification(rows=1000, commits=10, chunk_rows=1000), amplification(1000, 10, 50)
    (5.5, 1.0)
    >>> amplification(rows=1500, commits=2, chunk_rows=65_536)
    1.5
    """
    a_commit = max(1.0, rows / max(1, commits))
    return 1.0 if not rows or a_commit >= chunk_rows else (min(chunk_rows, rows) / a_commit + 1) / 2


def _status(part: Part, info: TopicInfo, targets: Sequence[Snapshot], changed: str) -> PartitionStatus:
    record, end = part.snapshot.record, info.end.get(part.partition.partition, 0)
    streams = [part.snapshot] if part.facts.layout != "routes" else targets
    rows = sum(each.record.rows for each in streams)
    commits = _commits(part.snapshot)
    written = sum(each.record.rows * _amplification(each) for each in streams)
    return PartitionStatus(
        name=part.name,
        topic=part.partition.topic,
        partition=part.partition.partition,
        rows=rows,
        replayed=sum(_replayed(each) for each in streams) if part.facts.layout in _WITH_REPLAYS else 0,
        position=part.position,
        end=end,
        lag=None if changed else max(0, end - part.position),
        commits=commits,
        rows_a_commit=rows / max(1, commits),
        write_amplification=written / rows if rows else 1.0,
        epoch=record.epoch,
        writer=record.writer,
        committed=record.time_ns / 1e9,
        remark=changed,
    )


def _commits(stream: Snapshot) -> int:
    return max(0, stream.record.seq - 1)


def _replayed(stream: Snapshot) -> int:
    late = replayed_of(stream)
    return 0 if late is None else late.rows


def _amplification(stream: Snapshot) -> float:
    return amplification(stream.record.rows, _commits(stream), stream[stream.names[0]].chunks[0])


def _targets(partitions: Iterable[Mapping[str, Snapshot]]) -> Iterator[TargetStatus]:
    """Yield what each target has in all partitions, in the order of their names."""
    found: dict[str, list[Snapshot]] = {}
    for targets in partitions:
        for name, stream in targets.items():
            found.setdefault(name, []).append(stream)
    for name in sorted(found):
        rows = sum(each.record.rows for each in found[name])
        last = max(each.record.time_ns for each in found[name])
        yield TargetStatus(name, len(found[name]), rows, last / 1e9)


def _open_letters(parts: Parts) -> dict[str, int]:
    """Return how many records that failed here have an open letter, which may be another feed's newer one.

    Only topics that have such letters are there.
    """
    ours = {where: set(offsets.tolist()) for where, offsets in lettered(parts).items()}
    there = set(parts.broker.topics())

    def is_ours(letter: DeadLetter) -> bool:
        return letter.offset in ours.get(TopicPartition(letter.topic, letter.partition), ())

    topics = {each.facts.dead_letters for each in parts} & there
    found = {topic: len(DeadLetterQueue(parts.broker, topic).ls(is_ours)) for topic in sorted(topics)}
    return {topic: count for topic, count in found.items() if count}
