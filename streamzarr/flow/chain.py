"""What the stages of one running chain share: its runtime, its bell, and the account of what is in flight."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from streamzarr.errors import ConfigError
from streamzarr.flow.acknowledge import Claim, Hold, Outcome, Released
from streamzarr.flow.demand import Credits
from streamzarr.flow.message import Message, leaves
from streamzarr.queue.base import TopicPartition
from streamzarr.runtime import SYSTEM, Runtime


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

    def enter(self, outcome: Outcome, records: int) -> None:
        """Count `records` under what became of them."""
        match outcome:
            case Outcome.OK:
                self.ok += records
            case Outcome.FAILED:
                self.failed += records
            case Outcome.SKIPPED:
                self.skipped += records
            case Outcome.FOLDED:
                self.held += records
            case Outcome.HANDED_BACK:
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
        self._seq = itertools.count(1)
        self._epochs = itertools.count(1)
        self._claims: list[Claim] = []
        self._results: dict[Credits, Claim] = {}

    # -- entering ----------------------------------------------------------------------------------------

    def claim(
        self,
        credits: Credits,  # noqa: A002 - the field's word; the builtin of this name is for the prompt
        partition: TopicPartition | None = None,
        start: int | None = None,
    ) -> Claim:
        """Return a new claim, to admit messages under; `start` is a position that is still to be stored."""
        self._claims = [claim for claim in self._claims if claim.ours or claim.open]
        claim = Claim(partition, start, credits, next(self._epochs))
        self._claims.append(claim)
        return claim

    def next_seq(self) -> int:
        """Return a sequence number for a new message."""
        return next(self._seq)

    def admit(self, waiting: list[Message], credits: Credits) -> tuple[Message, ...]:  # noqa: A002
        """Move messages from the front of `waiting` into the chain, as many as credit allows.

        Those whose claim has ended in the meantime are forgotten: they were never delivered.
        """
        waiting[:] = [message for message in waiting if claim_of(message).ours]
        counts = [message.count for message in waiting] if any(m.count != 1 for m in waiting) else None
        admitted = credits.take([message.nbytes for message in waiting], counts)
        messages = tuple(waiting[:admitted])
        del waiting[:admitted]
        for message in messages:
            first, stop = _run_of(message)
            claim_of(message).deliver(message.seq, message.count, message.nbytes, first, stop)
            self.tally.delivered += message.count
        return messages

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

    def combine(self, messages: Sequence[Message], data: Any) -> Message:
        """Return one message for several: it settles them all, and their credit returns then."""
        return Message(
            data=data,
            nbytes=sum(message.nbytes for message in messages),
            count=sum(message.count for message in messages),
            first_seen=min(message.first_seen for message in messages),
            key=messages[0].key,
            parts=tuple(messages),
        )

    def fold(self, messages: Iterable[Message], hold: Hold) -> None:
        """Note that the data of `messages` are in an accumulator: credit returns, `hold` keeps the positions.

        The accumulator's own bytes are to be charged instead (:meth:`charge`).
        """
        self._release(messages, Outcome.FOLDED, hold)

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
        results = self._results.get(claim.credits)
        if results is None:
            results = self._results[claim.credits] = self.claim(claim.credits)
        seq = self.next_seq()
        results.deliver(seq, 0, nbytes)
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

    # -- leaving -----------------------------------------------------------------------------------------

    def settle(self, messages: Iterable[Message], *, skipped: bool = False) -> None:
        """Acknowledge `messages` and return their credit. For good: nothing is delivered again.

        Messages whose partition is not ours any more only return their credit; the new owner has them.
        """
        self._release(messages, Outcome.SKIPPED if skipped else None)

    def hand_back(self, messages: Iterable[Message]) -> None:
        """Return the credit of `messages` without acknowledging them: they will be delivered again."""
        self._release(messages, Outcome.HANDED_BACK)

    def release(self, holds: Iterable[Hold], outcome: Outcome) -> None:
        """Release accumulators without a result: kept elsewhere (OK), or forgotten (HANDED_BACK)."""
        for hold in holds:
            self._enter(hold.release(outcome))

    def owns(self, message: Message) -> bool:
        """Tell whether anything of `message` is still ours to settle."""
        return any(claim_of(leaf).ours and all(hold.ours for hold in leaf.holds) for leaf in leaves(message))

    def _release(
        self, messages: Iterable[Message], outcome: Outcome | None, hold: Hold | None = None
    ) -> None:
        returned: dict[Credits, tuple[int, int]] = {}
        try:
            for message in messages:
                for leaf in leaves(message) if message.parts else (message,):
                    claim = claim_of(leaf)
                    fate = outcome
                    if fate is None:
                        fate = Outcome.OK if leaf.failure is None else Outcome.FAILED
                    released = claim.release(leaf.seq, fate, hold)
                    if leaf.holds:
                        self._pass_on(leaf.holds, hold, released)
                    if released is not None:
                        self.tally.enter(released.outcome, released.records)
                        count, nbytes = returned.get(claim.credits, (0, 0))
                        returned[claim.credits] = (count + released.records, nbytes + released.nbytes)
        finally:
            for credits, (count, nbytes) in returned.items():  # noqa: A001
                credits.settle(count, nbytes)

    def _pass_on(self, holds: Sequence[Hold], hold: Hold | None, released: Released | None) -> None:
        """Deal with the holds of a result that has left: folded again, or, with its last piece, released."""
        for owed in holds:
            if hold is not None:
                hold.keep_as(owed)
            if released is not None:
                if hold is not None and released.outcome is Outcome.FOLDED:
                    hold.absorb(owed)
                else:
                    self._enter(owed.release(released.outcome))

    def _enter(self, fates: Sequence[Released]) -> None:
        for fate in fates:
            self.tally.held -= fate.records
            self.tally.enter(fate.outcome, fate.records)

    # -- the end -----------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Records, and results, of this chain that are delivered and not settled."""
        return sum(len(claim.open) for claim in self._claims)

    def is_open(self, claims: Collection[Claim] | None = None) -> bool:
        """Tell whether anything of `claims` (``None``: of any) is in flight."""
        return any(claim.open for claim in (self._claims if claims is None else claims))

    def close(self) -> None:
        """Return all credit; what is still in flight counts as left behind."""
        for claim in self._claims:
            left = claim.end()
            if left:
                self.tally.left += sum(released.records for released in left)
                claim.credits.settle(
                    sum(released.records for released in left), sum(released.nbytes for released in left)
                )


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


def _run_of(message: Message) -> tuple[int | None, int | None]:
    """Return the offsets that a message stands for: the first, and the one behind the last."""
    record = message.record
    if record is not None:
        return record.offset, None
    if message.count == 1:
        return None, None
    return message.data.first, message.data.stop
