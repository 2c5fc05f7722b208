"""Between failed messages and dead letters: which may become one, and which make their partition pause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamzarr.errors import LimitExceededError, describe
from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.chain import claim_of
from streamzarr.flow.lazy import LazyMessages
from streamzarr.flow.limit import Breaker, DeadLetterLimit
from streamzarr.flow.message import Message, leaves
from streamzarr.flow.pausing import Pause


class Gate:
    """Counts, by claim, what becomes of messages. Owned by the chain's thread; never blocks.

    Letters are in a row by the order in which their messages entered the chain; for the share of letters they
    count as they come here.
    """

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._breakers: dict[Claim, Breaker] = {}
        self._pausing: list[tuple[Message, Pause]] = []

    def judge(
        self, done: Sequence[Message], failed: Sequence[Message]
    ) -> tuple[list[Message], list[tuple[Message, Pause]]]:
        """Return those of `failed` that may become letters, and those to hand back, with what pauses them."""
        if not failed:
            for claim, count in _counts(done):
                self._breaker(claim).done(count)
            return [], []
        letters: list[Message] = []
        back: list[tuple[Message, Pause]] = []
        good = [leaf for message in done if message.failure is None for leaf in leaves(message)]
        before: tuple[Claim, int] | None = None  # another piece of the same record counts no more
        for leaf in sorted([*good, *failed], key=lambda leaf: (leaf.seq, leaf.failure is not None)):
            claim = claim_of(leaf)
            if leaf.failure is None:
                self._breaker(claim).done()
            elif (why := self._pause_of(claim)) is not None:
                back.append((leaf, why))
            elif (
                not claim.ours  # nothing becomes of it
                or before == (claim, leaf.seq)
                or claim.failed(leaf.seq)
                or (why := self._refusal(claim, leaf)) is None
            ):
                letters.append(leaf)
                before = claim, leaf.seq
            else:
                self._pausing.append((leaf, why))
                back.append((leaf, why))
        return letters, back

    def let_pause(self) -> None:
        """Let partitions pause, now that what may become a letter is one: it would be delivered again.

        Raises
        ------
        streamzarr.errors.LimitExceededError
            What failed comes from no topic, which cannot pause.
        """
        pausing, self._pausing = self._pausing, []
        for message, why in pausing:
            pause(message, why)

    def _pause_of(self, claim: Claim) -> Pause | None:
        """Return why a partition pauses already, or will."""
        if claim.pause is not None:
            return claim.pause
        return next((why for other, why in self._pausing if claim_of(other) is claim), None)

    def _refusal(self, claim: Claim, leaf: Message) -> Pause | None:
        """Return why a message may not become a letter."""
        assert leaf.failure is not None
        error = leaf.failure.error
        if self._limit.is_environmental(error):
            return self._limit.pause(describe(error), strict=False)
        reason = self._breaker(claim).failed(claim.number(leaf.seq), claim.oldest)
        return None if reason is None else self._limit.pause(f"{reason}; the last error is {describe(error)}")

    def _breaker(self, claim: Claim) -> Breaker:
        found = self._breakers.get(claim)
        if found is None:
            self._breakers = {old: breaker for old, breaker in self._breakers.items() if old.ours}
            found = self._breakers[claim] = Breaker(self._limit, on_trial=claim.on_trial)
        return found


def pause(message: Message, why: Pause) -> None:
    """Have the partitions of a message pause; its source ends their claims at its next turn.

    Raises
    ------
    streamzarr.errors.LimitExceededError
        Some of it comes from no topic: nothing of that can be delivered again.
    """
    for leaf in leaves(message):
        claim = claim_of(leaf)
        if claim.partition is None:
            error = None if message.failure is None else message.failure.error
            raise LimitExceededError(
                f"{message!r} can neither be stored nor be a dead letter, and only partitions of topics can "
                f"pause: {why.reason}"
            ) from error
        if claim.pause is None:
            claim.pause = why


def _counts(messages: Sequence[Message]) -> Iterator[tuple[Claim, int]]:
    """Yield how many good messages there are of which claims."""
    if isinstance(messages, LazyMessages):
        for entry in messages.entries:
            yield entry.claim, entry.count
        return
    counts: dict[Claim, int] = {}
    for message in messages:
        if message.failure is None:
            for leaf in leaves(message) if message.parts else (message,):
                claim = claim_of(leaf)
                counts[claim] = counts.get(claim, 0) + 1
    yield from counts.items()
