"""A feed's target as those see it who come later: its partitions, and what they know of their topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import msgspec

from streamzarr.errors import ConfigError, NodeNotFoundError
from streamzarr.feeds.places import FEED_ATTRIBUTE
from streamzarr.queue import Broker, TopicPartition, open_broker
from streamzarr.stores import Store, open_store
from streamzarr.stream import Snapshot, open_streams
from streamzarr.stream.record import Position


class Facts(msgspec.Struct, frozen=True):
    """What a partition's group says, in the attribute `FEED_ATTRIBUTE`, from when it is made."""

    version: Literal[1]
    broker: str
    """The broker's URL, without its password."""
    group: str
    dead_letters: str
    """The topic of its dead letters."""
    offset: str
    """The field that has the records' offsets; empty: a grid has none."""
    start: int
    """The offset that it begins at."""
    layout: Literal["log", "grid", "bars", "windows", "routes"] = "log"
    """Of a partition whose rows go into several targets its ledger."""
    keyed: bool = False
    """Whether a grid has keys."""
    key: str = ""
    """The column that they are in."""
    by: str = ""
    """The column that names the target of a row."""
    target: str | None = None
    """Which of several targets it is; None: the only one, or the ledger."""
    partitions: int = 0
    """How many its topic had; 0: it was made when that was not noted."""
    id: str = ""
    """What its letters are signed with; empty: it was made when they were not."""


@dataclass(frozen=True, slots=True)
class Part:
    """The stream of one partition."""

    name: str
    snapshot: Snapshot
    partition: TopicPartition
    facts: Facts

    @property
    def position(self) -> int:
        """The offset up to which all records are settled."""
        return position_of(self.snapshot.position, self.facts.start)


def position_of(position: Position | None, start: int) -> int:
    """Return up to which offset a stream's position has settled all records.

    >>> position_of({"open": 7, "read": 9}, 0), position_of(None, 3)
    (9, 3)
    """
    if isinstance(position, Mapping):
        return position["read"]
    return start if position is None else position


@dataclass(frozen=True, slots=True)
class Parts:
    """All partitions of a target, with the broker that their topics are on."""

    broker: Broker
    parts: tuple[Part, ...]

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)


class _Source(msgspec.Struct, frozen=True):
    topic: str
    partition: int


@contextmanager
def parts_of(url: str, broker: Broker | None = None) -> Iterator[Parts]:
    """Give the partitions of a target, and its broker, which is opened meanwhile unless it is given.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is no stream.
    streamzarr.errors.ConfigError
        No feed wrote what is there, or it is one of several targets.
    """
    parts = find_parts(url)
    if (target := parts[0].facts.target) is not None:
        raise ConfigError(f"{url}: target {target!r} of a feed that has several; give the URL of the feed")
    if broker is not None:
        yield Parts(broker, parts)
        return
    with open_broker(parts[0].facts.broker) as opened:
        yield Parts(opened, parts)


def find_parts(url: str) -> tuple[Part, ...]:
    """Return the partitions of a target, by name; raises as :func:`parts_of`."""
    store = open_store(url, mode="r")
    found = {name: _part(name, each) for name, each in streams_below(store).items()}
    return tuple(found[name] for name in sorted(found))


def facts_of(snapshot: Snapshot) -> Facts:
    """Return what the group of a partition says of its feed; ``ConfigError`` when no feed made it."""
    attributes = snapshot.document.group.attributes
    try:
        return msgspec.convert(attributes.get(FEED_ATTRIBUTE), Facts)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{snapshot.url}: no feed wrote this stream: {FEED_ATTRIBUTE}: {error}; give a target of its own"
        ) from error


def streams_below(store: Store) -> dict[str, Snapshot]:
    """Return the streams directly below a target, or those below its groups: one for each topic.

    Raises :class:`~streamzarr.errors.NodeNotFoundError` when there are none.
    """
    try:
        return open_streams(store)
    except NodeNotFoundError as error:
        found: dict[str, Snapshot] = {}
        for prefix in store.list_dir("").prefixes:
            topic = prefix.rstrip("/")
            try:
                below = open_streams(store, topic)
            except NodeNotFoundError:
                continue
            found |= {f"{topic}/{name}": each for name, each in below.items()}
        if not found:
            raise NodeNotFoundError(f"no feed's streams below {store.url}") from error
        return found


def _part(name: str, snapshot: Snapshot) -> Part:
    facts = facts_of(snapshot)
    try:
        source = msgspec.convert(snapshot.record.source, _Source)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{snapshot.url}: no feed wrote this stream: source: {error}") from error
    return Part(
        name,
        snapshot,
        TopicPartition(source.topic, source.partition),
        facts,
    )
