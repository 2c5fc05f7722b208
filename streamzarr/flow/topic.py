"""Records of a topic as a source: a group member whose offsets follow what the chain has settled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

from reactivex import Observable

from streamzarr.errors import (
    ConfigError,
    DamagedRecordError,
    OffsetOutOfRangeError,
    QueueError,
    StoreError,
)
from streamzarr.flow.committer import Committer
from streamzarr.flow.demand import Credits, Room
from streamzarr.flow.drive import observe
from streamzarr.flow.graph import Graph
from streamzarr.flow.membership import Membership, Rebalance
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.stop import Stop
from streamzarr.queue.base import Broker, Consumer, OnGap, Record, TopicPartition
from streamzarr.queue.retry import OUTAGE_RETRY, is_transient

_log = logging.getLogger(__name__)


def from_topic(
    broker: Broker,
    topic: str,
    *,
    group: str,
    demand: Credits,
    stop: Stop | None = None,
    commit_every: float = 0.2,
    drain_timeout: float | None = None,
    poll_timeout: float = 0.05,
    session_timeout: float = 10.0,
    on_gap: OnGap = "fail",
    on_rebalance: Rebalance | None = None,
    committer: Committer | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Join `group` and emit the records of `topic`, as many as demand allows; data is the record's value.

    Each record is delivered at least once to the group. Its offset is committed when it and all records
    before it in its partition are settled (design §8, ``OffsetWindow``).

    Parameters
    ----------
    demand
        Bounds what is in flight until ``ops.settle``.
    stop
        Drains the chain; the one given to :func:`streamzarr.flow.run` does so as well.
    commit_every
        Seconds between two commits. What was settled since the last one is delivered again after a crash.
    drain_timeout
        Seconds for work that has begun when its partition is revoked; what has not begun is handed back at
        once, other partitions go on. Half of `session_timeout` when absent.
    poll_timeout
        Longest blocking poll, seconds: how late a stop is noticed when nothing is in flight.
    session_timeout
        Seconds without a sign of life after which the broker gives our partitions to others.
    on_gap
        What to do when records are gone or damaged: ``"fail"`` breaks the chain; ``"skip"`` logs what was
        lost, as an error, and goes on behind it, for those who know elsewhere what is still to be done. A
        position beyond the end (the topic was made anew) goes on at the beginning.
    on_rebalance
        Told of each change, on the chain's thread, after the chain has dealt with it.
    committer
        Keeps the positions; the group's committed offsets when absent.
    on_turn
        Called at every turn of the chain, at least five times a second unless something blocks: a heartbeat.

    Raises
    ------
    streamzarr.errors.QueueError
        By ``on_error``: the broker refuses, or could not be reached for about half a minute.
    streamzarr.errors.OffsetOutOfRangeError, streamzarr.errors.DamagedRecordError
        By ``on_error``, at once: records that were to be read next are gone or cannot be read.

    Notes
    -----
    Threads: one thread does everything, the consumer's callbacks included. Operators that block it for longer
    than `session_timeout` lose the partitions: slow work belongs into ``ops.dispatch``.

    Rebalance: a claim is one assignment of a partition. Revoked, it drains and commits; lost, fenced or over
    its deadline, it ends: what it had delivered neither is committed nor reaches the sink any more.
    """
    options = _Options(
        topic,
        group,
        commit_every,
        session_timeout / 2 if drain_timeout is None else drain_timeout,
        poll_timeout,
        session_timeout,
        on_gap,
        on_rebalance,
        committer,
    )
    return observe(
        lambda graph: _TopicSource(graph, broker, demand, options), demand, stop=stop, on_turn=on_turn
    )


@dataclass(frozen=True, slots=True)
class _Options:
    """The parameters of :func:`from_topic` that are the source's own."""

    topic: str
    group: str
    commit_every: float
    drain_timeout: float
    poll_timeout: float
    session_timeout: float
    on_gap: OnGap
    on_rebalance: Rebalance | None
    committer: Committer | None

    def __post_init__(self) -> None:
        if self.on_gap not in get_args(OnGap):
            raise ConfigError(f"on_gap={self.on_gap!r}, expected {' or '.join(get_args(OnGap))}")
        if not 0 < self.drain_timeout < self.session_timeout:
            raise ConfigError(
                f"drain_timeout={self.drain_timeout}, session_timeout={self.session_timeout}: expected "
                "0 < drain_timeout < session_timeout, or the partitions would be lost while they drain"
            )


class _TopicSource:
    """A :class:`streamzarr.flow.drive.Source`."""

    def __init__(self, graph: Graph, broker: Broker, demand: Credits, options: _Options) -> None:
        self.poll_timeout = options.poll_timeout
        self._graph, self._broker, self._options = graph, broker, options
        self._membership = Membership(
            graph,
            broker,
            demand,
            committer=options.committer,
            drain_timeout=options.drain_timeout,
            on_rebalance=options.on_rebalance,
        )
        # Five signs of life in a session: one or two may be late without harm.
        self._keepalive_every = min(1.0, options.session_timeout / 5)
        self._consumer: Consumer | None = None
        self._commit_at = self._keepalive_at = self._poll_at = 0.0
        self._poll_failures = 0
        self._typical_bytes: float | None = None

    def open(self) -> None:
        self._consumer = self._membership.join(
            [self._options.topic], self._options.group, self._options.session_timeout
        )

    # -- reading -----------------------------------------------------------------------------------------

    def pull(self, room: Room, timeout: float) -> list[Message]:
        pause = self._poll_at - self._graph.chain.runtime.now()
        if pause > 0:  # the broker could not be reached a moment ago
            self._graph.wait(min(pause, timeout))
            return []
        count = self._count(room)
        records = self._poll(count, timeout)
        if len(records) < count:
            self._pass_over(records)
        return self._messages(records)

    def _count(self, room: Room) -> int:
        """Return how many records to ask for, so that their bytes will about fit: sizes are not known before.

        Those that do not fit wait outside the chain; the first poll asks for one, to learn what is usual.
        """
        if room.nbytes is None:
            return room.messages
        if self._typical_bytes is None:
            return 1
        return max(1, min(room.messages, int(room.nbytes / max(1.0, self._typical_bytes))))

    def _poll(self, count: int, timeout: float) -> list[Record]:
        assert self._consumer is not None
        try:
            records = self._consumer.poll(count, timeout)
        except (OffsetOutOfRangeError, DamagedRecordError) as error:
            self._skip(error)
            records = []
        except QueueError as error:
            self._poll_failures += 1
            delay = OUTAGE_RETRY.delay(self._poll_failures, self._graph.chain.runtime.random())
            if delay is None or not is_transient(error):
                raise
            self._broker.contact.failed(f"reading topic {self._options.topic!r}: {error}")
            self._poll_at = self._graph.chain.runtime.now() + delay
            records = []
        else:
            if records:
                self._broker.contact.reached()
            self._poll_failures = 0
            self._keepalive_at = self._graph.chain.runtime.now() + self._keepalive_every
        self._membership.raise_errors()
        again = self._membership.read_again()
        return [record for record in records if record[:2] not in again] if again else records

    def _skip(self, error: OffsetOutOfRangeError | DamagedRecordError) -> None:
        """Go on behind records that cannot be read, if that was asked for."""
        assert self._consumer is not None
        partition = TopicPartition(error.topic, error.partition)
        position = error.resume
        if self._options.on_gap == "fail":
            raise error
        _log.error("%s; group %r goes on at offset %d", error, self._options.group, position)
        self._consumer.seek({partition: position})
        claim = self._membership.claim(
            partition
        )  # None: a commit was refused; the next poll tells whose it is
        if claim is None:
            return
        if (claim.window.watermark or 0) <= position:
            claim.window.advance(position)  # what is in flight is below, and still to be settled
        else:  # the topic was made anew: offsets begin again
            self._membership.end([partition])
            self._membership.begin(partition, position)

    def _pass_over(self, records: Sequence[Record]) -> None:
        """Note where reading goes on in partitions that gave nothing: behind transaction markers, say.

        Only right after a poll: what earlier polls gave is in the chain by now.
        """
        assert self._consumer is not None
        gave = {record[:2] for record in records}
        for partition, position in self._consumer.positions().items():
            claim = self._membership.claim(partition)
            if claim is not None and partition not in gave:
                claim.window.advance(position)

    def _messages(self, records: Sequence[Record]) -> list[Message]:
        chain = self._graph.chain
        now = chain.runtime.wall_ns() // 1_000_000
        messages = []
        for record in records:
            claim = self._membership.claim(TopicPartition(record.topic, record.partition))
            if claim is not None:  # else it was fetched before its partition was lost
                messages.append(
                    Message(
                        record=record,
                        data=record.value,
                        nbytes=_size_of(record),
                        first_seen=now,
                        seq=chain.next_seq(),
                        claim=claim,
                    )
                )
        if messages:
            usual = sum(message.nbytes for message in messages) / len(messages)
            before = usual if self._typical_bytes is None else self._typical_bytes
            self._typical_bytes = 0.8 * before + 0.2 * usual
        return messages

    # -- turns -------------------------------------------------------------------------------------------

    def turn(self) -> None:
        now = self._graph.chain.runtime.now()
        self._broker.contact.look()
        if now >= self._commit_at:
            self._commit_at = now + self._options.commit_every
            try:
                self._membership.commit()
            except (QueueError, StoreError) as error:
                if not is_transient(error):
                    raise
                self._broker.contact.failed(f"committing offsets of topic {self._options.topic!r}: {error}")
        if now >= self._keepalive_at and now >= self._poll_at:
            self._poll(0, 0.0)

    def close(self) -> None:
        if self._consumer is not None:
            self._membership.leave()


def _size_of(record: Record) -> int:
    return (
        len(record.value or b"")
        + len(record.key or b"")
        + sum(len(name) + len(value) for name, value in record.headers)
    )
