"""The source behind ``from_topic``: polls as demand allows, keeps the membership alive, commits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from streamzarr.errors import (
    ConfigError,
    DamagedRecordError,
    OffsetOutOfRangeError,
    QueueError,
    StoreError,
)
from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.chain import Chain
from streamzarr.flow.demand.credits import Credits, Room
from streamzarr.flow.graph import Graph
from streamzarr.flow.lazy import Entry, LazyMessages, together
from streamzarr.flow.message import Message
from streamzarr.flow.sources.committer import Committer
from streamzarr.flow.sources.membership import Membership, OnPause, Rebalance
from streamzarr.queue.ahead import without
from streamzarr.queue.base import Broker, Consumer, OnGap, TopicPartition
from streamzarr.queue.columns import Columns
from streamzarr.queue.retry import OUTAGE_RETRY, is_transient

_log = logging.getLogger(__name__)

COMMIT_EVERY = 0.2
"""Seconds between two commits to the group."""

Messages: TypeAlias = Callable[[Chain, Claim, Columns, int], Sequence[Message]]
"""Makes messages of a run that was read under a claim, at a time in milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """What a topic source is told."""

    topics: tuple[str, ...]
    group: str
    commit_every: float | None = None
    drain_timeout: float = 5.0
    poll_timeout: float = 0.05
    session_timeout: float = 10.0
    on_gap: OnGap = "fail"
    on_rebalance: Rebalance | None = None
    committer: Committer | None = None
    instance: str | None = None
    remember: bool = False
    """Keep with each position which records beyond it are settled, and do not read those again."""
    on_pause: OnPause | None = None
    gather: float = 0.0
    """Seconds between a poll that took all there was and the next."""

    @property
    def name(self) -> str:
        """The topics, for people."""
        return ", ".join(f"topic {topic!r}" for topic in self.topics)

    @property
    def seconds_to_commit(self) -> float:
        """Seconds between two commits: `commit_every`, or what the committer says."""
        if self.commit_every is not None:
            return self.commit_every
        return float(getattr(self.committer, "every", COMMIT_EVERY))

    def __post_init__(self) -> None:
        if not 0 < self.drain_timeout < self.session_timeout:
            raise ConfigError(
                f"from_topic: drain_timeout={self.drain_timeout}, session_timeout={self.session_timeout}: "
                "expected 0 < drain_timeout < session_timeout, or partitions would be lost while they drain"
            )


class TopicSource:
    """A :class:`streamzarr.flow.drive.Source`; `messages` makes messages of a run of records."""

    def __init__(
        self, graph: Graph, broker: Broker, demand: Credits, options: TopicSettings, messages: Messages
    ) -> None:
        self.poll_timeout = options.poll_timeout
        self._graph, self._broker, self._options = graph, broker, options
        self._demand, self._messages_of = demand, messages
        self._membership = Membership(
            graph,
            broker,
            demand,
            committer=options.committer,
            drain_timeout=options.drain_timeout,
            on_rebalance=options.on_rebalance,
            on_pause=options.on_pause,
            remember=options.remember,
        )
        # Five signs of life in a session: one or two may be late without harm.
        self._keepalive_every = min(1.0, options.session_timeout / 5)
        self._consumer: Consumer | None = None
        self._commit_at = self._keepalive_at = self._poll_at = 0.0
        self._poll_failures = 0

    def open(self) -> None:
        """Join the group."""
        self._consumer = self._membership.join(
            self._options.topics,
            self._options.group,
            session_timeout=self._options.session_timeout,
            prefetch_bytes=self._demand.max_bytes,
            instance=self._options.instance,
        )

    # -- reading -----------------------------------------------------------------------------------------

    def pull(self, room: Room, timeout: float) -> Sequence[Message]:
        """Poll for records of as many bytes as there is room for."""
        pause = self._poll_at - self._graph.chain.runtime.now()
        if pause > 0:  # the broker could not be reached a moment ago, or had no more
            self._graph.wait(min(pause, timeout))
            return []
        runs = self._poll(room.messages, timeout, room.nbytes)
        if sum(map(len, runs)) < room.messages:
            self._pass_over(runs)
        if runs and _had_room(runs, room.messages, room.nbytes):
            self._poll_at = self._graph.chain.runtime.now() + self._options.gather
        return self._messages(runs)

    def _poll(self, count: int, timeout: float, max_bytes: int | None = None) -> list[Columns]:
        assert self._consumer is not None
        self._membership.caught_up(False)  # also while a rebalance drains
        try:
            runs = self._consumer.poll_columns(count, timeout, max_bytes)
        except (OffsetOutOfRangeError, DamagedRecordError) as error:
            self._skip(error)
            runs = []
        except QueueError as error:
            self._poll_failures += 1
            delay = OUTAGE_RETRY.delay(self._poll_failures, self._graph.chain.runtime.random())
            if delay is None or not is_transient(error):
                raise
            self._broker.contact.failed(f"reading {self._options.name}: {error}")
            self._poll_at = self._graph.chain.runtime.now() + delay
            runs = []
        else:
            if count and self._consumer.asks:
                self._broker.contact.reached()
            self._poll_failures = 0
            self._membership.caught_up(_had_room(runs, count, max_bytes))
            self._keepalive_at = self._graph.chain.runtime.now() + self._keepalive_every
        self._membership.raise_errors()
        again = self._membership.read_again()
        return [run for run in runs if run.where not in again] if again else runs

    def _skip(self, error: OffsetOutOfRangeError | DamagedRecordError) -> None:
        """Go on behind records that cannot be read, if that was asked for."""
        assert self._consumer is not None
        partition = TopicPartition(error.topic, error.partition)
        position = error.resume
        if self._options.on_gap == "fail":
            raise error
        _log.error("%s; group %r goes on at offset %d", error, self._options.group, position)
        self._consumer.seek({partition: position})
        claim = self._membership.claim(partition)
        if claim is None:  # a commit was refused; the next poll tells whose the partition is
            return
        if (claim.window.watermark or 0) <= position:
            claim.window.advance(position)  # what is in flight is below, and still to be settled
        else:  # the topic was made anew: offsets begin again
            self._membership.end([partition])
            self._membership.begin(partition, position)

    def _pass_over(self, runs: Sequence[Columns]) -> None:
        """Note where reading goes on in partitions that gave nothing: behind transaction markers, say.

        Only right after a poll: what earlier polls gave is in the chain by now.
        """
        assert self._consumer is not None
        gave = {run.where for run in runs}
        for partition, position in self._consumer.positions().items():
            claim = self._membership.claim(partition)
            if claim is not None and partition not in gave:
                claim.window.advance(position)

    def _messages(self, runs: Sequence[Columns]) -> Sequence[Message]:
        chain = self._graph.chain
        now = chain.runtime.wall_ns() // 1_000_000
        messages: list[Sequence[Message]] = []
        for run in runs:
            claim = self._membership.claim(run.where)
            if claim is not None:  # else it was fetched before its partition was lost
                parts = self._membership.admitted(claim, _unsettled(claim, run))
                messages += [self._messages_of(chain, claim, part, now) for part in parts]
        return together(messages)

    # -- turns -------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Commit and show signs of life, when they are due."""
        now = self._graph.chain.runtime.now()
        if self._graph.paused:
            self._membership.caught_up(False)
        if now >= self._commit_at:
            self._commit_at = now + self._options.seconds_to_commit
            try:
                self._membership.commit()
            except (QueueError, StoreError, OSError) as error:
                if not is_transient(error):
                    raise
                keeper = self._broker.contact if isinstance(error, QueueError) else self._membership.keeper
                keeper.failed(f"committing offsets of {self._options.name}: {error}")
        self._membership.take_back()
        self._membership.pause_and_try()
        if now >= self._keepalive_at and now >= self._poll_at:
            self._poll(0, 0.0)

    def conclude(self) -> None:
        """Commit what is settled, with what the stages hold."""
        self._membership.conclude()

    def close(self) -> None:
        """Commit what is settled, if the chain was broken before it could be, and leave the group."""
        if self._consumer is not None:
            self._membership.leave()


def _unsettled(claim: Claim, run: Columns) -> list[Columns]:
    """Return the parts of a run that were not settled before reading began at the claim's position."""
    while claim.ahead and claim.ahead[0].stop <= run.first:
        del claim.ahead[0]
    if not claim.ahead:
        return [run]
    return [run[part] for part in without(run.offset_list, claim.ahead)]


def _had_room(runs: Sequence[Columns], count: int, max_bytes: int | None) -> bool:
    """Tell whether a poll would have returned more than these runs, if there was more."""
    if sum(map(len, runs)) >= count:
        return False
    return max_bytes is None or 2 * sum(run.nbytes for run in runs) <= max_bytes


def by_record(chain: Chain, claim: Claim, run: Columns, now: int) -> Sequence[Message]:
    """Return a message for each record of a run; its data is the record's value."""
    return LazyMessages(run.values, (Entry(claim, chain.number(len(run)), run.sizes, now, run),))


def by_run(chain: Chain, claim: Claim, run: Columns, now: int) -> Sequence[Message]:
    """Return one message for a run; its data is the run."""
    return [
        Message(
            run=run,
            data=run,
            nbytes=run.nbytes,
            count=len(run),
            first_seen=now,
            seq=chain.number(),
            claim=claim,
        )
    ]
