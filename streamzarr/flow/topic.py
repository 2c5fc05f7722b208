"""Records of a topic as a source: a group member whose offsets follow what the chain has settled."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from reactivex import Observable

from streamzarr.errors import (
    ConfigError,
    DamagedRecordError,
    FencedError,
    OffsetOutOfRangeError,
    QueueError,
)
from streamzarr.flow.clock import MONOTONIC, Clock
from streamzarr.flow.demand import Credits, Room
from streamzarr.flow.drive import observe
from streamzarr.flow.lane import Claim, Lane
from streamzarr.flow.message import Batch, Message, new_message
from streamzarr.flow.stop import Stop
from streamzarr.queue.base import Broker, Consumer, OnGap, Record, TopicPartition
from streamzarr.queue.retry import RetryPolicy, is_transient

_log = logging.getLogger(__name__)

Rebalance: TypeAlias = Callable[[Literal["assigned", "revoked", "lost"], Sequence[TopicPartition]], None]

POLL_RETRY = RetryPolicy(attempts=12, base=0.1, factor=2.0, max_delay=5.0)
"""How long an unreachable broker is put up with, about half a minute; then the chain breaks."""


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
    on_turn: Callable[[], None] | None = None,
    clock: Clock = MONOTONIC,
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
    )
    return observe(
        lambda lane: _TopicSource(lane, broker, options), demand, stop=stop, clock=clock, on_turn=on_turn
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

    def __post_init__(self) -> None:
        if self.on_gap not in get_args(OnGap):
            raise ConfigError(f"on_gap={self.on_gap!r}, expected {' or '.join(get_args(OnGap))}")
        if not 0 < self.drain_timeout < self.session_timeout:
            raise ConfigError(
                f"drain_timeout={self.drain_timeout}, session_timeout={self.session_timeout}: expected "
                "0 < drain_timeout < session_timeout, or the partitions would be lost while they drain"
            )


class _TopicSource:
    """A :class:`streamzarr.flow.drive.Source`, and the listener of its own consumer."""

    def __init__(self, lane: Lane, broker: Broker, options: _Options) -> None:
        self.poll_timeout = options.poll_timeout
        self._lane, self._broker, self._options = lane, broker, options
        # Five signs of life in a session: one or two may be late without harm.
        self._keepalive_every = min(1.0, options.session_timeout / 5)
        self._consumer: Consumer | None = None
        self._claims: dict[TopicPartition, Claim] = {}
        # Commits that were refused, until the next poll makes clear whose the partition is.
        self._fenced: dict[TopicPartition, int] = {}
        self._commit_at = self._keepalive_at = self._poll_at = 0.0
        self._poll_failures = 0
        self._typical_bytes: float | None = None
        self._listener_error: BaseException | None = None

    def open(self) -> None:
        self._consumer = self._broker.consumer(
            [self._options.topic],
            self._options.group,
            listener=self,
            session_timeout=self._options.session_timeout,
        )

    # -- reading -----------------------------------------------------------------------------------------

    def pull(self, room: Room, timeout: float) -> list[Message]:
        pause = self._poll_at - self._lane.clock.now()
        if pause > 0:  # the broker could not be reached a moment ago
            self._lane.wait(min(pause, timeout))
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
            delay = POLL_RETRY.delay(self._poll_failures, random.random())
            if delay is None or not is_transient(error):
                raise
            self._broker.contact.failed(f"reading topic {self._options.topic!r}: {error}")
            self._poll_at = self._lane.clock.now() + delay
            records = []
        else:
            if records:
                self._broker.contact.reached()
            self._poll_failures = 0
            self._keepalive_at = self._lane.clock.now() + self._keepalive_every
        self._raise_from_listener()
        return self._read_again(records) if self._fenced else records

    def _skip(self, error: OffsetOutOfRangeError | DamagedRecordError) -> None:
        """Go on behind records that cannot be read, if that was asked for."""
        assert self._consumer is not None
        partition = TopicPartition(error.topic, error.partition)
        position = error.resume
        if self._options.on_gap == "fail":
            raise error
        _log.error("%s; group %r goes on at offset %d", error, self._options.group, position)
        self._consumer.seek({partition: position})
        claim = self._claims.get(partition)  # None: a commit was refused, and the next poll tells whose it is
        if claim is None:
            return
        if (claim.window.watermark or 0) <= position:
            claim.window.advance(position)  # what is in flight is below, and still to be settled
        else:  # the topic was made anew: offsets begin again
            self._end([partition])
            self._claims[partition] = self._lane.claim(partition, position)

    def _pass_over(self, records: Sequence[Record]) -> None:
        """Note where reading goes on in partitions that gave nothing: behind transaction markers, say.

        Only right after a poll: what earlier polls gave is in the chain by now.
        """
        assert self._consumer is not None
        gave = {record[:2] for record in records}
        for partition, position in self._consumer.positions().items():
            claim = self._claims.get(partition)
            if claim is not None and partition not in gave:
                claim.window.advance(position)

    def _read_again(self, records: list[Record]) -> list[Record]:
        """Begin again with partitions whose commit was refused, if they are ours all the same.

        The poll has just let the group speak: usually they are lost. If not, reading goes back to where the
        commit was refused. Nothing is skipped, and `records` beyond that are left for then.
        """
        assert self._consumer is not None
        ours = self._consumer.assignment()
        again = {partition: position for partition, position in self._fenced.items() if partition in ours}
        self._fenced.clear()
        if again:
            self._consumer.seek(again)
        for partition, position in again.items():
            self._claims[partition] = self._lane.claim(partition, position)
        return [record for record in records if TopicPartition(record.topic, record.partition) not in again]

    def _messages(self, records: Sequence[Record]) -> list[Message]:
        now = time.time_ns() // 1_000_000
        seq = self._lane.seq
        messages = []
        for record in records:
            claim = self._claims.get(TopicPartition(record.topic, record.partition))
            if claim is not None:  # else it was fetched before its partition was lost
                nbytes = _size_of(record)
                messages.append(new_message(record, record.value, nbytes, 0, now, None, next(seq), claim))
        if messages:
            usual = sum(message.nbytes for message in messages) / len(messages)
            before = usual if self._typical_bytes is None else self._typical_bytes
            self._typical_bytes = 0.8 * before + 0.2 * usual
        return messages

    # -- committing --------------------------------------------------------------------------------------

    def turn(self) -> None:
        now = self._lane.clock.now()
        self._broker.contact.look()
        if now >= self._commit_at:
            self._commit_at = now + self._options.commit_every
            try:
                self._commit(self._claims.values())
            except QueueError as error:
                if not is_transient(error):
                    raise
                self._broker.contact.failed(f"committing offsets of topic {self._options.topic!r}: {error}")
        if now >= self._keepalive_at and now >= self._poll_at:
            self._poll(0, 0.0)

    def _commit(self, claims: Iterable[Claim]) -> None:
        """Store the positions that have moved; claims that turn out to be fenced end."""
        moved: dict[TopicPartition, int] = {}
        for claim in claims:
            position = claim.window.watermark
            if claim.ours and claim.partition is not None and position not in (None, claim.committed):
                moved[claim.partition] = position
        if not moved:
            return
        assert self._consumer is not None
        try:
            self._consumer.commit(moved)
        except FencedError:
            for partition, position in moved.items():  # one by one, to see which
                self._commit_or_lose(partition, position)
        else:
            self._broker.contact.reached()
            for partition, position in moved.items():
                self._claims[partition].committed = position

    def _commit_or_lose(self, partition: TopicPartition, position: int) -> None:
        assert self._consumer is not None
        try:
            self._consumer.commit({partition: position})
        except FencedError as error:
            _log.warning("%s: lost to another member: %s", _name(partition), error)
            self._fenced[partition] = position
            self._end([partition])
        else:
            self._claims[partition].committed = position

    # -- rebalance: called inside poll and close -----------------------------------------------------------

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Begin a claim on each of the new partitions."""
        with self._listening():
            self._end(partitions)
            assert self._consumer is not None
            positions = self._consumer.positions()
            for partition in partitions:
                self._fenced.pop(partition, None)
                claim = self._claims[partition] = self._lane.claim(partition, positions.get(partition))
                claim.committed = claim.window.watermark  # reading begins here: there is nothing to store yet
            self._tell("assigned", partitions)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Drain the claims on these partitions and commit, within one deadline; the others go on."""
        with self._listening():
            claims = [self._claims[partition] for partition in partitions if partition in self._claims]
            remaining = self._countdown()
            self._lane.withdraw(lambda message: message.claim in claims)
            self._lane.drain(claims, remaining)
            self._commit_finally(claims, remaining)
            self._end(partitions)
            self._tell("revoked", partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """End the claims on these partitions: somebody else has them, nothing is committed."""
        with self._listening():
            self._end(partitions)
            self._tell("lost", partitions)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Keep an error of the chain until the poll is over: the consumer is not to blame for it."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised by _raise_from_listener
            self._listener_error = self._listener_error or error

    def _raise_from_listener(self) -> None:
        error, self._listener_error = self._listener_error, None
        if error is not None:
            raise error

    def _countdown(self) -> Callable[[], float]:
        """Return what tells the seconds left of one drain that begins now."""
        clock, lane = self._lane.clock, self._lane
        deadline = clock.now() + self._options.drain_timeout
        return lambda: min(lane.remaining(), max(0.0, deadline - clock.now()))

    def _end(self, partitions: Iterable[TopicPartition]) -> None:
        ended = [
            claim for partition in partitions if (claim := self._claims.pop(partition, None)) is not None
        ]
        for claim in ended:
            claim.ours = False
        if ended:
            self._lane.withdraw(lambda message: message.claim in ended)

    def _tell(
        self, what: Literal["assigned", "revoked", "lost"], partitions: Sequence[TopicPartition]
    ) -> None:
        _log.info("%s: %s", what, ", ".join(map(_name, partitions)))
        if self._options.on_rebalance is not None:
            self._options.on_rebalance(what, partitions)

    # -- the end -----------------------------------------------------------------------------------------

    def close(self) -> None:
        if self._consumer is None:
            return
        try:
            # What is settled is worth storing after the deadline of a drain as well: that is for work.
            deadline = self._lane.clock.now() + self._options.drain_timeout
            self._commit_finally(
                list(self._claims.values()), lambda: deadline - self._lane.clock.now(), insist=True
            )
        finally:
            self._consumer.close()
        self._raise_from_listener()

    def _commit_finally(
        self, claims: Sequence[Claim], remaining: Callable[[], float], *, insist: bool = False
    ) -> None:
        """Commit, again and again while the broker cannot be reached and there is time.

        When there is none left the records will be delivered again, which is logged, or raised if `insist`.
        """
        failures = 0
        while True:
            try:
                return self._commit(claims)
            except QueueError as error:
                failures += 1
                delay = POLL_RETRY.delay(failures, random.random())
                if delay is None or remaining() < delay or not is_transient(error):
                    if insist:
                        raise
                    _log.warning("offsets not committed, their records will be repeated: %s", error)
                    return None
            self._lane.clock.wait(self._lane.bell, delay)


def _size_of(record: Record) -> int:
    return (
        len(record.value or b"")
        + len(record.key or b"")
        + sum(len(name) + len(value) for name, value in record.headers)
    )


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"
