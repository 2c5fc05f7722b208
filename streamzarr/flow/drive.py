"""The loop that drives a chain: pull what credit allows, emit it, pass on what has finished, wait.

One thread runs it from the first pull to the last commit. Whatever blocks, blocks here: a pull for at most
its timeout, a wait until the lane's bell rings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler

from streamzarr.errors import describe, is_interrupt
from streamzarr.flow.clock import Clock
from streamzarr.flow.demand import Credits, Room
from streamzarr.flow.lane import Lane
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.scope import current_scope
from streamzarr.flow.stop import Stop

_log = logging.getLogger(__name__)

BUSY_POLL = 0.01
"""Longest blocking pull, in seconds, while work is in flight: what finishes during it waits for its end."""


class Source(Protocol):
    """Where messages come from; every method runs on the chain's thread."""

    poll_timeout: float
    """Longest blocking pull, seconds, when nothing is in flight."""

    def open(self) -> None:
        """Connect; called first, once."""

    def pull(self, room: Room, timeout: float) -> list[Message] | None:
        """Return up to ``room.messages`` messages, waiting at most `timeout` seconds for the first one.

        ``None`` says that there will never be more.
        """

    def turn(self) -> None:
        """Do what is due (heartbeat, commit); called at every turn."""

    def close(self) -> None:
        """Store what is settled and disconnect; called last, once, also after an error."""


def observe(
    make: Callable[[Lane], Source],
    credits: Credits,  # noqa: A002 - see Lane
    *,
    stop: Stop | None = None,
    clock: Clock,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Return the observable that drives a new source and lane for each subscription."""

    def subscribe(observer: ObserverBase[Batch], scheduler: SchedulerBase | None = None) -> DisposableBase:
        scope = current_scope.get()
        stops = [one for one in (stop, scope.stop if scope else None) if one is not None]
        lane = Lane(credits, stops=stops, clock=clock, on_turn=on_turn)
        if scope is not None:
            scope.lanes.append(lane)

        def action(_: SchedulerBase, __: Any = None) -> None:
            drive(lane, make, observer)

        # Scheduled, not called: the whole chain must be connected before the first batch, or an operator
        # such as take() could not stop it. Disposing cancels the lane and leaves the scheduled action be,
        # since it is the action that releases what the lane holds.
        (scheduler or CurrentThreadScheduler.singleton()).schedule(action)
        return Disposable(lane.cancel)

    return Observable(subscribe)


def drive(lane: Lane, make: Callable[[Lane], Source], observer: ObserverBase[Batch]) -> None:
    """Run a chain to its end, then release everything, then tell the observer how it ended."""
    failure: BaseException | None = None
    source: Source | None = None
    with lane:
        try:
            source = make(lane)
            source.open()
            _pump(lane, source, observer)
            _finish(lane, source)
        except BaseException as error:  # handed on below, after everything is released
            if is_interrupt(error):
                raise
            failure = error
        finally:
            lane.close()  # first: nothing may be settled any more while the source stores positions
            if source is not None:
                failure = _close(source, failure)
    if failure is None:
        observer.on_completed()
        return
    if lane.cancelled:
        _log.warning("a chain that nobody watches any more failed at its end: %s", describe(failure))
    observer.on_error(failure)  # type: ignore[arg-type]  # Rx hands on whatever it is given


def _pump(lane: Lane, source: Source, observer: ObserverBase[Batch]) -> None:
    """Emit batches until the source is exhausted or the chain is to end."""
    waiting: list[Message] = []  # pulled, but too many bytes to enter yet
    exhausted = False
    while True:
        lane.turn()
        source.turn()
        if lane.cancelled or lane.stopping or lane.credits.closed:
            return
        room = lane.credits.room()
        if not waiting and not exhausted and room.messages:
            longest = BUSY_POLL if lane.in_flight else source.poll_timeout
            pulled = source.pull(room, lane.patience(longest))
            if pulled is None:
                exhausted = True
            elif pulled:
                waiting = pulled
            else:
                continue  # the pull has waited
        if not waiting and exhausted:
            return
        batch = lane.admit(waiting) if waiting else None
        if batch is not None:
            observer.on_next(batch)
        elif waiting or not room.messages:
            lane.unstick()
            lane.wait(float("inf") if lane.credits.recheck is None else lane.credits.recheck)


def _finish(lane: Lane, source: Source) -> None:
    """Settle what is in flight; after a call to stop only what has begun, and within its deadline."""
    lane.drain(None, lambda: 0.0 if lane.stopping else float("inf"), each_turn=source.turn)
    if lane.stopping and not lane.cancelled:
        lane.withdraw(lambda message: True)
        lane.drain(None, lane.remaining, each_turn=source.turn)


def _close(source: Source, failure: BaseException | None) -> BaseException | None:
    try:
        source.close()
    except BaseException as error:  # handed on by the caller
        if is_interrupt(error):
            raise
        if failure is None:
            return error
        _log.warning("closing the source of a chain that failed: %s", describe(error))
        failure.add_note(f"closing the source failed as well: {describe(error)}")
    return failure
