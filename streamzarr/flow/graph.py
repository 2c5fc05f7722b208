"""The graph of one running chain: its stages, what feeds them, their turns, and the call to stop.

Rx composes the operators and hides what they are made of. So the graph is read off the order of subscription,
which goes from downstream up to the sources: a context variable holds the graph that is being connected and
the stage (or stages) that the next one upstream will feed, whatever stock operators stand between.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from streamzarr.errors import ConfigError, describe, is_interrupt
from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.chain import Chain
from streamzarr.flow.message import Batch, Marker, parts_of
from streamzarr.flow.pausing import PauseBoard
from streamzarr.flow.settling import check_settling, ends
from streamzarr.flow.stage import Belongs, Stage, Upstream
from streamzarr.flow.stop import Stop

_log = logging.getLogger(__name__)

Operator: TypeAlias = Callable[[Observable[Batch]], Observable[Batch]]
"""What every function of :mod:`streamzarr.flow.ops` returns: fits into ``.pipe()`` beside stock operators."""

LONGEST_WAIT = 0.2
"""Seconds between two turns of an idle chain, at most: heartbeats and commits depend on it."""
JOIN_TIMEOUT = 30.0
"""Seconds to wait for running work when a chain breaks; it is not waited for after a drain's deadline."""


class Progress(Enum):
    """What a source did when it was its turn."""

    MOVED = "moved"
    IDLE = "idle"
    """It had nothing, and credit for more."""
    STARVED = "starved"
    """It had no credit, so only what is in flight can move."""


class Intake(Upstream, Protocol):
    """A source of a chain, as its graph sees it."""

    def open(self) -> None:
        """Connect the source."""

    def turn(self) -> None:
        """Let the source do what is due."""

    def advance(self, *, alone: bool) -> Progress:
        """Pull and emit what credit allows; only a source that is `alone` may wait for messages meanwhile."""

    def emit(self, batch: Batch) -> None:
        """Pass a batch into the chain."""

    def recheck(self) -> float | None:
        """Return the seconds after which its credit may have grown without anybody being woken."""

    @property
    def patience(self) -> float:
        """Return the seconds after which it is to be asked again although it had nothing."""

    def conclude(self) -> None:
        """Store what is settled: the chain has come to its end in order, and its stages are still there."""

    def close(self, failure: BaseException | None) -> BaseException | None:
        """Close the source; return the error that the chain ends with."""

    def end(self, failure: BaseException | None) -> None:
        """Tell the observer how the chain has ended."""


class Graph:
    """The sources and stages of one running chain, from upstream to downstream.

    Notes
    -----
    Threads: owned by the one thread that drives the chain. Other threads may only call :meth:`cancel`,
    :meth:`send`, :meth:`pause` and :meth:`resume`. Only :meth:`wait` and :meth:`drain` block.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.cancelled = False
        self.pauses = PauseBoard(chain.runtime)
        """Partitions of its topics that pause."""
        self._paused = False
        self.intakes: list[Intake] = []
        self._stages: list[Stage] = []
        self._stops: list[Stop] = []
        self._on_turn: list[Callable[[], None]] = []
        self._markers: deque[Marker] = deque()

    # -- building ----------------------------------------------------------------------------------------

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that have joined, from upstream to downstream."""
        return tuple(self._stages)

    def join(self, stage: Stage, below: Collection[Stage]) -> None:
        """Take in a stage that feeds `below`; stages downstream have joined before."""
        self._stages.insert(0, stage)
        self._feed(stage, below)

    def take_in(self, intake: Intake, below: Collection[Stage]) -> None:
        """Take in a source that feeds `below`."""
        self.intakes.append(intake)
        self._feed(intake, below)

    def _feed(self, upstream: Upstream, below: Collection[Stage]) -> None:
        for stage in below:
            stage.above.append(upstream)

    def begin(self) -> None:
        """Look at what was connected; called once, by whoever drives it, before anything is pulled.

        Some stock operators (``merge``) connect what is upstream of them later, when nobody knows any more
        what it feeds. So a stage that nothing feeds is taken to be fed by all upstream that feeds nothing.

        Raises
        ------
        streamzarr.errors.ConfigError
            Some messages would never be settled, or twice.
        """
        loose = ends(self.intakes, self._stages)
        for place, stage in enumerate(self._stages):
            if not stage.above:
                before = {id(each) for each in (*self.intakes, *self._stages[:place])}
                stage.above = [each for each in loose if id(each) in before]
                for upstream in stage.above:
                    if isinstance(upstream, Stage):
                        upstream.loose = False
        check_settling(self.intakes, self._stages)

    def stop_on(self, stop: Stop) -> None:
        """Stop when `stop` says so; of several the earliest deadline counts."""
        self._stops.append(stop)

    def each_turn(self, call: Callable[[], None]) -> None:
        """Call `call` at every turn, at least five times a second: the place for a heartbeat."""
        self._on_turn.append(call)

    def __enter__(self) -> Self:
        for stop in self._stops:
            stop.subscribe(self.chain.bell.ring)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        for stop in self._stops:
            stop.unsubscribe(self.chain.bell.ring)

    # -- turns -------------------------------------------------------------------------------------------

    @property
    def working(self) -> bool:
        """True when some stage holds messages that will move on by themselves."""
        return any(stage.working for stage in self._stages)

    @property
    def paused(self) -> bool:
        """True while nothing more may enter: somebody said so, or a stage has no place for results."""
        return self._paused or any(stage.full for stage in self._stages)

    def turn(self) -> None:
        """Let every stage pass on what is ready, from upstream to downstream."""
        self.chain.bell.wait(0.0)  # lowered before looking, so that what comes later rings again
        for call in self._on_turn:
            call()
        while self._markers:
            parts = parts_of(self._markers.popleft(), len(self.intakes))
            for intake, part in zip(self.intakes, parts, strict=True):
                intake.emit(Batch((), part))
        for stage in self._stages:
            if self.cancelled:
                return
            stage.turn()

    def flush(self, starved: Collection[Upstream] | None = None) -> None:
        """Let go what waits for more messages, where none is still to come from upstream.

        Branches do not know of each other: a busy stage holds back only what lies downstream of it. Where
        only some sources are `starved` of credit, only what they feed lets go.
        """
        held_back: set[int] = set()
        fed_by_them = None if starved is None else {id(upstream) for upstream in starved}
        for stage in self._stages:
            if self.cancelled:
                return
            if fed_by_them is not None:
                if not any(id(upstream) in fed_by_them for upstream in stage.above):
                    continue
                fed_by_them.add(id(stage))
            if any(upstream.working or id(upstream) in held_back for upstream in stage.above):
                held_back.add(id(stage))
            elif stage.waiting:
                stage.flush()
                self.chain.bell.ring()  # whoever got it wants a turn

    def finish(self) -> None:
        """Let every stage whose upstream has ended pass on everything."""
        for stage in self._stages:
            if self.cancelled:
                return
            if stage.ended or not all(upstream.ended for upstream in stage.above):
                continue
            if not stage.finished:
                stage.finished = True
                stage.finish()
                self.chain.bell.ring()
            stage.ended = not (stage.working or stage.waiting)

    @property
    def ended(self) -> bool:
        """True when every stage has passed on everything and no more can come."""
        return all(stage.ended for stage in self._stages)

    def withdraw(self, belongs: Belongs) -> None:
        """Hand back the messages that `belongs` picks and whose work has not begun.

        What waits for more messages is let go first, so that it is found where its work would begin.
        """
        for stage in self._stages:
            if stage.waiting:
                stage.flush()
                self.chain.bell.ring()
            self.chain.hand_back(stage.withdraw(belongs))

    def abandon(self, claims: Collection[Claim]) -> None:
        """Have every stage forget what it holds for claims that have ended."""
        for stage in self._stages:
            stage.abandon(claims)

    def patience(self, limit: float) -> float:
        """Return for how many seconds nothing has to be done, at most `limit`."""
        if self.chain.bell.rung:
            return 0.0
        limit = min(limit, LONGEST_WAIT)
        dues = [due for stage in self._stages if (due := stage.due()) is not None]
        return max(0.0, min(limit, min(dues) - self.chain.runtime.now())) if dues else limit

    def wait(self, limit: float) -> None:
        """Block until something has finished, a timer is due, or `limit` seconds have passed."""
        self.chain.bell.wait(self.patience(limit))

    def unstick(self, starved: Collection[Upstream] | None = None) -> None:
        """Make sure that something will still happen: called when the `starved` (all) may emit nothing more.

        Raises
        ------
        streamzarr.errors.ConfigError
            Messages are in flight that no stage holds, so their credit will never return.
        """
        stuck = not self.working and not any(stage.waiting for stage in self._stages)
        if stuck and self.chain.in_flight and not self.cancelled:
            raise ConfigError(
                f"{self.chain.in_flight} messages left the chain without being settled: did a stock operator "
                "drop them (use ops.drop_if, which settles), or had they failed and passed by branches that "
                "settle (settle behind the branches)?"
            )
        self.flush(starved)

    # -- from other threads ------------------------------------------------------------------------------

    def cancel(self) -> None:
        """End the chain at its next turn, without settling anything; any thread may call it."""
        self.cancelled = True
        self.chain.bell.ring()

    def send(self, marker: Marker) -> None:
        """Have `marker` travel through the chain, from its sources on; any thread may call it."""
        self._markers.append(marker)
        self.chain.bell.ring()

    def pause(self) -> None:
        """Let nothing more in until :meth:`resume`; what is in flight goes on. Any thread may call it."""
        self._paused = True
        self.chain.bell.ring()

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self._paused = False
        self.chain.bell.ring()

    # -- stopping ----------------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """True when the chain has been asked to stop."""
        return any(stop.requested for stop in self._stops)

    def remaining(self) -> float:
        """Return the seconds left for draining; infinity when no stop was asked for."""
        return min((stop.remaining() for stop in self._stops), default=float("inf"))

    def drain(
        self,
        claims: Collection[Claim] | None,
        remaining: Callable[[], float],
        each_turn: Callable[[], None] | None = None,
    ) -> None:
        """Go on without new messages until nothing of `claims` (``None``: of any) is in flight.

        Returns early when ``remaining()`` seconds are 0, or when the chain is cancelled. Other claims' work
        goes on meanwhile.
        """
        while not self.cancelled:
            self.turn()
            if each_turn is not None:
                each_turn()
            if not self.chain.is_open(claims):
                return
            self.unstick()
            left = remaining()
            if left <= 0:
                return
            self.wait(left)

    def close(self, failure: BaseException | None = None) -> BaseException | None:
        """End the stages' threads and return all credit; what is still in flight counts as left behind.

        Blocks while running work ends: not at all after a drain's deadline, else up to `JOIN_TIMEOUT`.

        Returns
        -------
        BaseException or None
            The error that the chain ends with: `failure`, or the first one here. Neither keeps the rest open.
        """
        deadline = self.chain.runtime.now() + min(JOIN_TIMEOUT, self.remaining())
        stages, self._stages = self._stages, []
        for stage in stages:
            try:
                stage.close(max(0.0, deadline - self.chain.runtime.now()))
            except BaseException as error:  # noqa: BLE001 - handed on by the caller
                failure = first_of(failure, error, f"closing {type(stage).__name__.strip('_')}")
        self.chain.close()
        return failure


def first_of(failure: BaseException | None, error: BaseException, doing: str) -> BaseException:
    """Return the error that a chain ends with when `doing` something at its end has raised `error`.

    That is the first one, with a note of the others; Ctrl-C goes before all.
    """
    if failure is None or is_interrupt(failure):
        return error if failure is None else failure
    if is_interrupt(error):
        return error
    _log.warning("%s of a chain that failed: %s", doing, describe(error))
    failure.add_note(f"{doing} failed as well: {describe(error)}")
    return failure


# -- connecting ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Wiring:
    """A graph that is being connected."""

    graph: Graph
    driven: bool
    """Somebody drives it when it is connected; else its first source has to."""


_wiring: ContextVar[Wiring | None] = ContextVar("streamzarr.flow.wiring", default=None)
_below: ContextVar[tuple[Stage, ...]] = ContextVar("streamzarr.flow.below", default=())


@contextmanager
def connecting(wiring: Wiring | None = None) -> Iterator[Wiring]:
    """Connect operators to `wiring`, or to the one that is being connected, or to a new one of their own."""
    current = wiring or _wiring.get()
    if current is None:
        current = Wiring(Graph(Chain()), driven=False)
    wiring_token, below_token = _wiring.set(current), _below.set(() if wiring else _below.get())
    try:
        yield current
    finally:
        _below.reset(below_token)
        _wiring.reset(wiring_token)


@contextmanager
def feeding(below: tuple[Stage, ...]) -> Iterator[None]:
    """Let what is connected inside feed the stages of `below`."""
    token = _below.set(below)
    try:
        yield
    finally:
        _below.reset(token)


def fed() -> tuple[Stage, ...]:
    """Return the stages that what is connected now will feed."""
    return _below.get()


def staged(make: Callable[[Chain, ObserverBase[Batch]], Stage]) -> Operator:
    """Return the RxPY operator of a stage; each running chain gets a stage of its own."""
    return lambda source: Observable(subscriber(make, source))


def subscriber(
    make: Callable[[Chain, ObserverBase[Batch]], Stage], source: Observable[Batch]
) -> Callable[[ObserverBase[Batch], SchedulerBase | None], DisposableBase]:
    """Return what connects a new stage to `source`: the subscription of an observable."""

    def subscribe(observer: ObserverBase[Batch], scheduler: SchedulerBase | None = None) -> DisposableBase:
        with connecting() as wiring:
            stage = make(wiring.graph.chain, observer)
            wiring.graph.join(stage, fed())
            with feeding((stage,)):
                return source.subscribe(
                    stage.take, observer.on_error, observer.on_completed, scheduler=scheduler
                )

    return subscribe
