"""Where a partition goes on, and whether it may: what target and broker say before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamzarr.errors import ConfigError, NodeNotFoundError, OffsetOutOfRangeError
from streamzarr.feeds.asked import Asked
from streamzarr.feeds.config import Feed
from streamzarr.feeds.grid.partition import OPEN, READ
from streamzarr.feeds.meaning import check_meaning
from streamzarr.feeds.places import check_same, other_path_of, path_of, source_of
from streamzarr.feeds.target import facts_of
from streamzarr.feeds.windows.check import with_held
from streamzarr.feeds.windows.kept import most_bytes
from streamzarr.queue import Broker, TopicPartition
from streamzarr.stores import Store, join_url
from streamzarr.stream import Snapshot, open_stream


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is known of a partition before its stream is taken over."""

    source: Mapping[str, str | int]
    """Whose positions its stream holds."""
    first: int
    """Where it begins if its stream is new."""
    fields: frozenset[str] | None
    """The fields that the stream has; None: it is new."""


def look(feed: Feed, asked: Asked, store: Store, partition: TopicPartition) -> Beginning:
    """Return how the stream of a partition goes on.

    Raises
    ------
    streamzarr.errors.SourceChangedError
        Its rows come from another topic or cluster.
    streamzarr.errors.OffsetOutOfRangeError
        The records that come next are gone, or the topic ends before them.
    streamzarr.errors.ConfigError
        Values of a field mean something else in the stream, the topic's rows are elsewhere in the target, or
        they are routed by another column; or they have keys and the feed none, or the reverse.
    """
    path = path_of(partition, feed.source.topics)
    source = source_of(partition, asked.identity(partition.topic))
    begin, end = asked.bounds(partition)
    try:
        snapshot = open_stream(store, path)
    except NodeNotFoundError:
        _check_nowhere_else(store, other_path_of(partition, feed.source.topics))
        at_end = feed.source.start == "end" and not _is_added(feed, store, partition)
        return Beginning(source, end if at_end else begin, None)
    where, record = join_url(store.url, path), snapshot.record
    check_same(record.source, source, where, str(asked.broker))
    facts = facts_of(snapshot)
    by = "" if feed.route is None else feed.route.by
    if facts.by != by:
        raise ConfigError(
            f"{where}: its rows are routed {_told(facts.by)}, and the feed says {_told(by)}; give another "
            "target"
        )
    if not by and facts.layout != feed.target.layout:
        raise ConfigError(
            f"{where}: target.layout was {facts.layout!r} when it was made, and is {feed.target.layout!r}; "
            "give another target"
        )
    if not by:
        check_fields(snapshot, feed)
    if facts.keyed != feed.keyed:
        has, now = ("keys", "none") if facts.keyed else ("no keys", "some")
        raise ConfigError(f"{where}: has {has}, and the configuration {now}; give another target")
    first = facts.start
    position = first if record.position is None else record.position
    if isinstance(position, Mapping):  # of a grid, whose open slots are to be read again, or of windows
        position = position.get(OPEN, position[READ])
    if not begin <= position <= end:  # or others have committed since that was asked
        begin, end = asked.bounds(partition, now=True)
    if not begin <= position <= end:
        raise OffsetOutOfRangeError(str(asked.broker), *partition, position, begin, end)
    return Beginning(source, first, frozenset(snapshot.names))


def _is_added(feed: Feed, store: Store, partition: TopicPartition) -> bool:
    """Tell whether the topic got a partition when the feed was there already: all that it has came since."""
    first = stream_at(store, path_of(partition._replace(partition=0), feed.source.topics))
    return first is not None and 0 < facts_of(first).partitions <= partition.partition


def stream_at(store: Store, path: str) -> Snapshot | None:
    """Return the stream at `path`; None: there is none."""
    try:
        return open_stream(store, path)
    except NodeNotFoundError:
        return None


def check_fields(snapshot: Snapshot, feed: Feed) -> None:
    """Raise as :func:`streamzarr.feeds.meaning.check_meaning` does of the fields of a stream."""
    check_meaning(snapshot.document.fields, feed, snapshot.url)


def _told(by: str) -> str:
    return f"by {by!r}" if by else "nowhere"


def _check_nowhere_else(store: Store, path: str) -> None:
    found = stream_at(store, path)
    if found is None:
        return
    raise ConfigError(
        f"{found.url} has rows already: with one topic they are directly below the target, with several "
        "below the name of each; give another target, or as many topics as before"
    )


def look_at_all(feed: Feed, broker: Broker, store: Store) -> int:
    """Raise what :func:`look` or :func:`with_held` raises for any partition; return how many there are."""
    asked = Asked(broker)
    partitions = [
        TopicPartition(topic, number)
        for topic in feed.source.topics
        for number in range(asked.info(topic).partitions)
    ]
    for partition in partitions:
        look(feed, asked, store, partition)
        snapshot = stream_at(store, path_of(partition, feed.source.topics))
        if feed.window is not None and snapshot is not None:
            with_held(snapshot, most_bytes(feed.window.spec().bound))
    return len(partitions)
