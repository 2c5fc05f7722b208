"""The stage of ``ops.reduce``."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from reactivex.abc import ObserverBase

from streamzarr.errors import AheadError, LateError
from streamzarr.flow.acknowledge import Claim, Hold
from streamzarr.flow.chain import Chain
from streamzarr.flow.demand.credits import Demand
from streamzarr.flow.message import Batch, Marker, Message, Passed, leaves
from streamzarr.flow.ops.each import failed
from streamzarr.flow.ops.timing import Timing
from streamzarr.flow.stage import Stage
from streamzarr.flow.windows.bound import OVERHEAD
from streamzarr.flow.windows.kinds import Count, Periodic, Session, Window
from streamzarr.flow.windows.moments import FIRST, LAST, SECOND
from streamzarr.flow.windows.panes import Given, Panes
from streamzarr.flow.windows.reduction import Reduction
from streamzarr.flow.windows.watermark import Watermarks

LONGEST_SILENCE = 1.0
"""Seconds without a turn that count as silence of the partitions, at most: a chain that was busy in a sink
has not listened."""
SHARE = 4
"""The part of the chain's ``max_bytes`` that accumulators may take: the rest is for what is in flight."""


class Reducing(Stage):
    """Folds messages into windows. Owned by the chain's thread; only the user's functions may block."""

    windowed = True

    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        reduction: Reduction,
        timing: Timing,
        marks: Watermarks,
        late: str | None,
        name: str,
    ) -> None:
        super().__init__(chain, observer)
        self._panes = Panes(reduction)
        self._reduction, self._timing, self._marks = reduction, timing, marks
        self._late, self._name = late, name
        self._sessions = isinstance(reduction.window, Session)
        self._topics: set[str] = set()
        self._claims: set[Claim] = set()
        self._unheard: set[Claim] = set()  # of partitions, none of whose messages has come
        self._reach = marks.disorder + reduction.lateness
        self._charged: dict[Claim, int] = {}
        self._piece: tuple[tuple[Claim, int] | None, int] = (None, 0)  # the last one: record, and place in it
        self._hold: Hold | None = None
        self._folded: list[Message] = []  # under that hold, not accounted for yet
        self._out: list[Message] = []  # to be passed on at the end of a call
        self._markers: list[Marker] = []
        self._gave = False  # results, since the last marker
        self._passed = FIRST  # watermark that those downstream know of
        self._listened = 0.0  # seconds, without those of long turns
        self._turned = chain.runtime.now()

    # -- messages ----------------------------------------------------------------------------------------

    def receive(self, messages: Sequence[Message]) -> None:
        """Fold messages; those that have failed are passed on."""
        now = self.chain.runtime.now()
        for message in messages:
            if message.failure is not None:
                self._out.append(message)
                continue
            claim = next(leaves(message)).claim
            assert claim is not None
            if claim not in self._claims:
                self._meet(claim)
            self._reduce(message, claim, now)
        self._fold()
        self._give()

    def _fold(self) -> None:
        """Account for the messages that were folded one after the other into the same accumulator."""
        if self._hold is not None:
            self.chain.fold(self._folded, self._hold)
            self._hold = None
            self._folded.clear()

    def _reduce(self, message: Message, claim: Claim, now: float) -> None:
        """Fold a message into its windows; what cannot be folded is passed on."""
        try:
            at = self._timing.of(message)
        except AheadError as error:
            self._out.append(self._refused(message, error))
            return
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            self._out.append(failed(message, error, self._name))
            return
        windows = self._reduction.window.windows(at)
        if claim in self._unheard:
            self._hear(claim, windows[0].stop if self._sessions else at)
        if isinstance(self._reduction.window, Count):
            windows = (Window(at, LAST - self._place(claim, at)),)
        pieces = (message,) if len(windows) == 1 else self.chain.split(message, [message.data] * len(windows))
        for window, piece in zip(windows, pieces, strict=True):
            if self._sessions:
                self._fold()  # before its hold becomes part of another
            try:
                hold = self._panes.fold(claim, piece.key, window, piece.data, now)
            except LateError as error:
                self._out.append(self._refused(piece, error))
            except BaseException as error:  # noqa: BLE001
                self._out.append(failed(piece, error, self._name))
            else:
                if hold is not self._hold:
                    self._fold()
                    self._hold = hold
                self._folded.append(piece)
        self._collect()
        if not self._timing.timeless and self._marks.observe(claim, at, self._listened):
            self._advance()

    def _refused(self, message: Message, error: BaseException) -> Message:
        """Return a message whose time is over, or far ahead, as it is passed on."""
        if self._late is None:
            return message.fail(error, self._name)
        return message.replace(output=self._late)

    def _hear(self, claim: Claim, at: int) -> None:
        """Take the first message of a partition, at event time `at` (the end of its session).

        What was there before it, in offsets, is older, or no more than `disorder` and `lateness` newer.
        """
        self._unheard.discard(claim)
        if self._began(claim) and not isinstance(self._reduction.window, Count | Periodic):
            self._panes.since[claim] = at + self._reach

    def _began(self, claim: Claim) -> int | None:
        """Return the offset at which reading began; ``None``: not known."""
        return claim.start

    def _place(self, claim: Claim, number: int) -> int:
        """Return how many pieces of the record came before: windows that begin at them need other names."""
        before, place = self._piece
        place = place + 1 if before == (claim, number) else 0
        self._piece = (claim, number), place
        return place

    # -- time --------------------------------------------------------------------------------------------

    def _meet(self, claim: Claim) -> None:
        """Begin with a claim that has spoken, and with all others of its topic."""
        if claim.partition is not None:
            self._topics.add(claim.partition.topic)
        self._begin(list(dict.fromkeys([claim, *self._new_claims()])))  # in order: a run is to be repeatable

    def _begin(self, new: Collection[Claim]) -> None:
        """Count claims in: they hold the watermark back until they speak."""
        self._claims.update(new)
        for claim in new:
            self._count_in(claim)
        self._advance()  # back, if they are behind; for those that were here nothing changes
        for claim in new:
            self._open(claim)
            if isinstance(claim.credits, Demand) and (most := claim.credits.bounds.max_bytes) is not None:
                self._panes.max_bytes = min(self._panes.max_bytes, most // SHARE)
        self._advance()

    def _count_in(self, claim: Claim) -> None:
        self._unheard.add(claim)
        self._marks.open(claim, self._listened)

    def _open(self, claim: Claim) -> None:
        self._panes.open(claim)

    def _new_claims(self) -> list[Claim]:
        return [
            claim
            for claim in self.chain.claims
            if claim not in self._claims
            and claim.partition is not None
            and claim.partition.topic in self._topics
        ]

    def _advance(self) -> None:
        """Close what the watermark has passed."""
        if isinstance(self._reduction.window, Periodic):
            self._panes.advance(self._timing.wall())
        elif not self._timing.timeless:
            self._panes.advance(self._marks.read(self._listened))
        self._collect()

    def turn(self) -> None:
        """Close windows by the clock, and pass on results."""
        now = self.chain.runtime.now()
        rooms = [credits.room() for credits in {claim.credits for claim in self._claims}]  # noqa: A001
        self._listen(now, all(room.messages for room in rooms))
        if new := self._new_claims():
            self._begin(new)
        self._panes.tick(now)
        self._advance()
        self._give()

    def _listen(self, now: float, room: bool) -> None:
        """Note that time has passed; it is no silence of what there was no `room` for, or is not read yet."""
        seconds = min(now - self._turned, LONGEST_SILENCE)
        self._listened += seconds
        self._turned = now
        for claim in self._claims:
            self._marks.listen(claim, seconds, caught_up=room and claim.caught_up)

    def due(self) -> float | None:
        """Return when the next timer runs out."""
        now = self.chain.runtime.now()
        dues = [due for due in (self._panes.due(),) if due is not None]
        silent = self._marks.due()
        if silent is not None and not self._timing.timeless:
            dues.append(now + max(0.0, silent - self._listened))
        if isinstance(self._reduction.window, Periodic) and (stop := self._panes.next_due()) is not None:
            dues.append(now + max(0, stop - self._timing.wall()) / SECOND)
        return min(dues, default=None)

    def closes(self) -> int | None:
        """Return the watermark at which the first of its windows closes."""
        return self._panes.next_due()

    # -- results -----------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Take results, as many as there is room for, to be passed on with the next batch."""
        if not self._panes.ready:
            return
        self._fold()
        for _ in range(self._room()):
            given = self._panes.take()
            if given is None:
                break
            self._out.append(self._result(given))
        self._charge()

    def _room(self) -> int:
        """Return how many results may leave now: one at least, unless what is in flight has all the bytes.

        Results take no credit but that of their bytes, so nothing that waits for credit can wait for them.
        """
        rooms = [credits.room() for credits in {claim.credits for claim in self._claims}]  # noqa: A001
        if self.chain.in_flight and any(room.nbytes == 0 for room in rooms):
            return 0
        return max(1, min((room.messages for room in rooms), default=1))

    def _result(self, given: Given) -> Message:
        result = given.result
        claim = given.claims[0]
        assert isinstance(claim, Claim)
        nbytes = self._reduction.size_of(result.value) + OVERHEAD
        holds = () if given.hold is None else (given.hold,)
        message = self.chain.result(result, holds, nbytes, claim, key=result.key)
        return message if given.error is None else failed(message, given.error, self._name)

    def _pending(self) -> int:
        """Return how many results wait to be passed on."""
        return self._panes.ready

    def _ready(self) -> bool:
        """Tell whether one of them can be passed on, if there is room."""
        return bool(self._panes.ready)

    def _give(self) -> None:
        """Pass on results that there is room for; behind the last one that is ready, the markers."""
        self._collect()
        self._charge()
        out, self._out = self._out, []
        self.emit(out)
        pending = self._pending()
        if pending and self._ready() and not self._room():  # what is downstream has to go first
            self.working, self.waiting = 0, pending
        else:
            self.working, self.waiting = pending, 0
            if self._ready():
                self.chain.bell.ring()
        self._gave |= bool(out)
        if not pending:
            if self._gave and self._panes.mark > self._passed:
                self._passed = self._panes.mark
                self._markers.insert(0, Passed(self._passed))
            self._gave = False
            markers, self._markers = self._markers, []
            for marker in markers:
                self.emit_marker(marker)

    def _charge(self) -> None:
        """Charge what the accumulators have grown by since the last time."""
        growth = self._panes.shelf.growth
        if growth:
            for claim, nbytes in growth.items():
                assert isinstance(claim, Claim)
                self._charged[claim] = self._charged.get(claim, 0) + nbytes
                self.chain.charge(claim, nbytes)
            growth.clear()

    def mark(self, marker: Marker) -> None:
        """Pass on a marker behind the results that are ready; windows that are open stay open."""
        if not isinstance(marker, Passed):  # that is of other windows, whose results end here
            self._markers.append(marker)
        self._give()

    def finish(self) -> None:
        """Close all windows: no message will come any more."""
        self._panes.finish()
        self._panes.advance(LAST)
        self._give()

    # -- endings -----------------------------------------------------------------------------------------

    def abandon(self, claims: Collection[Claim]) -> None:
        """Forget what was folded for `claims`: whoever has them now reads it again."""
        self.chain.forget(self._panes.abandon(claims), claims)
        self._charge()
        for claim in claims:
            self._marks.close(claim)
            self._claims.discard(claim)
            self._unheard.discard(claim)
            self._charged.pop(claim, None)

    def close(self, timeout: float) -> None:
        """Return what the accumulators were charged with."""
        for claim, nbytes in self._charged.items():
            self.chain.charge(claim, -nbytes)
        self._charged.clear()
