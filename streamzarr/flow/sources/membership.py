"""One member of a consumer group, as a chain sees it: its claims, their commits, and rebalances."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, TypeAlias, TypeVar

from streamzarr.errors import FencedError, QueueError, StoreError
from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.chain import within
from streamzarr.flow.demand.credits import Credits
from streamzarr.flow.graph import Graph
from streamzarr.flow.message import Flush
from streamzarr.flow.pausing import PausedPartition
from streamzarr.flow.sources.committer import Committer, GroupOffsets
from streamzarr.queue import ahead
from streamzarr.queue.base import Broker, Consumer, TopicPartition
from streamzarr.queue.columns import Columns
from streamzarr.queue.outage import Contact
from streamzarr.queue.retry import OUTAGE_RETRY, is_transient, patiently

_log = logging.getLogger(__name__)
T = TypeVar("T")

Rebalance: TypeAlias = Callable[[Literal["assigned", "revoked", "lost"], Sequence[TopicPartition]], None]
OnPause: TypeAlias = Callable[[Literal["paused", "resumed"], PausedPartition], None]


class Membership:
    """The claims of one consumer; the listener of its rebalances.

    Notes
    -----
    Threads: the chain's only. The methods of a listener are called inside the consumer's ``poll`` and
    ``close``; ``on_revoked`` blocks until its claims are drained and committed, at most `drain_timeout`
    seconds.
    """

    def __init__(
        self,
        graph: Graph,
        broker: Broker,
        credits: Credits,  # noqa: A002 - the field's word; the builtin of this name is for the prompt
        *,
        committer: Committer | None,
        drain_timeout: float,
        on_rebalance: Rebalance | None,
        on_pause: OnPause | None,
        remember: bool,
    ) -> None:
        self._graph = graph
        self._broker = broker
        self._credits = credits
        self._chosen = committer
        self.keeper = _keeper_of(committer, broker)
        """Says how it stands with what keeps the positions."""
        self._drain_timeout = drain_timeout
        self._on_rebalance, self._on_pause = on_rebalance, on_pause
        self._remembers = remember and committer is None
        self._notes: dict[TopicPartition, str] = {}
        # Of partitions that pause: what is settled beyond their positions, and not read again.
        self._ahead: dict[TopicPartition, list[range]] = {}
        # Of partitions on trial: whether the record that decides is out.
        self._probing: dict[TopicPartition, bool] = {}
        self._claims: dict[TopicPartition, Claim] = {}
        # Commits that were refused, until the next poll makes clear whose the partition is.
        self._fenced: dict[TopicPartition, int] = {}
        self._error: BaseException | None = None
        self._concluded = False

    def join(
        self,
        topics: Sequence[str],
        group: str,
        *,
        session_timeout: float,
        prefetch_bytes: int | None,
        instance: str | None,
    ) -> Consumer:
        """Join the group; return the consumer, which this object listens to."""
        self.consumer = self._broker.consumer(
            topics,
            group,
            listener=self,
            session_timeout=session_timeout,
            prefetch_bytes=prefetch_bytes,
            instance=instance,
        )
        self._committer = self._chosen or GroupOffsets(self.consumer, self._notes)
        joined = getattr(self._chosen, "joined", None)
        if joined is not None:
            joined(self.consumer)
        return self.consumer

    def conclude(self) -> None:
        """Store what is settled, for the last time; raises what could not be stored."""
        self._concluded = True
        # What is settled is worth storing after the deadline of a drain as well: that is for work.
        deadline = self._graph.chain.runtime.now() + self._drain_timeout
        self._commit_finally(
            list(self._claims.values()), lambda: deadline - self._graph.chain.runtime.now(), insist=True
        )

    def leave(self) -> None:
        """Leave the group, when what is settled is stored; raises what could not be stored."""
        try:
            if not self._concluded:
                self.conclude()
        finally:
            self.consumer.close()  # revokes all that is ours
        self.raise_errors()

    # -- claims ------------------------------------------------------------------------------------------

    def claim(self, partition: TopicPartition) -> Claim | None:
        """Return the claim on `partition`; ``None``: it is not ours."""
        return self._claims.get(partition)

    def begin(self, partition: TopicPartition, position: int | None) -> Claim:
        """Begin a new claim on `partition`, at a position that is still to be stored."""
        claim = self._graph.chain.claim(self._credits, partition, position)
        claim.caught_up = False
        self._claims[partition] = claim
        if self._probing.pop(partition, False):
            self.consumer.resume([partition])
        return claim

    def end(self, partitions: Iterable[TopicPartition]) -> None:
        """End the claims on these partitions: nothing of them is settled any more."""
        ended = [
            claim for partition in partitions if (claim := self._claims.pop(partition, None)) is not None
        ]
        for claim in ended:
            claim.ours = False
        if ended:
            self._graph.withdraw(lambda message: within(ended, message))
            self._graph.abandon(ended)

    def caught_up(self, found: bool) -> None:
        """Note whether there is nothing more to read, as far as is known."""
        for claim in self._claims.values():
            claim.caught_up = found

    def read_again(self) -> Collection[TopicPartition]:
        """Begin again with partitions whose commit was refused, if they are ours all the same; return them.

        A poll has just let the group speak: usually they are lost. If not, reading goes back to where the
        commit was refused, and nothing is skipped.
        """
        ours = self.consumer.assignment()
        again = {partition: position for partition, position in self._fenced.items() if partition in ours}
        self._fenced.clear()
        if again:
            self.consumer.seek(again)
        for partition, position in again.items():
            self.begin(partition, position)
        return again

    # -- pausing -----------------------------------------------------------------------------------------

    def pause_and_try(self) -> None:
        """End claims whose partitions are to pause, and read on where that is due; called at every turn."""
        for claim in [claim for claim in self._claims.values() if claim.pause is not None]:
            self._pause(claim)
        board = self._graph.pauses
        if board.paused:
            for paused, trial in board.due(self._graph.chain.runtime.now(), self.consumer.assignment()):
                self._go_on(paused, trial=trial)
        for partition in board.trying:
            tried = self._claims.get(partition)
            if tried is None or (tried.position == tried.start and not tried.has_passed):
                continue
            if (over := board.passed(partition)) is not None:
                if self._probing.pop(partition, False):
                    self.consumer.resume([partition])
                self._tell_pause("resumed", over)

    def admitted(self, claim: Claim, runs: list[Columns]) -> list[Columns]:
        """Return what may enter of the runs of a partition: on trial a single record, which decides.

        It is hurried through what waits for more. The others are read when it has gone well.
        """
        partition = claim.partition
        if partition is None or partition not in self._probing or not runs:
            return runs
        if self._probing[partition]:
            return []
        self._probing[partition] = True
        first = runs[0][:1]
        self.consumer.seek({partition: first.stop})
        self.consumer.pause([partition])
        self._graph.send(Flush())
        return [first]

    def _pause(self, claim: Claim) -> None:
        partition, pause = claim.partition, claim.pause
        assert partition is not None
        assert pause is not None
        self._commit_finally([claim], lambda: 0.0)
        if not claim.ours:
            return  # the commit was refused: it is somebody else's
        position = claim.position  # before what was folded for it is forgotten
        if self._remembers:
            self._ahead[partition] = claim.settled_ahead()
        self._probing.pop(partition, None)
        self.consumer.pause([partition])
        self.end([partition])
        self._patiently(lambda: self._committer.ended([partition]))
        now = self._graph.chain.runtime.now()
        paused = self._graph.pauses.begin(partition, pause, position, now)
        again = "" if math.isinf(paused.next_try) else f"; tried again in {paused.next_try - now:.0f} s"
        _log.error("%s%s", paused, again)
        self._tell_pause("paused", paused)

    def _go_on(self, paused: PausedPartition, *, trial: bool) -> None:
        partition = paused.partition
        starts = dict(self._patiently(lambda: self._committer.start([partition])))
        position = starts.get(partition, paused.position)
        if position is not None:
            self.consumer.seek({partition: position})
        self.consumer.resume([partition])
        claim = self.begin(partition, position)
        claim.on_trial = trial and paused.strict
        if trial:
            self._probing[partition] = False
        ahead = self._ahead.pop(partition, [])
        if position == paused.position:
            claim.ahead = ahead
        if not trial:
            self._tell_pause("resumed", paused)

    def _tell_pause(self, what: Literal["paused", "resumed"], paused: PausedPartition) -> None:
        if what == "resumed":
            seconds = self._graph.chain.runtime.now() - paused.since
            _log.warning("%s goes on, after %.0f s", _name(paused.partition), seconds)
        if self._on_pause is not None:
            self._on_pause(what, paused)

    def _forget_pauses(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget that partitions which are ours no more have paused: with the next owner they begin anew."""
        if not self._concluded:  # else they are told of in the report
            pausing = {each.partition for each in self._graph.pauses.paused}
            pausing |= {partition for partition, out in self._probing.items() if out}
            self.consumer.resume([partition for partition in partitions if partition in pausing])
            self._graph.pauses.forget(partitions)
            for partition in partitions:
                self._ahead.pop(partition, None)
                self._probing.pop(partition, None)

    # -- committing --------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Store the positions that have moved; claims that turn out to be fenced end."""
        self._commit(self._claims.values())

    def _commit(self, claims: Iterable[Claim], *, unmoved: bool = False) -> None:
        moved: dict[TopicPartition, int] = {}
        for claim in claims:
            if claim.ours and claim.partition is not None:
                position = claim.position
                note = self._note(claim)
                if position is not None and (unmoved or (position, note) != (claim.committed, claim.note)):
                    moved[claim.partition] = position
                    self._notes[claim.partition] = note
        if not moved:
            return
        try:
            self._committer.commit(moved)
        except FencedError:
            if self._chosen is not None:
                raise  # the group still counts us in: going on would be a tug of war with the other owner
            for partition, position in moved.items():  # one by one, to see which
                self._commit_or_lose(partition, position)
        else:
            if self._is_an_answer:
                self.keeper.reached()
            for partition, position in moved.items():
                self._stored(partition, position)

    @property
    def _is_an_answer(self) -> bool:
        """Whether a commit that went well says that its keeper is there, and nobody else tells of it."""
        if self._chosen is None:
            return self.consumer.asks
        return not hasattr(self._chosen, "contact")

    def _note(self, claim: Claim) -> str:
        """Return what is to be kept with the position of `claim`: which records beyond it are settled."""
        position = claim.position
        if not self._remembers or position is None:
            return ""
        return ahead.encode(position, claim.settled_ahead())

    def _stored(self, partition: TopicPartition, position: int) -> None:
        claim = self._claims[partition]
        claim.committed, claim.note = position, self._notes.get(partition, "")

    def _commit_or_lose(self, partition: TopicPartition, position: int) -> None:
        try:
            self._committer.commit({partition: position})
        except FencedError as error:
            _log.warning("%s: lost to another member: %s", _name(partition), error)
            self._fenced[partition] = position
            self.end([partition])
        else:
            self._stored(partition, position)

    def _commit_finally(
        self, claims: Sequence[Claim], remaining: Callable[[], float], *, insist: bool = False
    ) -> None:
        """Commit, again and again while what keeps the positions cannot be reached and there is time.

        When there is none left the records will be delivered again, which is logged, or raised if `insist`.
        """
        failures = 0
        chain = self._graph.chain
        while True:
            try:
                # Whoever keeps more than positions has a last chance to do so.
                return self._commit(claims, unmoved=self._chosen is not None)
            except (QueueError, StoreError, OSError) as error:
                failures += 1
                delay = OUTAGE_RETRY.delay(failures, chain.runtime.random())
                if delay is None or remaining() < delay or not is_transient(error):
                    if insist:
                        raise
                    _log.warning("offsets not committed, their records will be repeated: %s", error)
                    return None
            chain.bell.wait(delay)

    # -- rebalance: called inside poll and close -----------------------------------------------------------

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Begin a claim on each of the new partitions."""
        with self._listening():
            self._begin_all(partitions)
            self._tell("assigned", partitions)

    def take_back(self) -> None:
        """Begin again with partitions that the committer took for another's; called at every turn."""
        asked = getattr(self._chosen, "take_back", None)
        partitions = [] if asked is None else [each for each in asked() if each in self._claims]
        if partitions:
            _log.warning("taken back from who took them over: %s", ", ".join(map(_name, partitions)))
            self._begin_all(partitions)

    def _begin_all(self, partitions: Sequence[TopicPartition]) -> None:
        self.end(partitions)
        try:
            starts = dict(
                patiently(
                    lambda: self._committer.start(partitions),
                    self._graph.chain.runtime,
                    stopping=lambda: self._graph.stopping,
                )
            )
        except (QueueError, StoreError, OSError) as error:
            if not (self._graph.stopping and is_transient(error)):
                raise
            # Without a claim nothing of them is delivered, and there is nothing to settle.
            _log.info("not begun, as the chain stops: %s: %s", ", ".join(map(_name, partitions)), error)
            return
        if starts:
            self.consumer.seek(starts)
        positions = {**self.consumer.positions(), **starts}
        notes = self.consumer.notes() if self._remembers else {}
        ends: dict[str, Mapping[int, int]] = {}
        for partition in partitions:
            self._fenced.pop(partition, None)
            claim = self.begin(partition, positions.get(partition))
            claim.committed = claim.position  # reading begins here: there is nothing to store yet
            claim.note = notes.get(partition, "")
            if claim.position is not None:
                claim.ahead = self._held(partition, ahead.decode(claim.position, claim.note), ends)

    def _held(
        self, partition: TopicPartition, done: list[range], ends: dict[str, Mapping[int, int]]
    ) -> list[range]:
        """Return what is `done`, if the partition holds all of it; `ends` of topics are asked for once.

        When a cluster loses the last records of a log, others are written under their offsets.
        """
        topic, number = partition
        if not done:
            return []
        if topic not in ends:
            ends[topic] = self._patiently(lambda: self._broker.describe(topic)).end
        end = ends[topic].get(number, 0)
        if done[-1].stop <= end:
            return done
        _log.error(
            "%s ends at offset %d, but records up to %d were settled: the cluster has lost some; what was "
            "settled beyond the committed position is done again",
            *(_name(partition), end, done[-1].stop),
        )
        return []

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Drain the claims on these partitions and commit, within one deadline; the others go on."""
        with self._listening():
            claims = [self._claims[partition] for partition in partitions if partition in self._claims]
            remaining = self._countdown()
            self._graph.withdraw(lambda message: within(claims, message))
            self._graph.drain(claims, remaining)
            self._commit_finally(claims, remaining)
            self.end(partitions)
            self._forget_pauses(partitions)
            self._patiently(lambda: self._committer.ended(partitions))
            self._tell("revoked", partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """End the claims on these partitions: somebody else has them, nothing is committed."""
        with self._listening():
            self.end(partitions)
            self._forget_pauses(partitions)
            self._patiently(lambda: self._committer.ended(partitions))
            self._tell("lost", partitions)

    def raise_errors(self) -> None:
        """Raise what the chain raised inside a poll: the consumer is not to blame for it."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Return what the committer says, asked again while what it keeps positions in is away."""
        return patiently(ask, self._graph.chain.runtime)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised by raise_errors
            self._error = self._error or error

    def _countdown(self) -> Callable[[], float]:
        """Return what tells the seconds left of one drain that begins now."""
        runtime, graph = self._graph.chain.runtime, self._graph
        deadline = runtime.now() + self._drain_timeout
        return lambda: min(graph.remaining(), max(0.0, deadline - runtime.now()))

    def _tell(
        self, what: Literal["assigned", "revoked", "lost"], partitions: Sequence[TopicPartition]
    ) -> None:
        _log.info("%s: %s", what, ", ".join(map(_name, partitions)))
        if self._on_rebalance is not None:
            self._on_rebalance(what, partitions)


def _keeper_of(committer: Committer | None, broker: Broker) -> Contact:
    if committer is None:
        return broker.contact
    own = getattr(committer, "contact", None)
    return own if isinstance(own, Contact) else Contact("what keeps the positions", broker.runtime)


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"
