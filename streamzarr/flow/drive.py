"""The loop that drives a chain: pull what credit allows, emit it, pass on what has finished, wait.

One thread runs it from the first pull to the last commit. Whatever blocks, blocks here: a pull for at most
its timeout, a wait until the chain's bell rings.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler

from streamzarr.errors import ConfigError, StreamzarrError, describe, is_interrupt
from streamzarr.flow.demand.credits import Credits, Room
from streamzarr.flow.graph import Graph, Intake, Progress, connecting, fed, first_of
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.stop import Stop

_log = logging.getLogger(__name__)

BUSY_POLL = 0.01
"""Longest blocking pull, in seconds, while there is other work: what finishes during it waits for its end."""


class Source(Protocol):
    """Where messages come from; every method runs on the chain's thread."""

    poll_timeout: float
    """Longest blocking pull, seconds, when nothing is in flight."""

    def open(self) -> None:
        """Connect; called first, once."""

    def pull(self, room: Room, timeout: float) -> Sequence[Message] | None:
        """Return messages of up to ``room.messages`` records, waiting at most `timeout` seconds for one.

        ``None`` says that there will never be more.
        """

    def turn(self) -> None:
        """Do what is due (heartbeat, commit); called at every turn."""

    def conclude(self) -> None:
        """Store what is settled; called once, when the chain has come to its end without an error.

        Its stages are still there, so that what they hold can be stored with it.
        """

    def close(self) -> None:
        """Store what is settled, if that was not done, and disconnect; called last, also after an error."""


class PulledIntake:
    """A :class:`streamzarr.flow.graph.Intake`: a source, and what it has given that may not enter yet.

    Owned by the chain's thread.
    """

    working = 0
    settled = False

    def __init__(
        self,
        graph: Graph,
        make: Callable[[Graph], Source],
        credits: Credits,  # noqa: A002 - the field's word; the builtin of this name is for the prompt
        observer: ObserverBase[Batch],
    ) -> None:
        self._credits = credits
        self._observer = observer
        self._graph = graph
        self._make = make
        self._source: Source | None = None
        self._waiting: Sequence[Message] = ()  # pulled, but too many bytes to enter yet
        self._exhausted = False

    @property
    def ended(self) -> bool:
        """True when nothing will come any more."""
        return (self._exhausted and not self._waiting) or self._credits.closed

    def open(self) -> None:
        """Make the source and connect it."""
        self._credits.subscribe(self._graph.chain.bell.ring)
        self._source = self._make(self._graph)
        self._source.open()

    def turn(self) -> None:
        """Let the source do what is due."""
        if self._source is not None:
            self._source.turn()

    def advance(self, *, alone: bool) -> Progress:
        """Pull and emit what credit allows; only a source that is `alone` may wait for messages meanwhile.

        Raises what the source raises.
        """
        assert self._source is not None
        graph = self._graph
        room = self._credits.room()
        if not self._waiting and not self._exhausted and room.messages:
            pulled = self._source.pull(room, graph.patience(self.patience) if alone else 0.0)
            if not pulled:
                self._exhausted = pulled is None
                return Progress.IDLE if pulled is not None else Progress.MOVED
            self._waiting = pulled
        if not self._waiting:
            return Progress.STARVED
        messages, self._waiting = graph.chain.admit(self._waiting, self._credits)
        if not messages:
            return Progress.STARVED
        self.emit(Batch(messages))
        return Progress.MOVED

    @property
    def patience(self) -> float:
        """Return the seconds after which it is to be asked again although it had nothing."""
        assert self._source is not None
        return BUSY_POLL if self._graph.chain.in_flight else self._source.poll_timeout

    def emit(self, batch: Batch) -> None:
        """Pass a batch into the chain."""
        self._observer.on_next(batch)

    def recheck(self) -> float | None:
        """Return the seconds after which its credit may have grown without anybody being woken."""
        return self._credits.recheck

    def conclude(self) -> None:
        """Have the source store what is settled."""
        if self._source is not None:
            self._source.conclude()

    def close(self, failure: BaseException | None) -> BaseException | None:
        """Close the source; return the error that the chain ends with."""
        self._credits.unsubscribe(self._graph.chain.bell.ring)
        try:
            if self._source is not None:
                self._source.close()
        except BaseException as error:  # noqa: BLE001 - handed on by the caller
            return first_of(failure, error, "closing the source")
        return failure

    def end(self, failure: BaseException | None) -> None:
        """Tell the observer how the chain has ended."""
        if failure is None:
            self._observer.on_completed()
        else:
            self._observer.on_error(failure)  # type: ignore[arg-type]  # Rx hands on whatever it is given


def observe(
    make: Callable[[Graph], Source],
    credits: Credits,  # noqa: A002
    *,
    stop: Stop | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Return the observable that makes a new source for each chain that it is connected to."""

    def subscribe(observer: ObserverBase[Batch], scheduler: SchedulerBase | None = None) -> DisposableBase:
        if is_driving():
            raise ConfigError(
                "a source was connected when its chain was running, and does not belong to it; expected all "
                "sources from the beginning, such as by reactivex.merge (not by concat or flat_map)"
            )
        with connecting() as wiring:
            graph = wiring.graph
            graph.take_in(PulledIntake(graph, make, credits, observer), fed())
            if stop is not None:
                graph.stop_on(stop)
            if on_turn is not None:
                graph.each_turn(on_turn)
            if not wiring.driven:
                wiring.driven = True
                # Scheduled, not called: the whole chain must be connected before the first batch, or an
                # operator such as take() could not stop it. Disposing cancels the chain and leaves the
                # scheduled action be, since it is the action that releases what the chain holds.
                (scheduler or CurrentThreadScheduler.singleton()).schedule(lambda *_: drive(graph))
        return Disposable(graph.cancel)

    return Observable(subscribe)


_driver: ContextVar[int | None] = ContextVar("streamzarr.flow.driver", default=None)
"""The process that runs a chain here. One that was forked inside a chain has the context, not the chain."""


@contextmanager
def driving() -> Iterator[None]:
    """Let what runs inside know that it is within a running chain."""
    token = _driver.set(os.getpid())
    try:
        yield
    finally:
        _driver.reset(token)


def is_driving() -> bool:
    """Tell whether the caller is within a running chain."""
    return _driver.get() == os.getpid()


def drive(graph: Graph) -> None:
    """Run a connected chain to its end."""
    with driving():
        for _ in turns(graph):
            pass


def turns(graph: Graph) -> Iterator[None]:
    """Run a connected chain to its end, then release everything, then tell the observers how it ended.

    Yields at every turn, so that somebody can look at what has come out; whoever has seen enough stops the
    chain and lets it come to its end.
    """
    failure: BaseException | None = None
    with graph:
        try:
            graph.begin()
            for intake in graph.intakes:
                intake.open()
            yield from _pump(graph)
            yield from _finish(graph)
            if not graph.cancelled:  # else what was emitted lately may have come to nobody
                for intake in graph.intakes:
                    intake.conclude()
        except BaseException as error:  # noqa: BLE001 - handed on below, after everything is released
            failure = error
        failure = graph.close(failure)  # first: nothing may be settled any more while sources store positions
        for intake in graph.intakes:
            failure = intake.close(failure)
    if failure is not None and is_interrupt(failure):
        raise failure
    if isinstance(failure, StopIteration):
        failure = _broken_by(failure)
    if failure is not None and graph.cancelled:
        _log.warning("a chain that nobody watches any more failed at its end: %s", describe(failure))
    for intake in graph.intakes:
        intake.end(failure)


def _pump(graph: Graph) -> Iterator[None]:
    """Emit batches until the sources are exhausted or the chain is to end."""
    with _no_end_of_ours():
        while True:
            _turn(graph)
            yield
            if graph.cancelled or graph.stopping:
                return
            open_ones = [intake for intake in graph.intakes if not intake.ended]
            if not open_ones:
                return
            if graph.paused:
                graph.wait(float("inf"))
            else:
                _advance(graph, open_ones)
            if len(open_ones) < len(graph.intakes):
                graph.finish()


def _advance(graph: Graph, intakes: Sequence[Intake]) -> None:
    """Let every source emit what it may; when none can, let go what waits for a starved one, and wait."""
    alone = len(intakes) == 1
    progress = [(intake, intake.advance(alone=alone)) for intake in intakes]
    if any(found is Progress.MOVED for _, found in progress):
        return
    starved = [intake for intake, found in progress if found is Progress.STARVED]
    idle = [intake for intake, found in progress if found is Progress.IDLE]
    if starved:
        graph.unstick(starved)
    elif alone:
        return  # its pull has waited
    rechecks = [recheck for intake in starved if (recheck := intake.recheck()) is not None]
    graph.wait(min([*rechecks, *(intake.patience for intake in idle)], default=float("inf")))


def _turn(graph: Graph) -> None:
    graph.turn()
    for intake in graph.intakes:
        intake.turn()


def _finish(graph: Graph) -> Iterator[None]:
    """Settle what is in flight; after a call to stop only what has begun, and within its deadline."""

    def each_turn() -> None:
        for intake in graph.intakes:
            intake.turn()

    with _no_end_of_ours():
        while not (graph.stopping or graph.cancelled):
            _turn(graph)
            graph.finish()
            yield
            if graph.ended and not graph.chain.in_flight:
                return
            graph.unstick()
            graph.wait(float("inf"))
        if graph.stopping and not graph.cancelled:
            graph.withdraw(lambda message: True)
            graph.drain(None, graph.remaining, each_turn=each_turn)


@contextmanager
def _no_end_of_ours() -> Iterator[None]:
    """Have a sink's ``StopIteration``, say, leave a generator, where Python makes a nameless error of it."""
    try:
        yield
    except StopIteration as error:
        raise _broken_by(error) from error


def _broken_by(error: StopIteration) -> StreamzarrError:
    broken = StreamzarrError(f"the chain was broken by {describe(error)}")
    broken.__cause__ = error
    return broken
