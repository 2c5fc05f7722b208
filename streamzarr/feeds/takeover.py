"""Becoming the owner of a partition: its stream is ours, whoever wrote it before is fenced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from streamzarr.errors import ConfigError, FencedError, KeyNotFoundError
from streamzarr.feeds.asked import Asked
from streamzarr.feeds.begin import Beginning, check_fields, look, stream_at
from streamzarr.feeds.config import Feed
from streamzarr.feeds.grid.keys import Keys
from streamzarr.feeds.grid.late import LateSlots
from streamzarr.feeds.grid.partition import OPEN, READ, PartitionGrid
from streamzarr.feeds.grid.reserved import Reserved, reserved_schema
from streamzarr.feeds.grid.shape import Bars, Planes, Shape
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.partition import PartitionStream
from streamzarr.feeds.places import FEED_ATTRIBUTE, path_of, target_path
from streamzarr.feeds.replayed.stream import Replayed, replayed_schema
from streamzarr.feeds.route.ledger import Ledger, ledger_schema
from streamzarr.feeds.route.partition import PartitionRoutes
from streamzarr.feeds.rows import Rows
from streamzarr.feeds.target import Facts, facts_of
from streamzarr.feeds.windows.fold import WindowFold
from streamzarr.feeds.windows.kept import Kept, held_at, most_bytes
from streamzarr.feeds.windows.partition import PartitionWindows
from streamzarr.queue import Broker, TopicPartition
from streamzarr.redact import redacted
from streamzarr.stores import Store, join_url
from streamzarr.stream import CommitPolicy, Field, StreamWriter, open_stream
from streamzarr.stream.acquire import chunk_bytes
from streamzarr.stream.record import Position
from streamzarr.stream.schema import CHUNK_ROWS, Schema

ID_BYTES: Final = 8


class Partition(Protocol):
    """A partition in our hands. Owned by the chain's thread; blocks on the store, and on dead letters."""

    bad: int

    @property
    def put_bytes(self) -> int:
        """Bytes of chunks that were put so far."""

    @property
    def position(self) -> int:
        """The next offset to be read."""

    def take(self, rows: Rows) -> None:
        """Take the rows of a run, once: whatever it raises, the same run may be given again."""

    def commit(self, position: int) -> None:
        """Make what was taken visible; nothing is left to do below `position`."""

    def rest(self) -> None:
        """Do what is due though nothing comes; asked at every turn of the chain. Raises as :meth:`commit`."""

    def drop(self) -> None:
        """Give up what is not committed."""


def take_over(
    feed: Feed,
    broker: Broker,
    store: Store,
    letters: Letters,
    partition: TopicPartition,
    asked: Asked | None = None,
) -> Partition:
    """Return the partition, whose owner we are from now on.

    Of many partitions, `asked` keeps what the broker says of their topics.

    Raises
    ------
    streamzarr.errors.SourceChangedError, streamzarr.errors.OffsetOutOfRangeError
        As :func:`streamzarr.feeds.begin.look`.
    streamzarr.errors.ConfigError, streamzarr.errors.UnsupportedError
        The stream has other fields; the store cannot hold streams.
    streamzarr.errors.FencedError
        Somebody else took it over at the same moment.
    streamzarr.errors.KeyNotFoundError, streamzarr.errors.ChecksumError, streamzarr.errors.MessageError
        The windows that were open are gone, or damaged, or something else is there.
    streamzarr.errors.LimitExceededError
        They have more bytes than windows may.
    """
    asked = asked or Asked(broker)
    path, found = path_of(partition, feed.source.topics), look(feed, asked, store, partition)
    facts = Facts(
        version=1,
        broker=redacted(broker.url),
        group=feed.group,
        dead_letters=feed.dead_topic(partition.topic),
        offset=feed.offset_field,
        start=found.first,
        layout=feed.target.layout,
        partitions=asked.info(partition.topic).partitions,
        id=broker.runtime.random_bytes(ID_BYTES).hex(),
    )
    taken: Partition
    if feed.window is not None:
        taken = _windows(feed, broker, store, letters, partition, found, facts)
    else:
        taken = _taken(feed, broker, store, letters, path, found, facts)
    letters.sign(partition, facts_of(open_stream(store, path)).id)  # of whoever made it
    return taken


def _taken(
    feed: Feed, broker: Broker, store: Store, letters: Letters, path: str, found: Beginning, facts: Facts
) -> Partition:
    """Return the partition, made with these facts if it is new."""
    if feed.route is not None:
        return _routes(feed, broker, store, letters, path, found, facts)
    schema = feed.schema()
    if feed.grid is None:
        writer = _writer(feed, broker, store, path, schema, found, facts)
        replayed = _replayed(feed, broker, store, path, found, writer)
        return PartitionStream(writer, feed.columns, letters, replayed, broker.runtime)
    spec = feed.grid_spec
    assert spec is not None
    facts = replace(facts, keyed=spec.key is not None, key=spec.key or "")
    writer = _writer(feed, broker, store, path, schema, found, facts)
    keys = None
    if spec.key is not None:
        given = () if isinstance(spec.keys, int) else spec.keys
        keys = Keys(store, path, spec.room, given, broker.runtime)
    shape: Shape = Bars(spec, feed.columns, keys)
    late = None
    if feed.target.layout == "grid":
        shape, late = Planes(spec, feed.columns), _late(feed, broker, store, path, found, writer)
    return PartitionGrid(writer, keys, spec, feed.columns, letters, feed.policy, shape, late, broker.runtime)


def _windows(
    feed: Feed,
    broker: Broker,
    store: Store,
    letters: Letters,
    partition: TopicPartition,
    found: Beginning,
    facts: Facts,
) -> PartitionWindows:
    """Return the partition with the windows of its last commit; raises as :func:`take_over`."""
    assert feed.window is not None
    spec, path = feed.window.spec(), path_of(partition, feed.source.topics)
    facts = replace(facts, keyed=spec.key is not None, key=spec.key or "")
    writer = _writer(feed, broker, store, path, feed.schema(), found, facts)
    assert isinstance(writer.position, Mapping)
    try:
        held = held_at(store, path, writer.position, most_bytes(spec.bound))
    except KeyNotFoundError as error:
        if open_stream(store, path).record.epoch == writer.record.epoch:
            raise
        raise FencedError(f"{writer.url}: another writer has taken over meanwhile") from error
    kept = Kept(store, path, writer.record.epoch, writer.position)
    outputs = spec.outputs(feed.columns)
    fold = WindowFold(spec, outputs, newest=held.newest, mark=held.mark, panes=held.accumulators(outputs))

    def end() -> int:
        return broker.describe(partition.topic).end[partition.partition]

    return PartitionWindows(writer, kept, fold, spec, outputs, letters, feed.policy, end, broker.runtime)


def _routes(
    feed: Feed, broker: Broker, store: Store, letters: Letters, path: str, found: Beginning, facts: Facts
) -> PartitionRoutes:
    """Return the partition whose rows go into several targets: its ledger is ours, the targets will be."""
    assert feed.route is not None
    spec, schema = feed.route.spec(), feed.schema()
    facts = replace(facts, by=spec.by, layout="routes")
    ledger = Ledger(_writer(feed, broker, store, path, ledger_schema(), found, facts), store, path)
    if spec.other in ledger.targets and spec.other not in ledger.others:
        raise ConfigError(
            f"{join_url(store.url, path)}: route.other is {spec.other!r}, a target of rows of this name "
            "alone; give another name"
        )

    def open_target(name: str, start: int) -> PartitionStream:
        place = target_path(name, path)
        stored = stream_at(store, place)
        if stored is not None:
            check_fields(stored, feed)
        there = Beginning(found.source, start, None if stored is None else frozenset(stored.names))
        told = replace(facts, layout="log", target=name, start=start)
        writer = _writer(feed, broker, store, place, schema, there, told)
        replayed = _replayed(feed, broker, store, place, found, writer)
        return PartitionStream(writer, feed.columns, letters, replayed, broker.runtime)

    nbytes = sum(chunk_bytes(each) for each in Schema.of(schema).arrays(_chunk_rows(feed)).values())
    return PartitionRoutes(
        ledger,
        spec,
        letters,
        open_target,
        most_open=max(1, feed.target_bytes // nbytes),
        at_once=store.capabilities.in_flight,
    )


def _writer(
    feed: Feed,
    broker: Broker,
    store: Store,
    path: str,
    schema: Mapping[str, Field],
    found: Beginning,
    facts: Facts,
) -> StreamWriter:
    """Return the writer of a stream, ours from now on; a new one has its position."""
    new = _new_fields(schema, found.fields)
    writer = StreamWriter(
        store,
        path,
        schema={name: each for name, each in schema.items() if name not in new},
        chunk_rows=_chunk_rows(feed),
        source=found.source,
        commit=feed.policy if facts.layout == "log" else CommitPolicy(),
        attributes={FEED_ATTRIBUTE: msgspec.to_builtins(facts)},
        max_bytes=feed.target_bytes,
        runtime=broker.runtime,
    )
    for name in new:
        writer.add_field(name, schema[name])
    if writer.position is None:  # new: from here on its beginning is settled, whatever the topic loses
        writer.append({name: [] for name in schema}, next_offset=_first_position(facts.layout, found.first))
        writer.commit()
    return writer


def _first_position(layout: str, first: int) -> Position:
    if layout in ("grid", "bars"):
        return {OPEN: first, READ: first}
    return {READ: first} if layout == "windows" else first


def _replayed(
    feed: Feed, broker: Broker, store: Store, path: str, found: Beginning, owner: StreamWriter
) -> Replayed:
    """Return what takes the rows of a partition that come by a replay."""
    schema = replayed_schema(feed.columns, slots=feed.grid is not None)
    return Replayed(store, path, lambda place: _beside(feed, broker, store, place, schema, found, owner))


def _late(
    feed: Feed, broker: Broker, store: Store, path: str, found: Beginning, writer: StreamWriter
) -> LateSlots:
    """Return what takes the records of a grid that come when their slots are closed."""
    spec = feed.grid_spec
    assert spec is not None
    assert isinstance(writer.position, Mapping)
    schema = reserved_schema()
    reserved = Reserved(
        store,
        path,
        writer.position[READ],
        lambda place: _beside(feed, broker, store, place, schema, found, writer),
    )
    reserved.begin()
    return LateSlots(spec, _replayed(feed, broker, store, path, found, writer), reserved)


def _beside(
    feed: Feed,
    broker: Broker,
    store: Store,
    path: str,
    schema: Mapping[str, Field],
    found: Beginning,
    owner: StreamWriter,
) -> StreamWriter:
    """Return the writer of a stream beside a partition's, without positions, ours from now on.

    It may be opened late, when somebody else has the partition by now: what they have written there must not
    be taken back by who does not know that yet. So `owner`, who writes the partition's own stream, is asked
    before, not to fence them in vain, and when the stream is ours, before anything is written to it.

    Raises
    ------
    streamzarr.errors.FencedError
        The partition is somebody else's.
    """
    owner.require_ours()
    stored = stream_at(store, path)
    new = _new_fields(schema, None if stored is None else frozenset(stored.names))
    writer = StreamWriter(
        store,
        path,
        schema={name: each for name, each in schema.items() if name not in new},
        source=found.source,
        max_bytes=feed.target_bytes,
        runtime=broker.runtime,
    )
    owner.require_ours()
    for name in new:
        writer.add_field(name, schema[name])
    return writer


def _chunk_rows(feed: Feed) -> int:
    return feed.target.chunk_rows or CHUNK_ROWS


def _new_fields(schema: Mapping[str, Field], stored: frozenset[str] | None) -> list[str]:
    """Return the fields that a stream gets now, whose rows so far are their fill value.

    Where one of its own is not wanted any more, or a new one is sorted, there are none, and it is refused.
    """
    if stored is None or not stored <= schema.keys():
        return []
    new = [name for name in schema if name not in stored]
    return [] if any(schema[name].sorted for name in new) else new
