"""What is owed to the records that were delivered: credit for their memory, and acknowledgement.

Pure state, no clock. Credit returns as soon as a record's data have left memory. Acknowledgement is another
thing: it ends when all that was made of the record is settled.

* A record that was split is acknowledged when the last of its pieces is settled.
* A run of records that was divided is acknowledged when all its parts are; each part has a fate of its own.
* A record that was folded into an accumulator has left memory; the accumulator's :class:`Hold` keeps the
  partition's position from passing the first record folded under it, however many there are.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_right
from collections.abc import Collection

from streamzarr.errors import ConfigError
from streamzarr.flow.delivery import Delivery, Fate, Released
from streamzarr.flow.demand.credits import Credits
from streamzarr.flow.pausing import Pause
from streamzarr.queue.ahead import joined
from streamzarr.queue.base import TopicPartition
from streamzarr.queue.offsets import OffsetWindow

SWEEP = 1000
"""Entries for holds above which a claim looks for those that are stale."""


class _Pieces:
    """What is still out of a message that was split."""

    __slots__ = ("hold", "left", "outcome")

    def __init__(self, left: int) -> None:
        self.left = left
        self.outcome = Fate.SKIPPED
        self.hold: Hold | None = None  # the last one that a piece was folded under: the record counts there


class Hold:
    """What an accumulator owes: it keeps the positions of the claims whose records were folded under it.

    For each claim only the first offset and the number of records are kept, however many there are.
    """

    __slots__ = ("_counts", "_offsets", "_receipts", "released")

    def __init__(self) -> None:
        self.released = False
        self._receipts: set[Receipt] = set()  # of stored results that were folded under it
        self._offsets: dict[Claim, int] = {}
        self._counts: dict[Claim, int] = {}

    def offset(self, claim: Claim) -> int | None:
        """Return the offset that the position of `claim` may not pass; ``None``: any."""
        return self._offsets.get(claim)

    @property
    def ours(self) -> bool:
        """True while some partition that its records came from is ours: nobody else has those records."""
        claims = (*self._offsets, *self._counts)
        return not claims or any(claim.ours for claim in claims)

    def within(self, claims: Collection[Claim]) -> bool:
        """Tell whether all its records came under `claims`."""
        return not self._receipts and all(claim in claims for claim in (*self._offsets, *self._counts))

    @property
    def receipts(self) -> Collection[Receipt]:
        """Those of stored results that are to stay stored until it is released."""
        return self._receipts

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
        for receipt in other.receipts:
            if receipt not in self._receipts:
                self._receipts.add(receipt)
                receipt.keepers += 1

    def absorb(self, other: Hold) -> None:
        """Take over what `other` owes: its result was folded under this hold."""
        self.keep_as(other)
        for claim, records in other._counts.items():
            self.count(claim, records)
        other._release()

    def forget(self, claims: Collection[Claim]) -> list[Released]:
        """Owe nothing to `claims` any more: what was folded for them is forgotten; return their records."""
        for claim in claims:
            self._offsets.pop(claim, None)
        gone = [self._counts.pop(claim, 0) for claim in claims]
        return [Released(sum(gone), 0, Fate.HANDED_BACK)] if any(gone) else []

    def release(self, outcome: Fate) -> list[Released]:
        """Return the fate of the records, once: nothing when released before.

        The positions may pass then, unless the result was handed back: its records are to be read again.
        """
        fates = [
            Released(records, 0, outcome if claim.ours else Fate.HANDED_BACK)
            for claim, records in self._counts.items()
        ]
        self.released = True
        self._counts.clear()
        if outcome is not Fate.HANDED_BACK:  # else what was folded is stored, and stays so
            self._offsets.clear()
            for receipt in self._receipts:
                fates += receipt.release(outcome)
            self._receipts.clear()
        return fates

    def _release(self) -> None:
        self.released = True
        self._offsets.clear()
        self._counts.clear()
        for receipt in self._receipts:
            receipt.keepers -= 1
        self._receipts.clear()


class Receipt(Hold):
    """The hold of a stored result: knows what became of that, or of all that it was folded into."""

    __slots__ = ("fate", "keepers")

    def __init__(self) -> None:
        super().__init__()
        self.fate: Fate | None = None
        self.keepers = 1
        """The message of the result, and the holds that it was folded under: the last one releases it."""

    @property
    def receipts(self) -> Collection[Receipt]:
        """Itself."""
        return (self,)

    def release(self, outcome: Fate) -> list[Released]:
        """Note that the result has left the chain, or what it was folded into."""
        self.keepers -= 1
        if self.keepers:
            return []
        self.fate = outcome
        return super().release(outcome)

    def _release(self) -> None:
        self.keepers -= 1


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
        "_deliveries",
        "_holds",
        "_numbers",
        "_pieces",
        "_said",
        "_seqs",
        "_sweep_at",
        "ahead",
        "caught_up",
        "committed",
        "credits",
        "entered",
        "epoch",
        "note",
        "on_trial",
        "open",
        "ours",
        "parked",
        "partition",
        "pause",
        "start",
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
        self.start = start
        """Where reading began; ``None``: not known yet."""
        self.window = OffsetWindow(start)
        """Offsets, by deliveries: each is one entry, acknowledged as a whole."""
        self.open = 0
        """Messages in flight: one however many pieces it was split into."""
        self.ours = True
        self.ahead: list[range] = []
        """Records that were settled before reading began here, and are not read again."""
        self.caught_up = True
        """All that there was to read has been read, when its source last looked."""
        self.pause: Pause | None = None
        """Set by who finds that the partition must not go on; its source ends the claim then."""
        self.on_trial = False
        """It has paused, and is read again to see whether it may go on."""
        self.parked = 0
        """Records that have left memory and will come back: not in :attr:`open`, but not settled either."""
        self.committed: int | None = None  # position stored, as far as we know
        self.note = ""  # what is stored with it
        self.entered = 0  # records that ever were in flight
        self._said: list[range] | None = None  # what was settled ahead when all in flight was forgotten
        self._seqs: list[int] = []  # first sequence number of each of the deliveries, ascending
        self._deliveries: list[Delivery] = []  # those of which something is out, or was handed back
        self._pieces: dict[int, _Pieces] = {}
        self._holds: list[tuple[int, int, Hold]] = []  # a heap; those of released or moved holds are stale
        self._numbers = itertools.count()
        self._sweep_at = SWEEP

    @property
    def position(self) -> int | None:
        """What may be committed: no offset below it is unsettled or held. ``None``: not known yet."""
        holds = self._holds
        while holds and holds[0][2].offset(self) != holds[0][0]:
            heapq.heappop(holds)
        position = self.window.watermark
        if self._deliveries and (low := self._deliveries[0].low) is not None:
            position = low  # the watermark is the beginning of this delivery
        if holds and position is not None:
            return min(position, holds[0][0])
        return position

    def settled_ahead(self) -> list[range]:
        """Return the offsets from :attr:`position` on that are settled, or that hold no record.

        Nothing while accumulators hold what was folded under them: that is settled only with their results.
        """
        if self._said is not None:
            return self._said
        position, end = self.position, self.window.end
        if position is None or end is None or any(hold.offset(self) == at for at, _, hold in self._holds):
            return []
        found = []
        for delivery in self._deliveries:
            for each in delivery.open_ranges() if delivery.parent is None else ():
                if position < each.start:
                    found.append(range(position, each.start))
                position = max(position, each.stop)
        if position < end:
            found.append(range(position, end))
        return joined([*found, *(range(max(each.start, end), each.stop) for each in self.ahead)])

    # -- entering ----------------------------------------------------------------------------------------

    def deliver(self, delivery: Delivery, stop: int | None = None) -> None:
        """Note that messages are in flight; their records end before offset `stop`."""
        if delivery.offsets is not None:
            first = delivery.offsets[0]
            if self.window.watermark is None:
                self.committed = self.start = first  # reading began here: there is nothing to store yet
            self.window.deliver(first, stop)
            delivery.stop = stop
        self._enter(delivery)

    def _enter(self, delivery: Delivery) -> None:
        self._seqs.append(delivery.seq)
        self._deliveries.append(delivery)
        if delivery.parent is None:
            delivery.first = self.entered
            self.entered += delivery.count(0, len(delivery))
        self.open += len(delivery)

    # -- on the way --------------------------------------------------------------------------------------

    def split(self, seq: int, into: int) -> None:
        """Note that one message of `seq` has become `into` (at least 1) messages of it."""
        self._find(seq)
        pieces = self._pieces.get(seq)
        if pieces is None:
            self._pieces[seq] = _Pieces(into)
        else:
            pieces.left += into - 1

    def divide(self, seq: int, part: int, counts: list[int], sizes: list[int]) -> None:
        """Note that the run of records `seq` has become messages of `counts` records and `sizes` bytes.

        Their sequence numbers begin at `part`. Unlike pieces each has a fate of its own.

        Raises
        ------
        streamzarr.errors.ConfigError
            It was split before.
        """
        delivery, place = self._find(seq)
        if seq in self._pieces:
            raise ConfigError(f"message {seq} was split, expected a whole run of records to divide")
        offsets = None if delivery.offsets is None else [delivery.offsets[place]] * len(sizes)
        delivery.divide(place)
        self.open -= 1
        self._enter(Delivery(part, sizes, counts, offsets, parent=(delivery, place)))

    def grow(self, seq: int, nbytes: int) -> None:
        """Note that the messages of `seq` count for `nbytes` more (or fewer)."""
        delivery, place = self._find(seq)
        delivery.sizes[place] += nbytes

    def number(self, seq: int) -> int:
        """Return how many records of it entered before `seq`, which is in flight."""
        delivery, place = self._find(seq)
        return delivery.number(place)

    @property
    def oldest(self) -> int:
        """A number of records of which none is in flight: those that came first."""
        return self._deliveries[0].first if self._deliveries else self.entered

    @property
    def has_passed(self) -> bool:
        """True when something has entered, and all of it has left for good or is in accumulators."""
        back = any(each.handed_back for each in self._deliveries)
        return self.entered > 0 and not (self.open or self.parked or back)

    def is_out(self, seq: int) -> bool:
        """Tell whether anything of the message `seq` is in flight."""
        index = bisect_right(self._seqs, seq) - 1
        if index < 0:
            return False
        delivery = self._deliveries[index]
        place = seq - delivery.seq
        return place < len(delivery) and delivery.is_out(place, place + 1)

    def is_back(self, seq: int) -> bool:
        """Tell whether anything of the message `seq` was handed back: it will be delivered again."""
        pieces = self._pieces.get(seq)
        if pieces is not None and pieces.outcome is Fate.HANDED_BACK:
            return True
        index = bisect_right(self._seqs, seq) - 1
        return index >= 0 and self._deliveries[index].is_back(seq - self._seqs[index])

    def is_split(self, seq: int) -> bool:
        """Tell whether `seq` was split into pieces of which some are still out."""
        return seq in self._pieces

    def whole(self, seq: int) -> int | None:
        """Return the bytes that `seq` counts for; ``None`` when it was split."""
        delivery, place = self._find(seq)
        return None if seq in self._pieces else delivery.sizes[place]

    def park(self, seq: int) -> None:
        """Note that the data of `seq`, which is whole, have left memory and will come back."""
        delivery, place = self._find(seq)
        delivery.park(place)
        self.open -= 1
        self.parked += 1

    def unpark(self, seq: int, nbytes: int) -> None:
        """Note that the record `seq`, which was parked, is in memory again."""
        delivery = self._deliveries[bisect_right(self._seqs, seq) - 1]
        delivery.unpark(seq - delivery.seq, nbytes)
        self.open += 1
        self.parked -= 1

    def failed(self, seq: int) -> bool:
        """Tell whether a piece of `seq` has been settled as failed: its record is a dead letter already."""
        pieces = self._pieces.get(seq)
        return pieces is not None and pieces.outcome is Fate.FAILED

    def held(self, offset: int, hold: Hold) -> None:
        """Keep the position from passing `offset`, as long as `hold` says so; called by the hold."""
        heapq.heappush(self._holds, (offset, next(self._numbers), hold))
        if len(self._holds) > self._sweep_at:  # stale ones lie behind one that stays, of a long window
            self._holds = [entry for entry in self._holds if entry[2].offset(self) == entry[0]]
            heapq.heapify(self._holds)
            self._sweep_at = max(SWEEP, 2 * len(self._holds))

    # -- leaving -----------------------------------------------------------------------------------------

    def release(self, seq: int, outcome: Fate, hold: Hold | None = None) -> Released | None:
        """Note that a message of `seq` has left the chain; return its record's fate if it was the last one.

        Raises
        ------
        streamzarr.errors.ConfigError
            It is not in flight: it was settled twice, or copied.
        """
        delivery, place = self._find(seq)
        if hold is not None and delivery.offsets is not None:
            hold.extend(self, delivery.offsets[place])
        if self._pieces and (pieces := self._pieces.get(seq)) is not None:
            pieces.left -= 1
            pieces.outcome = outcome = max(pieces.outcome, outcome)
            hold = pieces.hold = hold or pieces.hold
            if pieces.left:
                return None
            del self._pieces[seq]
        return self._let_go(delivery, place, place + 1, outcome, hold)

    def release_run(
        self, seq: int, most: int, outcome: Fate, hold: Hold | None = None
    ) -> tuple[int, Released]:
        """Note that up to `most` messages have left, from `seq` on; return how many, and their records' fate.

        None of them may be a piece (:attr:`has_pieces`). At least one is taken, and all of one delivery.
        """
        delivery, place = self._find(seq)
        stop = min(place + most, len(delivery))
        if not delivery.is_out(place, stop):
            for later in range(place, stop):
                self._find(delivery.seq + later)  # raises for the one that is not out
        if hold is not None and delivery.offsets is not None:
            hold.extend(self, delivery.offsets[place])
        return stop - place, self._let_go(delivery, place, stop, outcome, hold)

    @property
    def has_pieces(self) -> bool:
        """True while pieces of some message are out."""
        return bool(self._pieces)

    def _let_go(
        self, delivery: Delivery, start: int, stop: int, outcome: Fate, hold: Hold | None
    ) -> Released:
        fate = outcome if self.ours else Fate.HANDED_BACK
        records, nbytes = delivery.release(start, stop, fate)
        if hold is not None and outcome is Fate.FOLDED:
            hold.count(self, records)
        self.open -= stop - start
        self._close(delivery)
        # What was folded under a lost claim is counted by its hold, which knows that it is lost.
        return Released(records, nbytes, outcome if outcome is Fate.FOLDED else fate)

    def _close(self, delivery: Delivery) -> None:
        """Acknowledge a delivery of which nothing is out; one of which something was handed back stays."""
        if delivery.left:
            return
        if delivery.parent is not None:
            above, place = delivery.parent
            above.release(place, place + 1, Fate.HANDED_BACK if delivery.handed_back else Fate.OK)
            self._forget(delivery)
            self._close(above)
        elif not delivery.handed_back:
            if delivery.offsets is not None:
                self.window.ack(delivery.offsets[0])
            self._forget(delivery)

    def _forget(self, delivery: Delivery) -> None:
        index = bisect_right(self._seqs, delivery.seq) - 1
        del self._seqs[index], self._deliveries[index]

    def end(self) -> tuple[int, int]:
        """Forget all that is in flight; return its records and bytes. Holds still keep the position."""
        records = nbytes = 0
        for delivery in self._deliveries:
            out = delivery.out()
            records, nbytes = records + out[0], nbytes + out[1]
        self._said = self.settled_ahead()
        self.open = 0
        self._seqs.clear()
        del self._deliveries[1:]  # the first one keeps the position within it
        self._pieces.clear()
        return records, nbytes

    def _find(self, seq: int) -> tuple[Delivery, int]:
        """Return the delivery of a message that is out, and its place there."""
        index = bisect_right(self._seqs, seq) - 1
        if index >= 0:
            delivery = self._deliveries[index]
            place = seq - delivery.seq
            if place < len(delivery) and delivery.is_out(place, place + 1):
                return delivery, place
        where = f" of {self.partition.topic}[{self.partition.partition}]" if self.partition else ""
        raise ConfigError(
            f"message {seq}{where} is settled a second time: only ops.split may make several of one"
        )
