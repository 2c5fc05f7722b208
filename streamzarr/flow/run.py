"""Running a chain to its end, and stopping it well."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any

from reactivex import Observable

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import checked, flag
from streamzarr.flow.control import Control
from streamzarr.flow.drive import drive
from streamzarr.flow.running import STEERING, Running, RunReport
from streamzarr.flow.stop import Stop
from streamzarr.runtime import SYSTEM, Runtime


@checked("run", **STEERING, install_signal_handlers=flag)
def run(
    observable: Observable[Any],
    *,
    stop: Stop | None = None,
    control: Control | None = None,
    runtime: Runtime = SYSTEM,
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
    control
        Pauses and flushes it from elsewhere.
    runtime
        Clocks, threads and chance for everything in the chain.
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
    running = Running(observable, stop, control, runtime)
    with _signals(running.stop, drain) if install_signal_handlers else nullcontext(), running:
        if running.graph.intakes:
            drive(running.graph)
        running.ended.wait()  # at once, unless some scheduler has moved the chain to another thread
    return running.report()


@contextmanager
def _signals(stop: Stop, drain: float) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into calls of `stop`."""
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

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, handle)
    except ValueError:
        raise ConfigError("signal handlers can only be installed in the main thread") from None
    try:
        yield
    finally:
        restore()
