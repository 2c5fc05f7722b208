"""The state of windows in a store: one object for each partition, replaced by compare-and-swap."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, Protocol

from msgspec.structs import replace

from streamzarr.errors import (
    ConfigError,
    FencedError,
    KeyNotFoundError,
    LimitExceededError,
    PreconditionFailedError,
    StoreError,
)
from streamzarr.flow.arguments import checked, function, location, nbytes, optional, runtime, seconds
from streamzarr.flow.chain import Chain
from streamzarr.flow.windows.plain import Hook, Plain
from streamzarr.flow.windows.snapshot import PaneState, Snapshot
from streamzarr.options import parse_bytes
from streamzarr.queue.base import TopicPartition
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stores import Store, open_store, probe_conditional_put

TRIES: Final = 8
"""Attempts to take over a partition while others write to it: they lose it with the first that succeeds."""


class Keeper(Protocol):
    """The stage whose accumulators are stored."""

    chain: Chain

    def snapshot(self, partition: TopicPartition) -> Snapshot | None:
        """Return what is to be stored now; ``None``: in this moment nothing that would be consistent."""

    def without_settled(self, partition: TopicPartition, stored: Snapshot) -> Snapshot:
        """Return what is stored without the results that are settled since."""

    def has_settled(self, partition: TopicPartition) -> bool:
        """Tell whether a result was settled that is still stored."""

    def stored(self, partition: TopicPartition, snapshot: Snapshot) -> None:
        """Hear that `snapshot` is durable."""


class _Owned:
    """A partition that is ours, as far as we know."""

    __slots__ = ("epoch", "etag", "key", "position")

    def __init__(self, key: str, snapshot: Snapshot, etag: str) -> None:
        self.key, self.epoch, self.position, self.etag = key, snapshot.epoch, snapshot.position, etag


@checked(
    "WindowState",
    url=location,
    every=seconds(above=0),
    encode=optional(function),
    decode=optional(function),
    max_bytes=nbytes,
    runtime=runtime,
)
class WindowState:
    """Keeps accumulators, watermark, position and results of ``ops.reduce(state=)`` in a store.

    It is the committer of the topic and the state of the windows, so both change in one step: after a crash
    the chain goes on where it was, and gives each result again, the same, until it was settled. A sink that
    knows (key, window, pane) has each once. Where no life ends in a crash or an error, but each in order (a
    stop whose deadline is enough, a rebalance that lets it drain), a sink that knows nothing has each once.

    Parameters
    ----------
    url
        A store with conditional put, for one group and one ``ops.reduce``; a partition's object is
        ``{url}/{topic}/{partition}``. It is written anew each time, so it should be megabytes, not gigabytes.
    every
        Seconds between two writes. Results are delivered only when they are stored, so they are late by as
        much.
    encode, decode
        Make accumulators, keys or values of a type of your own plain data, and back. Plain are numbers, text,
        bytes, ``None``, lists, tuples, sets, dicts and numpy arrays: those types, and none derived from them.
    max_bytes
        Of one object, at most.

    Notes
    -----
    Threads: the chain's only. `start` and `commit` block for as long as the store takes. Who starts a
    partition raises its epoch; the owner before is refused from then on (``FencedError``).

    Examples
    --------
    >>> from streamzarr.flow import Demand, WindowState, from_topic, ops, windows
    >>> from streamzarr.queue import open_broker
    >>> state = WindowState("memory://bars")
    >>> ticks = from_topic(
    ...     open_broker("sqlite:///ticks.db"), "ticks", group="bars", demand=Demand(100), committer=state
    ... )
    >>> bars = ticks.pipe(
    ...     ops.reduce(
    ...         lambda count, tick: count + 1, initial=0, window=windows.Fixed("1min"), state=state
    ...     )
    ... )
    """

    def __init__(
        self,
        url: str | os.PathLike[str],
        *,
        every: float = 1.0,
        encode: Hook | None = None,
        decode: Hook | None = None,
        max_bytes: int | str = "256MB",
        runtime: Runtime = SYSTEM,
    ) -> None:
        self.every = every
        self._url = url
        self._plain = Plain(encode, decode)
        self._max_bytes = parse_bytes(max_bytes)
        self._runtime = runtime
        self._store: Store | None = None
        self._owned: dict[TopicPartition, _Owned] = {}
        self._keeper: Keeper | None = None

    # -- the committer -----------------------------------------------------------------------------------

    def start(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Take over `partitions`; return where reading begins.

        Raises
        ------
        streamzarr.errors.UnsupportedError
            The store has no conditional put.
        streamzarr.errors.MessageError, streamzarr.errors.LimitExceededError
            What is stored is not the state of windows, or too large.
        """
        starts = {}
        for partition in partitions:
            owned = self._owned[partition] = self._take_over(partition)
            if owned.position is not None:
                starts[partition] = owned.position
        return starts

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Store what the windows of these partitions hold, with the positions that belong to it.

        Raises
        ------
        streamzarr.errors.FencedError
            Somebody else has taken over; nothing has changed.
        streamzarr.errors.ConfigError
            There is no ``ops.reduce(state=)`` in the chain, or what it holds is not plain data.
        """
        for partition in positions:
            self.save(partition)

    def ended(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget partitions that are not ours any more."""
        for partition in partitions:
            self._owned.pop(partition, None)

    # -- the stage ---------------------------------------------------------------------------------------

    def attach(self, keeper: Keeper) -> None:
        """Store what `keeper` holds, from now on."""
        if self._keeper is not None and self._keeper.chain is keeper.chain:
            raise ConfigError("a WindowState keeps one ops.reduce, and this chain gives it several")
        self._keeper = keeper

    def check(self, value: object) -> None:
        """Raise what makes it impossible to store `value`, if anything does."""
        self._plain.loads(self._plain.dumps(value))

    def check_panes(self, panes: tuple[PaneState, ...]) -> None:
        """Raise what makes it impossible to store these panes, if anything does."""
        Snapshot(panes=panes).check(self._plain)

    def owns(self, partition: TopicPartition) -> bool:
        """Tell whether `partition` was started here."""
        return partition in self._owned

    def stored(self, partition: TopicPartition) -> Snapshot:
        """Return what is stored of a partition that is ours; raises as :meth:`commit`."""
        owned = self._ours(partition)
        snapshot, _ = self._read(owned.key)
        if snapshot.epoch != owned.epoch:
            self._lose(partition, owned, snapshot)
        return snapshot

    def save(self, partition: TopicPartition) -> None:
        """Store what the windows of `partition` hold; raises as :meth:`commit`.

        While a record is only partly folded that would not be consistent. All that changes then is that
        results which are settled are taken out, so that they do not come again.
        """
        if self._keeper is None:
            raise ConfigError("a WindowState is the committer of a topic, but no ops.reduce(state=) has it")
        snapshot = self._keeper.snapshot(partition)
        if snapshot is None and self._keeper.has_settled(partition):
            snapshot = self._keeper.without_settled(partition, self.stored(partition))
        if snapshot is not None:
            self._write(partition, snapshot)
            self._keeper.stored(partition, snapshot)

    # -- the store ---------------------------------------------------------------------------------------

    def _opened(self) -> Store:
        if self._store is None:
            store = open_store(self._url)
            probe_conditional_put(store)
            self._store = store
        return self._store

    def _ours(self, partition: TopicPartition) -> _Owned:
        owned = self._owned.get(partition)
        if owned is None:
            raise FencedError(
                f"{redacted(self._opened().url)}: {_key(partition)} was not started here, or was given up"
            )
        return owned

    def _read(self, key: str) -> tuple[Snapshot, str | None]:
        store = self._opened()
        try:
            stored = store.fetch_limited(key, self._max_bytes)
        except KeyNotFoundError:
            return Snapshot(), None
        return Snapshot.loads(stored.data, self._plain, f"{redacted(store.url)}: {key}"), stored.etag

    def _take_over(self, partition: TopicPartition) -> _Owned:
        """Raise the epoch, against whoever else does the same."""
        key = _key(partition)
        mine: set[bytes] = set()
        for _ in range(TRIES):
            before, etag = self._read(key)
            if etag is not None and before.write in mine:  # the response was lost, not the write
                return _Owned(key, before, etag)
            snapshot = replace(before, epoch=before.epoch + 1, write=self._runtime.random_bytes(16))
            mine.add(snapshot.write)
            try:
                return _Owned(key, snapshot, self._put(key, snapshot, etag))
            except PreconditionFailedError:
                continue
        raise StoreError(
            f"{redacted(self._opened().url)}: {key} was replaced {TRIES} times while we took it over"
        )

    def _write(self, partition: TopicPartition, snapshot: Snapshot) -> None:
        owned = self._ours(partition)
        snapshot = replace(snapshot, epoch=owned.epoch, write=self._runtime.random_bytes(16))
        for _ in range(TRIES):
            try:
                owned.etag = self._put(owned.key, snapshot, owned.etag)
            except PreconditionFailedError:
                # Only an owner writes with its epoch: what has ours is a write whose response was lost.
                found, etag = self._read(owned.key)
                if etag is None or found.epoch != owned.epoch:
                    self._lose(partition, owned, found)
                owned.etag = etag
                if found.write != snapshot.write:
                    continue
            return
        raise StoreError(
            f"{redacted(self._opened().url)}: {owned.key} was replaced {TRIES} times by ourselves"
        )

    def _lose(self, partition: TopicPartition, owned: _Owned, found: Snapshot) -> NoReturn:
        del self._owned[partition]
        raise FencedError(
            f"{redacted(self._opened().url)}: {owned.key} has epoch {found.epoch}, ours is {owned.epoch}: "
            "another one has taken over"
        )

    def _put(self, key: str, snapshot: Snapshot, etag: str | None) -> str:
        data = snapshot.dumps(self._plain)
        if len(data) > self._max_bytes:
            raise LimitExceededError(
                f"{redacted(self._opened().url)}: the state of {key} has {len(data)} bytes, expected at most "
                f"{self._max_bytes}"
            )
        return self._opened().put(key, data, if_match=etag, if_none_match=etag is None)


def _key(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"
