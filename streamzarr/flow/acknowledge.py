"""What is owed to the records that were delivered: credit for their memory, and acknowledgement.

Pure state, no threads, no clock. Credit returns as soon as a record's data have left memory. Acknowledgement
is another thing: it ends when all that was made of the record is settled.

* A record that was split is acknowledged when the last of its pieces is settled.
* A record that was folded into an accumulator has left memory; the accumulator's :class:`Hold` keeps the
  partition's position from passing the first record folded under it, however many there are.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection
from enum import IntEnum
from typing import NamedTuple

from streamzarr.errors import ConfigError
from streamzarr.flow.demand import Credits
from streamzarr.queue.base import TopicPartition
from streamzarr.queue.offsets import OffsetWindow


class Outcome(IntEnum):
    """What became of a message. Of the outcomes of a record's pieces the greatest is the record's."""

    SKIPPED = 0
    OK = 1
    FOLDED = 2
    """Its data are in an accumulator; the accumulator's result decides."""
    FAILED = 3
    HANDED_BACK = 4
    """It will be delivered again."""


class Released(NamedTuple):
    """A record (or a run of them) of which nothing is left in the chain."""

    records: int
    nbytes: int
    outcome: Outcome


class _Entry(NamedTuple):
    """What is in flight under one sequence number."""

    records: int
    nbytes: int
    first: int | None
    """First offset; ``None``: it came from no topic."""


class _Pieces:
    """What is still out of a record that was split."""

    __slots__ = ("hold", "left", "outcome")

    def __init__(self, left: int) -> None:
        self.left = left
        self.outcome = Outcome.SKIPPED
        self.hold: Hold | None = None  # the last one that a piece was folded under: the record counts there


class Hold:
    """What an accumulator owes: it keeps the positions of the claims whose records were folded under it.

    For each claim only the first offset and the number of records are kept, however many there are.
    """

    __slots__ = ("_counts", "_offsets", "released")

    def __init__(self) -> None:
        self.released = False
        self._offsets: dict[Claim, int] = {}
        self._counts: dict[Claim, int] = {}

    def offset(self, claim: Claim) -> int | None:
        """Return the offset that the position of `claim` may not pass; ``None``: any."""
        return self._offsets.get(claim)

    @property
    def ours(self) -> bool:
        """True while all partitions that its records came from are ours."""
        return all(claim.ours for claim in (*self._offsets, *self._counts))

    def within(self, claims: Collection[Claim]) -> bool:
        """Tell whether all its records came under `claims`."""
        return all(claim in claims for claim in (*self._offsets, *self._counts))

    def extend(self, claim: Claim, offset: int) -> None:
        """Keep the position of `claim` from passing `offset`."""
        before = self._offsets.get(claim)
        if before is None or offset < before:
            self._offsets[claim] = offset
            claim.held(offset, self)

    def count(self, claim: Claim, records: int) -> None:
        """Note that `records` of `claim` share the fate of the accumulator's result."""
        self._counts[claim] = self._counts.get(claim, 0) + records

    def keep_as(self, other: Hold) -> None:
        """Keep the positions that `other` keeps: a piece of its result was folded under this hold."""
        for claim, offset in other._offsets.items():
            self.extend(claim, offset)

    def absorb(self, other: Hold) -> None:
        """Take over what `other` owes: its result was folded under this hold."""
        self.keep_as(other)
        for claim, records in other._counts.items():
            self.count(claim, records)
        other._release()

    def release(self, outcome: Outcome) -> list[Released]:
        """Let the positions pass; return the fate of the records, once: nothing when released before."""
        fates = [
            Released(records, 0, outcome if claim.ours else Outcome.HANDED_BACK)
            for claim, records in self._counts.items()
        ]
        self._release()
        return fates

    def _release(self) -> None:
        self.released = True
        self._offsets.clear()
        self._counts.clear()


class Claim:
    """Our right to one partition, from its assignment until it is revoked or lost.

    The object itself is the epoch: a partition that comes back gets a new claim, so what was delivered under
    the old one can neither be committed nor hold back the new one. Owned by the chain's thread.

    Parameters
    ----------
    partition
        ``None`` for what does not come from a topic.
    start
        Position that reading begins at, if it is known.
    credits
        Where the credit of its messages returns to.
    epoch
        Its number among the claims of its chain.
    """

    __slots__ = (
        "_holds",
        "_numbers",
        "_pieces",
        "committed",
        "credits",
        "epoch",
        "open",
        "ours",
        "partition",
        "window",
    )

    def __init__(
        self,
        partition: TopicPartition | None,
        start: int | None,
        credits: Credits,  # noqa: A002 - the field's word; the builtin of this name is for the prompt
        epoch: int = 0,
    ) -> None:
        self.partition = partition
        self.credits = credits
        self.epoch = epoch
        self.window = OffsetWindow(start)
        self.open: dict[int, _Entry] = {}  # by sequence number
        self.ours = True
        self.committed: int | None = None  # position stored, as far as we know
        self._pieces: dict[int, _Pieces] = {}
        self._holds: list[tuple[int, int, Hold]] = []  # a heap; those of released or moved holds are stale
        self._numbers = itertools.count()

    @property
    def position(self) -> int | None:
        """What may be committed: no offset below it is unsettled or held. ``None``: not known yet."""
        holds = self._holds
        while holds and holds[0][2].offset(self) != holds[0][0]:
            heapq.heappop(holds)
        watermark = self.window.watermark
        if holds and watermark is not None:
            return min(watermark, holds[0][0])
        return watermark

    @property
    def in_flight(self) -> int:
        """Records delivered of which something is still in the chain."""
        return sum(entry.records for entry in self.open.values())

    def deliver(
        self, seq: int, records: int, nbytes: int, first: int | None = None, stop: int | None = None
    ) -> None:
        """Note that message `seq` is in flight: `records` of them, from offset `first` to before `stop`."""
        self.open[seq] = _Entry(records, nbytes, first)
        if first is not None:
            if self.window.watermark is None:
                self.committed = first  # reading began here, so there is nothing to store yet
            self.window.deliver(first, stop)

    def split(self, seq: int, into: int) -> None:
        """Note that one message of `seq` has become `into` (at least 1) messages of it."""
        self._check(seq)
        pieces = self._pieces.get(seq)
        if pieces is None:
            self._pieces[seq] = _Pieces(into)
        else:
            pieces.left += into - 1

    def grow(self, seq: int, nbytes: int) -> None:
        """Note that the messages of `seq` count for `nbytes` more (or fewer)."""
        entry = self._check(seq)
        self.open[seq] = entry._replace(nbytes=entry.nbytes + nbytes)

    def failed(self, seq: int) -> bool:
        """Tell whether a piece of `seq` has been settled as failed: its record is a dead letter already."""
        pieces = self._pieces.get(seq)
        return pieces is not None and pieces.outcome is Outcome.FAILED

    def release(self, seq: int, outcome: Outcome, hold: Hold | None = None) -> Released | None:
        """Note that a message of `seq` has left the chain; return its record's fate if it was the last one.

        Raises
        ------
        streamzarr.errors.ConfigError
            It is not in flight: it was settled twice, or copied.
        """
        entry = self._check(seq)
        if hold is not None and entry.first is not None:
            hold.extend(self, entry.first)
        if self._pieces and (pieces := self._pieces.get(seq)) is not None:
            pieces.left -= 1
            pieces.outcome = outcome = max(pieces.outcome, outcome)
            hold = pieces.hold = hold or pieces.hold
            if pieces.left:
                return None
            del self._pieces[seq]
        del self.open[seq]
        if hold is not None and outcome is Outcome.FOLDED:
            hold.count(self, entry.records)
        if not self.ours:
            outcome = Outcome.HANDED_BACK
        if entry.first is not None and outcome is not Outcome.HANDED_BACK:
            self.window.ack(entry.first)
        return Released(entry.records, entry.nbytes, outcome)

    def end(self) -> list[Released]:
        """Forget all that is in flight; return what it was."""
        left = [Released(entry.records, entry.nbytes, Outcome.HANDED_BACK) for entry in self.open.values()]
        self.open.clear()
        self._pieces.clear()
        self._holds.clear()
        return left

    def held(self, offset: int, hold: Hold) -> None:
        """Keep the position from passing `offset`, as long as `hold` says so; called by the hold."""
        heapq.heappush(self._holds, (offset, next(self._numbers), hold))

    def _check(self, seq: int) -> _Entry:
        try:
            return self.open[seq]
        except KeyError:
            where = f" of {self.partition.topic}[{self.partition.partition}]" if self.partition else ""
            raise ConfigError(
                f"message {seq}{where} is settled a second time: only ops.split may make several of one"
            ) from None
