"""Accumulators by claim, key and window, and when they give results: a pure state machine.

Time, of events and of the machine, is handed in; nothing here waits, reads a clock or knows a chain. A *pane*
is what one key has in one window; it has an accumulator for each claim whose messages were folded into it, so
that a partition that is taken away takes only its own part along.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from streamzarr.errors import LateError, LimitExceededError, is_interrupt
from streamzarr.flow.acknowledge import Hold
from streamzarr.flow.delivery import Fate
from streamzarr.flow.windows.bound import OVERHEAD
from streamzarr.flow.windows.kinds import Count, Session, Window
from streamzarr.flow.windows.moments import FIRST, LAST
from streamzarr.flow.windows.pane import Pane
from streamzarr.flow.windows.reduction import Reduction
from streamzarr.flow.windows.result import Firing, Result
from streamzarr.flow.windows.shelf import Shelf
from streamzarr.flow.windows.snapshot import PaneState
from streamzarr.flow.windows.timers import Timers

_RANK: Final = {"early": 0, "late": 1, "final": 2}


class Given(NamedTuple):
    """A result that a pane gives."""

    result: Result
    hold: Hold | None
    """To be released when the result is settled; ``None``: a later result answers for the records."""
    claims: tuple[Hashable, ...]
    """Those whose messages are in it."""
    error: BaseException | None
    """What the user's `merge` or `result` raised; the result has no value then."""


class Panes:
    """All panes of one ``ops.reduce``: folds messages, and gives results in the order that they fall due.

    Pure state; owned by the chain's thread. A result is made when it is taken, so a pane that waits until
    there is room for its result costs no second copy; what is folded meanwhile is in it.

    Examples
    --------
    >>> from streamzarr.flow.windows import Fixed
    >>> panes = Panes(Reduction(lambda total, price: total + price, 0.0, Fixed("1s")))
    >>> for moment, price in [(0, 1.5), (10**9, 2.0), (5, 0.25)]:
    ...     for window in panes.reduction.window.windows(moment):
    ...         _ = panes.fold("partition 0", "BTC", window, price)
    >>> panes.advance(10**9)
    >>> [(given.result.window, given.result.value) for given in panes.take_all()]
    [(Window(start=0, stop=1000000000), 1.75)]
    """

    def __init__(self, reduction: Reduction) -> None:
        self.reduction = reduction
        self.mark = FIRST
        """The watermark (of ``Periodic`` windows: the wall clock) as it is now."""
        self.max_bytes = reduction.bound.max_bytes
        """Bytes that the accumulators may take, at most; the owner may lower it."""
        self.shelf = Shelf(reduction.size_of)
        """The panes, and what their accumulators take."""
        self._ready: deque[Pane] = deque()
        self._timers = None if reduction.delay is None else Timers(reduction.delay)
        self.since: dict[Hashable, int] = {}
        """Of claims that did not begin at the beginning: windows that start no later may lack messages."""
        self._floors: dict[Hashable, int] = {None: FIRST}  # the farthest watermark that each owner has seen
        self._cut: dict[tuple[Hashable, Window], int] = {}  # results of panes that were forgotten early
        self._resets = reduction.resets

    # -- messages ----------------------------------------------------------------------------------------

    def fold(self, claim: Hashable, key: Hashable, window: Window, data: Any, now: float = 0.0) -> Hold:
        """Fold `data` into the accumulator of `claim`, `key` and `window`; return the hold it is under.

        Whatever it raises, nothing has changed (unless a user's function changes its argument, then raises).

        Raises
        ------
        streamzarr.errors.LateError
            The window is over, and so is the time allowed for late messages.
        streamzarr.errors.LimitExceededError
            The bound of the state is reached.
        BaseException
            What the user's functions raise.
        """
        reduction = self.reduction
        owner = None if reduction.joined else claim
        panes = self._meant(owner, key, window)
        if isinstance(reduction.window, Session):
            window = Window(
                min([window.start, *(pane.window.start for pane in panes)]),
                max([window.stop, *(pane.window.stop for pane in panes)]),
            )
        self._check_late(owner, window)
        fresh = 1 + sum(pane.fresh for pane in panes)
        before, new = self._before(claim, panes)
        self._check_bound(key, window, new, before)
        value = reduction.fold(before, data)
        fires, size, error = self._judge(fresh, value)
        # From here on nothing can fail, nor may it: a fold that changes its argument has done so.
        pane = self._join(panes) if panes else self._create(owner, key, window)
        if pane.window != window and not isinstance(reduction.window, Count):
            self._move(pane, window)
        part = pane.parts.get(claim) or self.shelf.new_part(pane, claim)
        part.value, part.count, pane.fresh = value, part.count + 1, fresh
        self.shelf.grow(claim, part, part.nbytes or part.base if size is None else part.base + size)
        hold = pane.hold
        self._after_fold(pane, fires, now)
        if pane.firing == "early":
            pane.error = error or pane.error
        return hold

    def _judge(self, fresh: int, value: Any) -> tuple[bool, int | None, BaseException | None]:
        """Return whether a trigger fires, the size of `value`, and what the user's functions raised."""
        try:
            return self.reduction.fires(fresh, value), self.reduction.size_of(value), None
        except BaseException as error:
            if is_interrupt(error):
                raise
            return True, None, error

    def _meant(self, owner: Hashable, key: Hashable, window: Window) -> list[Pane]:
        """Return the panes that a message belongs to: several only if it connects sessions."""
        of_key = self.shelf.of_key(owner, key)
        if not of_key:
            return []
        kind = self.reduction.window
        if isinstance(kind, Count):
            return [*of_key.values()]
        if isinstance(kind, Session):
            near = [pane for at, pane in of_key.items() if at.start < window.stop and window.start < at.stop]
            return sorted(near, key=lambda pane: pane.number)
        pane = of_key.get(window)
        return [] if pane is None else [pane]

    def _before(self, claim: Hashable, panes: list[Pane]) -> tuple[Any, bool]:
        """Return the accumulator to fold into, and whether it is a new one."""
        if not panes or claim not in panes[0].parts:
            return self.reduction.begin(), True
        value = panes[0].parts[claim].value
        if len(panes) > 1:
            assert self.reduction.merge is not None
            value = copy.deepcopy(value)  # so that a function that raises later has changed nothing
            for pane in panes[1:]:
                value = self.reduction.merge(value, copy.deepcopy(pane.parts[claim].value))
        return value, False

    def _check_late(self, owner: Hashable, window: Window) -> None:
        mark = self.mark_of(owner)
        if window.stop <= mark - self.reduction.lateness:
            raise LateError(
                f"window {window.start} to {window.stop} (ns) is over: the watermark is at {mark}, and "
                f"{self.reduction.lateness} ns later was the last moment"
            )

    def open(self, claim: Hashable) -> None:
        """Begin with `claim`, for which no window is over before the watermark passes it from here on."""
        self._floors[claim] = FIRST

    def mark_of(self, owner: Hashable) -> int:
        """Return the farthest watermark that a claim (``None``: all that are merged) has seen."""
        return max(self.mark, self._floors.get(owner, FIRST))

    # -- panes -------------------------------------------------------------------------------------------

    def _create(self, owner: Hashable, key: Hashable, window: Window) -> Pane:
        pane = self.shelf.create(owner, key, window)
        pane.shown = self._cut.get((owner, window), 0)
        pane.partial = pane.shown > 0
        return pane

    def _join(self, panes: list[Pane]) -> Pane:
        """Make one session of several; the value of the whole comes from the caller."""
        kept, *others = panes
        for other in others:
            kept.shown = max(kept.shown, other.shown)
            kept.told += other.told
            kept.partial |= other.partial
            kept.final &= other.final
            kept.hold.absorb(other.hold)
            for claim, part in other.parts.items():
                kept.parts[claim].count += part.count
            self.shelf.drop(other)
        return kept

    def _move(self, pane: Pane, window: Window) -> None:
        """Give a session, which has grown, its new window."""
        self.shelf.move(pane, window)
        pane.final &= window.stop <= self.mark_of(pane.owner)
        pane.due = _later(window.stop, self.reduction.lateness) if pane.final else window.stop
        self.shelf.agenda.add(pane)

    # -- the bound ---------------------------------------------------------------------------------------

    def _check_bound(self, key: Hashable, window: Window, new: bool, value: Any) -> None:
        bound, shelf = self.reduction.bound, self.shelf
        if bound.then == "early":
            return  # room is made afterwards
        size_of = self.reduction.size_of
        more = size_of(value) + size_of(key) + OVERHEAD if new else 0
        if shelf.accumulators + new > bound.keys or shelf.nbytes + more > self.max_bytes:
            raise LimitExceededError(
                f"key {key!r}, window {window.start} to {window.stop}: there are {shelf.accumulators} "
                f"accumulators of {shelf.nbytes} bytes, expected at most {bound.keys} of {self.max_bytes}"
            )

    def _make_room(self) -> None:
        """Let the oldest panes give what they have, and forget them."""
        bound, shelf = self.reduction.bound, self.shelf
        while (
            shelf.accumulators - shelf.leaving > bound.keys
            or shelf.nbytes - shelf.leaving_bytes > self.max_bytes
        ) and (pane := shelf.agenda.oldest()) is not None:
            if not isinstance(self.reduction.window, Session | Count):
                cut = (pane.owner, pane.window)
                self._cut[cut] = max(self._cut.get(cut, 0), pane.shown + 1)
            pane.partial = True
            self._fire(pane, "early", last=True)

    # -- time --------------------------------------------------------------------------------------------

    def _after_fold(self, pane: Pane, fires: bool, now: float) -> None:
        kind = self.reduction.window
        if isinstance(kind, Count) and pane.count >= kind.size:
            self._fire(pane, "final", last=True)
        elif pane.final or pane.window.stop <= self.mark_of(pane.owner):
            if not pane.final:
                pane.final, pane.due = True, _later(pane.window.stop, self.reduction.lateness)
                self.shelf.agenda.add(pane)
            self._fire(pane, "late")
        elif fires:
            self._fire(pane, "early")
        elif self._timers is not None:
            self._timers.start(pane, now, self.shelf.accumulators)
        if self.reduction.bound.then == "early":
            self._make_room()

    def advance(self, mark: int) -> None:
        """Note the watermark: the windows that it has passed give their results.

        It goes back when a partition comes that is behind; windows that were over stay so.
        """
        if mark < self.mark:
            self._floors = {owner: max(floor, self.mark) for owner, floor in self._floors.items()}
        self.mark = mark
        for pane in self.shelf.agenda.until(mark):
            until = _later(pane.window.stop, self.reduction.lateness)
            if pane.final:
                self._retire(pane)
            elif until <= mark:
                self._fire(pane, "final", last=True)
            else:
                pane.final, pane.due = True, until
                self.shelf.agenda.add(pane)
                self._fire(pane, "final")
        if self._cut:
            lateness = self.reduction.lateness
            self._cut = {cut: n for cut, n in self._cut.items() if _later(cut[1].stop, lateness) > mark}

    def _retire(self, pane: Pane) -> None:
        """Forget a pane whose time for late messages is over, behind the result that it may have to give."""
        if pane.firing is not None:
            self.shelf.close(pane)
        else:
            self.shelf.drop(pane)
            pane.hold.release(Fate.OK)  # it counts no records: they went with the last result

    def tick(self, now: float) -> None:
        """Fire the timers that have run out."""
        if self._timers is not None:
            for pane in self._timers.run_out(now):
                self._fire(pane, "early")

    def due(self) -> float | None:
        """Return when the next timer runs out, on the clock that `now` is of."""
        return None if self._timers is None else self._timers.due()

    def next_due(self) -> int | None:
        """Return the watermark at which something happens next."""
        return self.shelf.agenda.next_due()

    def finish(self) -> None:
        """Close everything: no message will come any more."""
        for pane in sorted(self.shelf.all(), key=lambda pane: (pane.window.stop, pane.number)):
            if pane.final:
                self._retire(pane)
            else:
                self._fire(pane, "final", last=True)

    # -- results -----------------------------------------------------------------------------------------

    def _fire(self, pane: Pane, firing: Firing, *, last: bool = False) -> None:
        """Queue a pane to give a result; while it waits, what fires it again is part of the same one."""
        if pane.firing is None:
            self._ready.append(pane)
            pane.firing = firing
        elif _RANK[firing] > _RANK[pane.firing]:
            pane.firing, pane.error = firing, None
        if last:
            self.shelf.close(pane)

    @property
    def ready(self) -> int:
        """Number of panes that have a result to give."""
        return len(self._ready)

    def take(self) -> Given | None:
        """Take the next result; ``None``: there is none."""
        while self._ready:
            pane = self._ready.popleft()
            firing, pane.firing = pane.firing, None
            if pane.parts and firing is not None:
                return self._give(pane, firing)
        return None

    def take_all(self) -> Iterator[Given]:
        """Take every result that is ready."""
        while (given := self.take()) is not None:
            yield given

    def _give(self, pane: Pane, firing: Firing) -> Given:
        reset = self._resets and pane.open and pane.error is None
        pane.partial |= reset
        value, error = self._value(pane, goes_on=pane.open and not reset)
        if pane.error is not None:
            value, error, pane.error = None, pane.error, None
        replaces = tuple(window for window in dict.fromkeys(pane.told) if window != pane.window)
        claims = tuple(pane.parts)
        resumed = any(claim in self.since and pane.window.start <= self.since[claim] for claim in claims)
        result = Result(
            pane.key, pane.window, value, pane.count, firing, pane.shown, pane.partial, replaces, resumed
        )
        pane.shown, pane.told, pane.fresh, pane.timer = pane.shown + 1, (pane.window,), 0, None
        hold = None
        if not pane.open:
            hold = pane.hold
            self.shelf.drop(pane)
        elif reset:
            hold = pane.hand_over(keep=False)
            self._reset(pane)
        elif pane.final:
            hold = pane.hand_over(keep=True)
        return Given(result, hold, claims, error)

    def _value(self, pane: Pane, *, goes_on: bool) -> tuple[Any, BaseException | None]:
        """Return what the accumulators of a pane amount to, or what a user's function raised.

        What the pane goes on with is copied: a result may not change when it is on its way.
        """
        reduction = self.reduction
        try:
            values = [part.value for part in pane.parts.values()]
            if goes_on or len(values) > 1:
                values = copy.deepcopy(values)
            value = values[0]
            for other in values[1:]:
                assert reduction.merge is not None
                value = reduction.merge(value, other)
            return (value if reduction.result is None else reduction.result(value)), None
        except BaseException as error:
            if is_interrupt(error):
                raise
            return None, error

    def _reset(self, pane: Pane) -> None:
        """Begin anew, in the same window."""
        for claim, part in pane.parts.items():
            part.value, part.count = self.reduction.begin(), 0
            self.shelf.grow(claim, part, part.base + self.reduction.size_of(part.value))

    # -- claims ------------------------------------------------------------------------------------------

    def abandon(self, claims: Collection[Hashable]) -> list[Hold]:
        """Forget what was folded of `claims`; return the holds that it was under."""
        panes = {id(pane): pane for pane in (*self.shelf.all(), *self._ready)}
        holds = []
        for pane in panes.values():
            gone = [claim for claim in pane.parts if claim in claims]
            for claim in gone:
                self.shelf.drop_part(pane, claim)
            if gone:
                holds.append(pane.hold)
            if not pane.parts:
                self.shelf.close(pane)
        for claim in claims:
            self._floors.pop(claim, None)
            self.since.pop(claim, None)
            self.shelf.forget(claim)
        return holds

    def dump(self, claim: Hashable) -> tuple[PaneState, ...]:
        """Return the panes of `claim` alone, to be stored; nothing changes."""
        open_ones = self.shelf.of_owner(claim)
        closed = [pane for pane in self._ready if not pane.open and pane.owner == claim and pane.parts]
        return tuple(PaneState.of(pane, pane.parts[claim]) for pane in (*closed, *open_ones))

    def cuts(self, claim: Hashable) -> tuple[tuple[Window, int], ...]:
        """Return the windows of `claim` that were forgotten early, each with its number of results."""
        return tuple((window, shown) for (owner, window), shown in self._cut.items() if owner == claim)

    def restore(
        self,
        claim: Hashable,
        states: Iterable[PaneState],
        mark: int,
        now: float,
        cuts: Iterable[tuple[Window, int]] = (),
    ) -> None:
        """Go on with stored panes of `claim`, which has seen the watermark at `mark`."""
        self._floors[claim] = mark
        self._cut |= {(claim, window): shown for window, shown in cuts}
        for state in states:
            pane = self._create(claim, state.key, Window(*state.window))
            part = self.shelf.new_part(pane, claim)
            part.value, part.count = state.value, state.count
            self.shelf.grow(claim, part, part.base + self.reduction.size_of(state.value))
            pane.fresh, pane.shown, pane.partial = state.fresh, state.shown, state.partial
            pane.told = tuple(Window(*window) for window in state.told)
            if state.final:
                pane.final, pane.due = True, _later(pane.window.stop, self.reduction.lateness)
                self.shelf.agenda.add(pane)
            if state.firing is not None:
                self._fire(pane, state.firing, last=not state.open)
            elif self._timers is not None and state.fresh:
                self._timers.start(pane, now, self.shelf.accumulators)


def _later(moment: int, lateness: int) -> int:
    return min(LAST, moment + lateness)
