"""Becoming the owner of a partition: its stream is ours, whoever wrote it before is fenced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from streamzarr.feeds.begin import look
from streamzarr.feeds.config import Feed
from streamzarr.feeds.grid.keys import Keys
from streamzarr.feeds.grid.partition import OPEN, READ, PartitionGrid
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.partition import PartitionStream
from streamzarr.feeds.places import FEED_ATTRIBUTE, path_of
from streamzarr.feeds.rows import Rows
from streamzarr.feeds.target import Facts
from streamzarr.queue import Broker, TopicPartition
from streamzarr.redact import redacted
from streamzarr.stores import Store
from streamzarr.stream import CommitPolicy, Field, StreamWriter
from streamzarr.stream.schema import CHUNK_ROWS


class Partition(Protocol):
    """A partition in our hands. Owned by the chain's thread; blocks on the store, and on dead letters."""

    bad: int

    @property
    def writer(self) -> StreamWriter:
        """The writer of its stream."""

    @property
    def position(self) -> int:
        """The next offset to be read."""

    def take(self, rows: Rows) -> None:
        """Take the rows of a run, once: whatever it raises, the same run may be given again."""

    def commit(self, position: int) -> None:
        """Make what was taken visible; nothing is left to do below `position`."""

    def drop(self) -> None:
        """Give up what is not committed."""


def take_over(
    feed: Feed, broker: Broker, store: Store, letters: Letters, partition: TopicPartition
) -> Partition:
    """Return the partition, whose owner we are from now on.

    Raises
    ------
    streamzarr.errors.SourceChangedError, streamzarr.errors.OffsetOutOfRangeError
        As :func:`streamzarr.feeds.begin.look`.
    streamzarr.errors.ConfigError, streamzarr.errors.UnsupportedError
        The stream has other fields; the store cannot hold streams.
    """
    path, found = path_of(partition, feed.source.topics), look(feed, broker, store, partition)
    spec = None if feed.grid is None else feed.grid.spec()
    facts = Facts(
        version=1,
        broker=redacted(broker.url),
        group=feed.group,
        dead_letters=feed.dead_topic(partition.topic),
        offset=feed.offset_field,
        start=found.first,
        layout=feed.target.layout,
        keyed=spec is not None and spec.key is not None,
    )
    schema = feed.schema()
    new = _new_fields(schema, found.fields)
    writer = StreamWriter(
        store,
        path,
        schema={name: each for name, each in schema.items() if name not in new},
        chunk_rows=feed.target.chunk_rows or CHUNK_ROWS,
        source=found.source,
        commit=feed.policy if spec is None else CommitPolicy(),
        attributes={FEED_ATTRIBUTE: msgspec.to_builtins(facts)},
        max_bytes=feed.target_bytes,
        runtime=broker.runtime,
    )
    for name in new:
        writer.add_field(name, schema[name])
    if writer.position is None:  # new: from here on its beginning is settled, whatever the topic loses
        first = found.first
        writer.append(
            {name: [] for name in schema}, next_offset=first if spec is None else {OPEN: first, READ: first}
        )
        writer.commit()
    if spec is None:
        return PartitionStream(writer, feed.columns, letters)
    keys = None
    if spec.key is not None:
        given = () if isinstance(spec.keys, int) else spec.keys
        keys = Keys(store, path, spec.room, given, broker.runtime)
    return PartitionGrid(writer, keys, spec, feed.columns, letters, feed.policy)


def _new_fields(schema: Mapping[str, Field], stored: frozenset[str] | None) -> list[str]:
    """Return the fields that a stream gets now, whose rows so far are their fill value.

    Where one of its own is not wanted any more, or a new one is sorted, there are none, and it is refused.
    """
    if stored is None or not stored <= schema.keys():
        return []
    new = [name for name in schema if name not in stored]
    return [] if any(schema[name].sorted for name in new) else new
