"""What the stages of one running chain share: its runtime, its bell, and the account of what is in flight."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from streamzarr.errors import ConfigError
from streamzarr.flow.acknowledge import Claim, Hold
from streamzarr.flow.delivery import Delivery, Fate, Released, seqs_follow
from streamzarr.flow.demand.credits import Credits
from streamzarr.flow.lazy import LazyMessages
from streamzarr.flow.message import Message, leaves
from streamzarr.queue.base import TopicPartition
from streamzarr.runtime import SYSTEM, Runtime

_claim, _count, _failure, _holds, _nbytes, _parts, _seq = map(
    attrgetter, ("claim", "count", "failure", "holds", "nbytes", "parts", "seq")
)  # many times as fast as a generator over thousands of messages


@dataclass(slots=True)
class Tally:
    """What became of the records of a chain.

    ``delivered`` is the sum of all others and of what is in flight.
    """

    delivered: int = 0
    ok: int = 0
    failed: int = 0
    """Settled with a failure; where they went is the sink's affair."""
    skipped: int = 0
    held: int = 0
    """Folded into accumulators whose results are not settled."""
    handed_back: int = 0
    """Not settled: their work had not begun, or their partition was lost. They will be delivered again."""
    left: int = 0
    """Not settled: their work had begun and did not end in time. They will be delivered again."""

    def enter(self, outcome: Fate, records: int) -> None:
        """Count `records` under what became of them."""
        match outcome:
            case Fate.OK:
                self.ok += records
            case Fate.FAILED:
                self.failed += records
            case Fate.SKIPPED:
                self.skipped += records
            case Fate.FOLDED:
                self.held += records
            case Fate.HANDED_BACK:
                self.handed_back += records


class Chain:
    """The context of one running chain: runtime, bell, and who is owed what.

    Notes
    -----
    Threads: owned by the one thread that drives the chain; nothing blocks. Other threads may only ring
    :attr:`bell`.
    """

    def __init__(self, runtime: Runtime = SYSTEM) -> None:
        self.runtime = runtime
        self.bell = runtime.bell()
        """Rung by whoever has something for the chain's thread to do."""
        self.tally = Tally()
        self._next_seq = 1
        self._epochs = itertools.count(1)
        self._claims: list[Claim] = []
        self._results: dict[Claim, Claim] = {}  # of what was made of accumulators, by the claim it is for

    # -- entering ----------------------------------------------------------------------------------------

    def claim(
        self,
        credits: Credits,  # noqa: A002 - the field's word; the builtin of this name is for the prompt
        partition: TopicPartition | None = None,
        start: int | None = None,
    ) -> Claim:
        """Return a new claim, to admit messages under; `start` is a position that is still to be stored."""
        for over in [claim for claim, results in self._results.items() if not (claim.ours or results.open)]:
            self._results.pop(over).ours = False
        self._claims = [claim for claim in self._claims if claim.ours or claim.open or claim.parked]
        claim = Claim(partition, start, credits, next(self._epochs))
        self._claims.append(claim)
        return claim

    @property
    def claims(self) -> list[Claim]:
        """Those that are ours: of partitions, of other sources, and of results."""
        return [claim for claim in self._claims if claim.ours]

    def number(self, count: int = 1) -> int:
        """Return the first of `count` sequence numbers for new messages."""
        first = self._next_seq
        self._next_seq += count
        return first

    def admit(
        self,
        waiting: Sequence[Message],
        credits: Credits,  # noqa: A002
    ) -> tuple[Sequence[Message], Sequence[Message]]:
        """Let messages from the front of `waiting` enter the chain, as many as credit allows.

        Returns them, and those that wait on. Those whose claim has ended in the meantime are forgotten: they
        were never delivered.
        """
        if isinstance(waiting, LazyMessages):
            return self._admit_entries(waiting, credits)
        if not all(claim.ours for claim in set(map(claim_of, waiting))):
            waiting = [message for message in waiting if claim_of(message).ours]
        sizes = list(map(_nbytes, waiting))
        counts = list(map(_count, waiting))
        plain = set(counts) <= {1}
        admitted = credits.take(sizes, None if plain else counts)
        messages = waiting[:admitted]
        start = 0
        for claim, group in groupby(messages, key=_claim):
            together = list(group)
            stop = start + len(together)
            offsets, end = _offsets_of(claim, together)
            entered = Delivery(
                together[0].seq, sizes[start:stop], None if plain else counts[start:stop], offsets
            )
            claim.deliver(entered, end)
            start = stop
        self.tally.delivered += sum(counts[:admitted])
        return messages, waiting[admitted:]

    def _admit_entries(
        self,
        waiting: LazyMessages,
        credits: Credits,  # noqa: A002
    ) -> tuple[Sequence[Message], Sequence[Message]]:
        waiting = waiting.under(lambda claim: claim.ours)
        admitted = credits.take(waiting.sizes)
        messages = waiting.cut(0, admitted)
        for entry in messages.entries:
            run, sizes = entry.run, list(entry.sizes)
            if run is None:
                entry.claim.deliver(Delivery(entry.seq, sizes))
            else:
                entry.claim.deliver(Delivery(entry.seq, sizes, None, run.offset_list), run.stop)
        self.tally.delivered += admitted
        return messages, waiting[admitted:]

    # -- on the way --------------------------------------------------------------------------------------

    def split(self, message: Message, datas: Sequence[Any]) -> tuple[Message, ...]:
        """Return pieces of `message`, one for each of `datas`; its records are done when all of them are.

        They share its bytes. Without any the message is settled, as skipped.
        """
        if not datas:
            self.settle([message], skipped=True)
            return ()
        if len(datas) > 1:
            for leaf in leaves(message):
                claim_of(leaf).split(leaf.seq, len(datas))
        share, rest = divmod(message.nbytes, len(datas))
        pieces = [message.replace(data=data, nbytes=share) for data in datas]
        pieces[0] = pieces[0].replace(nbytes=share + rest)
        return tuple(pieces)

    def is_whole(self, message: Message) -> bool:
        """Tell whether `message` was neither split nor combined."""
        return not message.parts and not claim_of(message).is_split(message.seq)

    def divide(self, message: Message, at: int) -> tuple[Message, Message]:
        """Return two messages for one that stands for a run: its first `at` records, and the others.

        Unlike pieces, each has a fate of its own; their data are the runs. They share its bytes.
        """
        assert message.run is not None
        halves = message.run[:at], message.run[at:]
        seqs = self.number(), self.number()
        # Shares of what it counts for, which ops.charge() may have set.
        part, whole = (halves[0].nbytes, message.run.nbytes) if message.run.nbytes else (at, message.count)
        share = message.nbytes * part // whole
        sizes = (share, message.nbytes - share)
        claim_of(message).divide(message.seq, seqs[0], [len(run) for run in halves], list(sizes))
        first, second = (
            message.replace(seq=seq, run=run, data=run, nbytes=nbytes, count=len(run))
            for seq, run, nbytes in zip(seqs, halves, sizes, strict=True)
        )
        return first, second

    def combine(self, messages: Sequence[Message], data: Any) -> Message:
        """Return one message for several: it settles them all, and their credit returns then."""
        return Message(
            data=data,
            nbytes=sum(map(_nbytes, messages)),
            count=sum(map(_count, messages)),
            first_seen=min([message.first_seen for message in messages]),
            key=messages[0].key,
            parts=tuple(messages),
        )

    def fold(self, messages: Iterable[Message], hold: Hold) -> None:
        """Note that the data of `messages` are in an accumulator: credit returns, `hold` keeps the positions.

        The accumulator's own bytes are to be charged instead (:meth:`charge`).
        """
        self._release(messages, Fate.FOLDED, hold)

    def charge(self, claim: Claim, nbytes: int) -> None:
        """Charge `nbytes` more (or fewer) to the credits of `claim`."""
        if nbytes:
            claim.credits.charge(nbytes)

    def resize(self, message: Message, nbytes: int) -> Message:
        """Return `message` charged with other bytes, such as those of its decoded data."""
        leaf = next(leaves(message))
        claim = claim_of(leaf)
        claim.grow(leaf.seq, nbytes - message.nbytes)
        self.charge(claim, nbytes - message.nbytes)
        return message.replace(nbytes=nbytes)

    def result(
        self, data: Any, holds: Sequence[Hold], nbytes: int, claim: Claim, *, key: Any = None
    ) -> Message:
        """Return a message that was made of accumulators, charged with `nbytes` to the credits of `claim`.

        When it is settled the holds are released, and their records have its fate.
        """
        results = self._results.get(claim)
        if results is None:
            results = self._results[claim] = self.claim(claim.credits)
        seq = self.number()
        results.deliver(Delivery(seq, [nbytes], [0]))
        self.charge(claim, nbytes)
        first_seen = self.runtime.wall_ns() // 1_000_000
        return Message(
            data=data,
            nbytes=nbytes,
            count=0,
            first_seen=first_seen,
            key=key,
            seq=seq,
            claim=results,
            holds=tuple(holds),
        )

    def parkable(self, message: Message) -> int | None:
        """Return the bytes that `message` counts for, if it is one whole record, which may be parked."""
        if message.claim is None or message.count != 1 or message.holds or message.run is not None:
            return None
        return message.claim.whole(message.seq)

    def park(self, message: Message, nbytes: int) -> None:
        """Note that a message which is parkable leaves memory, to come back: its credit returns, no more."""
        claim = claim_of(message)
        claim.park(message.seq)
        claim.credits.settle(1, nbytes)

    def unpark(self, message: Message, nbytes: int, *, forced: bool = False) -> bool:
        """Take credit for a parked message that comes back; false: there is none now.

        With `forced` it comes back all the same, and the next new one waits for longer.
        """
        claim = claim_of(message)
        if forced:
            claim.credits.charge(nbytes, records=1)
        elif not claim.credits.take([nbytes]):
            return False
        claim.unpark(message.seq, nbytes)
        return True

    def forget_parked(self, claim: Claim, count: int) -> None:
        """Note that `count` parked messages of `claim` do not come back: they will be delivered again."""
        claim.parked -= count
        self.tally.handed_back += count

    # -- leaving -----------------------------------------------------------------------------------------

    def settle(self, messages: Iterable[Message], *, skipped: bool = False) -> None:
        """Acknowledge `messages` and return their credit. For good: nothing is delivered again.

        Messages whose partition is not ours any more only return their credit; the new owner has them.
        """
        self._release(messages, Fate.SKIPPED if skipped else None)

    def hand_back(self, messages: Iterable[Message]) -> None:
        """Return the credit of `messages` without acknowledging them: they will be delivered again."""
        self._release(messages, Fate.HANDED_BACK)

    def release(self, holds: Iterable[Hold], outcome: Fate) -> None:
        """Release accumulators without a result: kept elsewhere (OK), or forgotten (HANDED_BACK)."""
        for hold in holds:
            self._enter(hold.release(outcome))

    def forget(self, holds: Iterable[Hold], claims: Collection[Claim]) -> None:
        """Note that accumulators have forgotten what was folded for `claims`, which have ended."""
        for hold in holds:
            self._enter(hold.forget(claims))

    def owns(self, message: Message) -> bool:
        """Tell whether anything of `message` is still ours to settle."""
        return any(
            claim_of(leaf).ours and (not leaf.holds or any(hold.ours for hold in leaf.holds))
            for leaf in leaves(message)
        )

    def owned(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages of which anything is still ours to settle."""
        if isinstance(messages, LazyMessages):
            return messages.under(lambda claim: claim.ours)
        claims = set(map(_claim, messages))
        if all(claim is not None and claim.ours for claim in claims) and not any(map(_holds, messages)):
            return messages
        return [message for message in messages if self.owns(message)]

    def _release(self, messages: Iterable[Message], outcome: Fate | None, hold: Hold | None = None) -> None:
        returned: dict[Credits, tuple[int, int]] = {}

        def enter(claim: Claim, released: Released) -> None:
            self.tally.enter(released.fate, released.records)
            records, nbytes = returned.get(claim.credits, (0, 0))
            returned[claim.credits] = (records + released.records, nbytes + released.nbytes)

        try:
            if isinstance(messages, LazyMessages) and messages.is_whole:
                self._release_entries(messages, Fate.OK if outcome is None else outcome, hold, enter)
                return
            messages = messages if isinstance(messages, (list, tuple)) else list(messages)
            if (fate := _common_fate(messages, outcome)) is not None:
                for stretch in _stretches(messages):
                    self._release_runs(stretch, fate, hold, enter)
            else:
                self._release_each(messages, outcome, hold, enter)
        finally:
            for credits, (records, nbytes) in returned.items():  # noqa: A001
                credits.settle(records, nbytes)

    def _release_entries(
        self,
        messages: LazyMessages,
        outcome: Fate,
        hold: Hold | None,
        enter: Callable[[Claim, Released], None],
    ) -> None:
        """Release messages that nobody has looked at: an entry at a time, each is of one delivery."""
        for entry in messages.entries:
            _, released = entry.claim.release_run(entry.seq, entry.count, outcome, hold)
            enter(entry.claim, released)

    def _release_runs(
        self,
        messages: Sequence[Message],
        outcome: Fate,
        hold: Hold | None,
        enter: Callable[[Claim, Released], None],
    ) -> None:
        """Release messages whose sequence numbers follow on one another, a delivery at a time."""
        done = 0
        while done < len(messages):
            claim = claim_of(messages[done])
            if claim.has_pieces:
                self._release_each(messages[done:], outcome, hold, enter)
                return
            taken, released = claim.release_run(messages[done].seq, len(messages) - done, outcome, hold)
            enter(claim, released)
            done += taken

    def _release_each(
        self,
        messages: Sequence[Message],
        outcome: Fate | None,
        hold: Hold | None,
        enter: Callable[[Claim, Released], None],
    ) -> None:
        for message in messages:
            for leaf in leaves(message):
                claim = claim_of(leaf)
                fate = outcome
                if fate is None:
                    fate = Fate.OK if leaf.failure is None else Fate.FAILED
                released = claim.release(leaf.seq, fate, hold)
                if leaf.holds:
                    self._pass_on(leaf.holds, hold, released)
                if released is not None:
                    enter(claim, released)

    def _pass_on(self, holds: Sequence[Hold], hold: Hold | None, released: Released | None) -> None:
        """Deal with the holds of a result that has left: folded again, or, with its last piece, released."""
        for owed in holds:
            if hold is not None:
                hold.keep_as(owed)
            if released is not None:
                if hold is not None and released.fate is Fate.FOLDED:
                    hold.absorb(owed)
                else:
                    self._enter(owed.release(released.fate))

    def _enter(self, fates: Sequence[Released]) -> None:
        for fate in fates:
            self.tally.held -= fate.records
            self.tally.enter(fate.fate, fate.records)

    # -- the end -----------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Records, and results, of this chain that are delivered and not settled."""
        return sum(claim.open for claim in self._claims)

    def is_open(self, claims: Collection[Claim] | None = None) -> bool:
        """Tell whether anything of `claims` (``None``: of any), or a result of theirs, is in flight."""
        if claims is None:
            return any(claim.open for claim in self._claims)
        return any(map(self._is_open, claims))

    def _is_open(self, claim: Claim) -> bool:
        results = self._results.get(claim)
        return claim.open > 0 or (results is not None and self._is_open(results))

    def close(self) -> None:
        """Return all credit; what is still in flight counts as left behind."""
        for claim in self._claims:
            self.tally.left += claim.parked
            claim.parked = 0
            if claim.open:
                records, nbytes = claim.end()
                self.tally.left += records
                claim.credits.settle(records, nbytes)


def claim_of(message: Message) -> Claim:
    """Return the claim of a message that was not combined.

    Raises
    ------
    streamzarr.errors.ConfigError
        It was made by hand.
    """
    if message.claim is None:
        raise ConfigError(f"{message!r} was made by hand: operators may only change messages they were given")
    return message.claim


def within(claims: Collection[Claim], message: Message) -> bool:
    """Tell whether all of `message` belongs to `claims`: what it was combined of, and what it was made of.

    Of what belongs to others as well nothing may be handed back: nobody would deliver it again.
    """
    return all(
        all(hold.within(claims) for hold in leaf.holds) if leaf.holds else leaf.claim in claims
        for leaf in leaves(message)
    )


def _offsets_of(claim: Claim, messages: Sequence[Message]) -> tuple[list[int] | None, int | None]:
    """Return the first offset of each message, and the one behind the last record of the last."""
    if claim.partition is None:
        return None, None
    last = messages[-1]
    try:
        if last.run is None:
            offsets = [message.record.offset for message in messages]  # type: ignore[union-attr]
            return offsets, offsets[-1] + 1
        return [message.run.first for message in messages], last.run.stop  # type: ignore[union-attr]
    except AttributeError:
        raise ConfigError(f"messages without a record, expected those of {claim.partition}") from None


def _common_fate(messages: Sequence[Message], outcome: Fate | None) -> Fate | None:
    """Return what becomes of all of `messages`, if they can be released by runs; ``None``: one by one."""
    if any(map(_parts, messages)) or any(map(_holds, messages)):
        return None
    if outcome is not None:
        return outcome
    return None if any(map(_failure, messages)) else Fate.OK


def _stretches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Yield messages that follow on one another together, which costs a tenth, in any order."""
    seqs = list(map(_seq, messages))
    if seqs_follow(seqs):
        yield messages
        return
    messages = sorted(messages, key=_seq)
    seqs.sort()
    start = 0
    for stop in range(1, len(seqs) + 1):
        if stop == len(seqs) or seqs[stop] != seqs[stop - 1] + 1:
            yield messages[start:stop]
            start = stop
