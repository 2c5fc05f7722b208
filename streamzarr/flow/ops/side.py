"""One of the two streams of a join: how far its event time has come, and what a crash would bring again."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Hashable
from typing import Any

from streamzarr.errors import LateError
from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.chain import Chain, claim_of
from streamzarr.flow.message import Message, leaves, timestamp_of
from streamzarr.flow.windows.moments import moment
from streamzarr.flow.windows.watermark import Watermarks

LONGEST_SILENCE = 1.0
"""Seconds without a turn that count as silence of the partitions, at most: a chain that was busy in a sink
has not listened."""


class Side:
    """What is known of one stream from its messages and claims. Owned by the chain's thread.

    Parameters
    ----------
    by, time
        Key and event time of a message's data; without `time` its record's timestamp counts.
    make_marks
        Makes its watermark, by claim.
    comes_again
        Keep in mind what a crash would bring again (:attr:`again`).
    """

    def __init__(
        self,
        chain: Chain,
        by: Callable[[Any], Hashable],
        time: Callable[[Any], Any] | None,
        make_marks: Callable[[], Watermarks],
        *,
        comes_again: bool = False,
    ) -> None:
        self._comes_again = comes_again
        self._chain, self._by, self._time = chain, by, time
        self._make_marks, self._marks = make_marks, make_marks()
        self._claims: set[Claim] = set()
        self._topics: set[str] = set()
        self._partitions: set[int] = set()
        self.changes = 0
        """How often partitions have come or gone."""
        self._listened = 0.0  # seconds, without those of long turns
        self._turned = chain.runtime.now()
        self._again: dict[Claim, deque[tuple[int, int]]] = {}

    def place(self, message: Message) -> tuple[Hashable, int]:
        """Return key and event time of `message`, and take them into account.

        Raises
        ------
        streamzarr.errors.LateError
            It is older than the watermark.
        BaseException
            What the user's functions raise.
        """
        key = self._by(message.data)
        hash(key)
        at = self._moment(message)
        for leaf in leaves(message):
            claim = claim_of(leaf)
            if claim not in self._claims:
                self._begin(claim)
            if self._comes_again and leaf.record is not None:
                self._remember(claim, leaf.record.offset, at)
        mark = self._marks.read(self._listened)
        if at < mark:
            raise LateError(
                f"a message of time {at} came when the watermark was {mark}, {mark - at} ns later"
            )
        for leaf in leaves(message):
            self._marks.observe(claim_of(leaf), at, self._listened)
        return key, at

    def _moment(self, message: Message) -> int:
        if self._time is not None:
            return moment(self._time(message.data))
        record = message.record
        return moment((timestamp_of(message) if record is None else record.timestamp) * 1_000_000)

    # -- partitions --------------------------------------------------------------------------------------

    def _begin(self, claim: Claim) -> None:
        """Count a partition in, with all of its topic: they hold the watermark back until they speak."""
        if claim.partition is not None:
            self._topics.add(claim.partition.topic)
        self._change()
        for other in dict.fromkeys([claim, *self._new_claims()]):  # in order: a run is to be repeatable
            self._claims.add(other)
            self._marks.open(other, self._listened)
            if other.partition is not None:
                self._partitions.add(other.partition.partition)

    def _new_claims(self) -> list[Claim]:
        return [
            claim
            for claim in self._chain.claims
            if claim not in self._claims
            and claim.partition is not None
            and claim.partition.topic in self._topics
        ]

    def covers(self, message: Message) -> bool:
        """Tell whether the partition is read here that a message of the other side is partitioned like."""
        if not self._topics:
            return True
        partitions = [claim_of(leaf).partition for leaf in leaves(message)]
        return all(other is None or other.partition in self._partitions for other in partitions)

    def abandon(self, claims: Collection[Claim]) -> None:
        """Forget claims that have ended."""
        gone = self._claims.intersection(claims)
        if not gone:
            return
        self._claims -= gone
        self._change()
        for claim in gone:
            self._again.pop(claim, None)
            if claim.partition is not None:
                self._partitions.discard(claim.partition.partition)

    def _change(self) -> None:
        """Begin the watermark anew, since partitions come or go.

        By itself it never goes back; but a partition that comes, or comes back, is read from its position on,
        and its messages are not late for what was known without it.
        """
        self.changes += 1
        before, self._marks = self._marks, self._make_marks()
        for claim in self._claims:
            self._marks.open(claim, self._listened, before.newest(claim))

    # -- time --------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Note that time has passed, if messages could have come meanwhile, and which partitions are new."""
        now = self._chain.runtime.now()
        for claim in self._new_claims():
            self._begin(claim)
        room = all(credits.room().messages for credits in {claim.credits for claim in self._claims})  # noqa: A001
        seconds = min(now - self._turned, LONGEST_SILENCE)
        self._listened += seconds
        self._turned = now
        for claim in self._claims:
            self._marks.listen(claim, seconds, caught_up=room and claim.caught_up)

    def due(self) -> float | None:
        """Return when a partition becomes idle, seconds of the runtime; ``None``: none does."""
        silent = self._marks.due()
        return None if silent is None else self._turned + max(0.0, silent - self._listened)

    @property
    def mark(self) -> int:
        """No message older than this is expected."""
        return self._marks.read(self._listened)

    # -- what would come again ---------------------------------------------------------------------------

    def _remember(self, claim: Claim, offset: int, at: int) -> None:
        """Note a message that comes again after a crash, as long as its offset is not stored."""
        again = self._again.setdefault(claim, deque())
        while again and again[-1][1] >= at:  # it comes again as long as this one does, which is no later
            again.pop()
        again.append((offset, at))

    @property
    def again(self) -> float:
        """The earliest event time of what would come again after a crash; infinity for nothing."""
        earliest = math.inf
        for claim, again in self._again.items():
            while again and claim.committed is not None and again[0][0] < claim.committed:
                again.popleft()
            if again:
                earliest = min(earliest, again[0][1])
        return earliest
