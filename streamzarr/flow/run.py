"""Running a chain to its end, and stopping it well."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from reactivex import Observable
from reactivex.scheduler import CurrentThreadScheduler

from streamzarr.errors import ConfigError
from streamzarr.flow.scope import Scope, current_scope
from streamzarr.flow.stop import Stop


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became of every message that was delivered: ``delivered`` is the sum of the five others.

    ``handed_back`` and ``left`` are not acknowledged: a topic delivers them again.
    """

    delivered: int = 0
    ok: int = 0
    failed: int = 0
    """Settled as failures, such as by a dead letter."""
    skipped: int = 0
    handed_back: int = 0
    """Work had not begun when the chain stopped, or the partition had gone to another worker."""
    left: int = 0
    """Work had begun and did not end before the deadline."""
    stopped: bool = False
    """The chain was asked to stop (it may have completed all the same)."""
    seconds: float = 0.0

    def __str__(self) -> str:
        """Return the report as one line.

        >>> print(RunReport(delivered=9, ok=6, failed=1, handed_back=2, seconds=1.24))
        9 delivered in 1.2 s: 6 ok, 1 failed, 0 skipped, 2 handed back, 0 left
        """
        return (
            f"{self.delivered} delivered in {self.seconds:.1f} s: {self.ok} ok, {self.failed} failed, "
            f"{self.skipped} skipped, {self.handed_back} handed back, {self.left} left"
        )


def run(
    observable: Observable[Any],
    *,
    stop: Stop | None = None,
    install_signal_handlers: bool = False,
    drain: float = 30.0,
) -> RunReport:
    """Subscribe, block until the chain has completed, and report.

    Parameters
    ----------
    observable
        A chain that begins with a source of :mod:`streamzarr.flow`; the calling thread drives it.
    stop
        Stops it from elsewhere.
    install_signal_handlers
        SIGTERM and SIGINT drain within `drain` seconds, a second one stops at once, a third one does what it
        would have done without us. Main thread only; the previous handlers are put back at the end.
    drain
        Seconds for work that has begun, after the first signal.

    Raises
    ------
    streamzarr.errors.ConfigError
        It is called from within a running chain, or signal handlers are wanted outside the main thread.
    Exception
        Whatever broke the chain (``on_error``). Bad data does not: it is a failed message.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops
    >>> run(from_iterable("abc", Demand(10)).pipe(ops.settle())).ok
    3
    """
    if not CurrentThreadScheduler.singleton().schedule_required():
        raise ConfigError("run() was called from within a running chain; it would wait for itself")
    scope = Scope(stop or Stop())
    errors: list[BaseException] = []
    ended = threading.Event()
    begun = time.monotonic()

    def on_error(error: BaseException) -> None:
        errors.append(error)
        ended.set()

    token = current_scope.set(scope)
    try:
        with _signals(scope.stop, drain) if install_signal_handlers else _nothing():
            observable.subscribe(on_error=on_error, on_completed=ended.set)
            ended.wait()  # at once, unless some scheduler has moved the chain to another thread
    finally:
        current_scope.reset(token)
    if errors:
        raise errors[0]
    tallies = [lane.tally for lane in scope.lanes]
    return RunReport(
        delivered=sum(tally.delivered for tally in tallies),
        ok=sum(tally.ok for tally in tallies),
        failed=sum(tally.failed for tally in tallies),
        skipped=sum(tally.skipped for tally in tallies),
        handed_back=sum(tally.handed_back for tally in tallies),
        left=sum(tally.left for tally in tallies),
        stopped=scope.stop.requested,
        seconds=time.monotonic() - begun,
    )


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _signals(stop: Stop, drain: float) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into calls of `stop`."""
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("signal handlers can only be installed in the main thread")
    previous: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            stop.now()
            restore()
        else:
            stop.drain(drain)

    for number in (signal.SIGTERM, signal.SIGINT):
        previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        restore()
