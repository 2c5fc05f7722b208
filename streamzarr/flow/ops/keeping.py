"""The stage of ``ops.reduce(state=)``: windows are kept in a store, and so are results on their way."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from msgspec.structs import replace
from reactivex.abc import ObserverBase

from streamzarr.errors import ConfigError, LimitExceededError, StoreError, TransformError, describe
from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.chain import Chain
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.ops.each import failed
from streamzarr.flow.ops.kept import Kept
from streamzarr.flow.ops.reducing import Reducing
from streamzarr.flow.ops.timing import Timing
from streamzarr.flow.stage import Stage, Upstream
from streamzarr.flow.windows.bound import OVERHEAD
from streamzarr.flow.windows.kinds import Window
from streamzarr.flow.windows.moments import FIRST
from streamzarr.flow.windows.outbox import Sent
from streamzarr.flow.windows.reduction import Reduction
from streamzarr.flow.windows.snapshot import Snapshot, runs
from streamzarr.flow.windows.state import WindowState
from streamzarr.flow.windows.watermark import Watermarks
from streamzarr.queue.base import TopicPartition
from streamzarr.queue.retry import is_transient

_log = logging.getLogger(__name__)

MAX_OUTBOX: Final = 10_000
"""Results of all partitions that are stored and not settled, at most; others wait in their windows."""


class Keeping(Reducing):
    """Reduces as :class:`Reducing` does, and is the :class:`~streamzarr.flow.windows.state.Keeper`.

    A record that was folded is settled at once: its position is committed together with the accumulators, in
    one object, or not at all. A result is put into that object first, delivered when it is stored, and taken
    out when it was settled. Owned by the chain's thread; a turn may block for as long as the store takes.
    """

    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        reduction: Reduction,
        timing: Timing,
        marks: Watermarks,
        late: str | None,
        name: str,
        state: WindowState,
    ) -> None:
        super().__init__(chain, observer, reduction, timing, marks, late, name)
        self._state = state
        self._kept: dict[TopicPartition, Kept] = {}
        self._snapshots: dict[Claim, Snapshot] = {}  # of claims that begin
        self._closed = self._checked = False
        state.attach(self)

    # -- messages ----------------------------------------------------------------------------------------

    def _meet(self, claim: Claim) -> None:
        partition = claim.partition
        if partition is None or not self._state.owns(partition):
            where = "no topic" if partition is None else f"topic {partition.topic!r}"
            raise ConfigError(
                f"{self._name!r} with state= got a message of {where}, expected one of a topic with "
                "from_topic(..., committer=state)"
            )
        super()._meet(claim)

    def _count_in(self, claim: Claim) -> None:
        """Go on where the partition's owner before has stopped."""
        assert claim.partition is not None
        self._snapshots[claim] = snapshot = self._state.stored(claim.partition)
        self._kept[claim.partition] = Kept(claim, snapshot)
        if snapshot.newest == FIRST:  # nobody has heard of it before
            self._unheard.add(claim)
        elif snapshot.since is not None:
            self._panes.since[claim] = snapshot.since
        self._marks.open(claim, self._listened, snapshot.newest)

    def _began(self, claim: Claim) -> int | None:
        assert claim.partition is not None
        begun = self._kept[claim.partition].begun
        return claim.start if begun is None else begun

    def _open(self, claim: Claim) -> None:
        snapshot = self._snapshots.pop(claim)
        cuts = [(Window(*window), shown) for window, shown in snapshot.cuts]
        self._panes.restore(claim, snapshot.panes, snapshot.mark, self.chain.runtime.now(), cuts)

    def _new_claims(self) -> list[Claim]:
        return [
            claim
            for claim in self.chain.claims
            if claim not in self._claims and claim.partition is not None and self._state.owns(claim.partition)
        ]

    def _reduce(self, message: Message, claim: Claim, now: float) -> None:
        assert claim.partition is not None
        if message.record is None:
            raise ConfigError(
                f"{self._name!r} with state= got {message!r}, expected records, or pieces "
                "of one: those of from_topic, not of from_topic_columns"
            )
        kept = self._kept[claim.partition]
        if kept.before and kept.has(message.record.offset):
            self.chain.settle([message], skipped=True)
            return
        passed = len(self._out)
        try:
            self._state.check(message.key)
        except BaseException as error:  # noqa: BLE001 - one bad key may not make all others unwritable
            self._out.append(failed(message, error, self._name))
            kept.passed.add(message.seq)
            return
        super()._reduce(message, claim, now)
        if not self._checked and (panes := self._panes.dump(claim)):
            self._checked = True  # here one sees at once what else is found when it is stored
            self._state.check_panes(panes)
        if any(each.seq == message.seq and each.claim is claim for each in self._out[passed:]):
            kept.passed.add(message.seq)

    def _fold(self) -> None:
        if self._hold is not None:
            for message in self._folded:
                assert message.claim is not None
                assert message.claim.partition is not None
                assert message.record is not None
                self._kept[message.claim.partition].taken[message.seq] = message.record.offset
            self.chain.settle(self._folded)
            self._hold = None
            self._folded.clear()

    # -- results -----------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Move results into the outbox."""
        if not self._panes.ready:
            return
        self._fold()
        while not self._full:
            given = self._panes.take()
            if given is None:
                break
            (claim,) = given.claims
            assert isinstance(claim, Claim)
            assert claim.partition is not None
            error = None if given.error is None else describe(given.error)
            self._kept[claim.partition].outbox.put(given.result, error)

    @property
    def _full(self) -> bool:
        """True when no more results can be stored until some are settled."""
        return sum(len(kept.outbox) for kept in self._kept.values()) >= MAX_OUTBOX

    @property
    def _waiting(self) -> int:
        """Number of results that were not sent on their way."""
        return sum(kept.outbox.waiting for kept in self._kept.values())

    def _give(self) -> None:
        """Send results that are stored on their way, as many as there is room for."""
        self._fold()
        count = self._room() if any(kept.outbox.deliverable for kept in self._kept.values()) else 0
        for kept in self._kept.values():
            while count and (sent := kept.outbox.take()) is not None:
                sent.receipt.count(kept.claim, 0)  # it is ours for as long as the partition is
                self._out.append(self._message(sent, kept.claim))
                count -= 1
        super()._give()

    def _message(self, sent: Sent, claim: Claim) -> Message:
        result, error = sent.outgoing.result, sent.outgoing.error
        nbytes = self._reduction.size_of(result.value) + OVERHEAD
        message = self.chain.result(result, (sent.receipt,), nbytes, claim, key=result.key)
        return message if error is None else message.fail(TransformError(error), self._name)

    def _pending(self) -> int:
        return self._panes.ready + self._waiting

    def _ready(self) -> bool:
        return any(kept.outbox.deliverable for kept in self._kept.values())

    def finish(self) -> None:
        """Leave windows open: a topic goes on, and so will whoever owns it next."""
        self._give()

    # -- the store ---------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Store what is due, and send what is stored."""
        super().turn()
        if self._full and not self._waiting and not self.chain.in_flight:
            raise LimitExceededError(
                f"{MAX_OUTBOX} results of {self._name!r} were folded again and wait for the result that they "
                "are in, expected fewer: write them to a topic, and reduce that"
            )
        now = self.chain.runtime.now()
        for partition, kept in list(self._kept.items()):
            kept.outbox.look()
            if kept.outbox.unsaved and now >= kept.save_at:
                kept.save_at = now + self._state.every
                self._save(partition)
        self._give()

    def _save(self, partition: TopicPartition) -> None:
        try:
            self._state.save(partition)
        except StoreError as error:
            if not is_transient(error):
                raise
            _log.warning("%s; again in %.1f s", describe(error), self._state.every)

    def due(self) -> float | None:
        """Return when the next result is to be stored, or a timer runs out."""
        dues = [kept.save_at for kept in self._kept.values() if kept.outbox.unsaved]
        due = super().due()
        return min(dues if due is None else [*dues, due], default=None)

    def snapshot(self, partition: TopicPartition) -> Snapshot | None:
        """Return what is to be stored of `partition`; ``None`` while a record is only partly folded.

        Pieces of it may be on their way, or were handed back. When the stage is closed nobody can tell.
        """
        if self._closed:
            return None
        if new := self._new_claims():
            self._begin(new)
        kept = self._kept[partition]
        claim = kept.claim
        position = kept.advance(claim.position)
        kept.passed = {seq for seq in kept.passed if claim.is_out(seq)}
        if (
            kept.passed & kept.taken.keys()
            or any(map(claim.is_back, kept.taken))
            or (any(map(claim.is_out, kept.taken)) and any(map(_holds, self.above)))
        ):
            return None
        kept.outbox.look()
        return Snapshot(
            position=position,
            taken=tuple(sorted([*kept.before, *runs(kept.taken.values())])),
            newest=self._marks.newest(claim),
            mark=self._panes.mark_of(claim),
            numbered=kept.outbox.numbered,
            panes=self._panes.dump(claim),
            outbox=kept.outbox.contents,
            since=self._panes.since.get(claim),
            begun=self._began(claim),
            cuts=tuple(((window.start, window.stop), shown) for window, shown in self._panes.cuts(claim)),
        )

    def has_settled(self, partition: TopicPartition) -> bool:
        """Tell whether a result was settled that is still stored."""
        kept = self._kept.get(partition)
        if kept is None:
            return False
        kept.outbox.look()
        return kept.outbox.settled

    def without_settled(self, partition: TopicPartition, stored: Snapshot) -> Snapshot:
        """Return what is stored without the results that are settled since."""
        return replace(stored, outbox=self._kept[partition].outbox.still_open(stored.outbox))

    def stored(self, partition: TopicPartition, snapshot: Snapshot) -> None:
        """Let the results go that are stored now."""
        kept = self._kept[partition]
        kept.outbox.stored(snapshot.numbered)
        kept.save_at = self.chain.runtime.now() + self._state.every
        self.chain.bell.ring()

    def close(self, timeout: float) -> None:
        """Return what the accumulators were charged with; from here on nothing new is stored."""
        super().close(timeout)
        self._closed = True

    def abandon(self, claims: Collection[Claim]) -> None:
        """Forget what is kept of `claims`: their state is in the store, for whoever has them now."""
        super().abandon(claims)
        self._kept = {partition: kept for partition, kept in self._kept.items() if kept.claim not in claims}


def _holds(upstream: Upstream) -> bool:
    """Tell whether anything of a record may still come from `upstream`, or from above it."""
    if upstream.working:
        return True
    return isinstance(upstream, Stage) and (bool(upstream.waiting) or any(map(_holds, upstream.above)))
