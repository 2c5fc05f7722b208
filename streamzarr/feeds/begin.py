"""Where a partition goes on, and whether it may: what target and broker say before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamzarr.errors import ConfigError, NodeNotFoundError, OffsetOutOfRangeError
from streamzarr.feeds.config import Feed
from streamzarr.feeds.grid.partition import OPEN
from streamzarr.feeds.meaning import check_meaning
from streamzarr.feeds.places import check_same, other_path_of, path_of, source_of
from streamzarr.feeds.target import facts_of
from streamzarr.queue import Broker, TopicPartition
from streamzarr.stores import Store, join_url
from streamzarr.stream import open_stream


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is known of a partition before its stream is taken over."""

    source: Mapping[str, str | int]
    """Whose positions its stream holds."""
    first: int
    """Where it begins if its stream is new."""
    fields: frozenset[str] | None
    """The fields that the stream has; None: it is new."""


def look(feed: Feed, broker: Broker, store: Store, partition: TopicPartition) -> Beginning:
    """Return how the stream of a partition goes on.

    Raises
    ------
    streamzarr.errors.SourceChangedError
        Its rows come from another topic or cluster.
    streamzarr.errors.OffsetOutOfRangeError
        The records that come next are gone, or the topic ends before them.
    streamzarr.errors.ConfigError
        Values of a field mean something else in the stream, or the topic's rows are elsewhere in the target.
    """
    path = path_of(partition, feed.source.topics)
    source = source_of(partition, broker.identify(partition.topic))
    info = broker.describe(partition.topic)
    begin, end = info.begin[partition.partition], info.end[partition.partition]
    try:
        snapshot = open_stream(store, path)
    except NodeNotFoundError:
        _check_nowhere_else(store, other_path_of(partition, feed.source.topics))
        return Beginning(source, begin if feed.source.start == "begin" else end, None)
    where, record = join_url(store.url, path), snapshot.record
    check_same(record.source, source, where, str(broker))
    check_meaning(snapshot.document.fields, feed, where)
    first = facts_of(snapshot).start
    position = first if record.position is None else record.position
    if isinstance(position, Mapping):  # of a grid, whose open slots are to be read again
        position = position[OPEN]
    if not begin <= position <= end:
        raise OffsetOutOfRangeError(str(broker), *partition, position, begin, end)
    return Beginning(source, first, frozenset(snapshot.names))


def _check_nowhere_else(store: Store, path: str) -> None:
    try:
        found = open_stream(store, path)
    except NodeNotFoundError:
        return
    raise ConfigError(
        f"{found.url} has rows already: with one topic they are directly below the target, with several "
        "below the name of each; give another target, or as many topics as before"
    )


def look_at_all(feed: Feed, broker: Broker, store: Store) -> int:
    """Raise what :func:`look` raises for any partition; return how many there are."""
    partitions = [
        TopicPartition(topic, number)
        for topic in feed.source.topics
        for number in range(broker.describe(topic).partitions)
    ]
    for partition in partitions:
        look(feed, broker, store, partition)
    return len(partitions)
