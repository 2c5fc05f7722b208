"""Running a chain to its end, and stopping it well."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from reactivex import Observable

from streamzarr.errors import ConfigError
from streamzarr.flow.chain import Chain, Tally
from streamzarr.flow.drive import drive, driving
from streamzarr.flow.graph import Graph, Wiring, connecting
from streamzarr.flow.message import Batch
from streamzarr.flow.stop import Stop
from streamzarr.runtime import SYSTEM, Runtime


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became of every record that was delivered: ``delivered`` is the sum of the six others.

    ``handed_back``, ``left`` and ``held`` are not acknowledged: a topic delivers them again.
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
    held: int = 0
    """Folded into accumulators that were still open when the chain stopped (a state may keep them)."""
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
            + (f", {self.held} held" if self.held else "")
        )


def run(
    observable: Observable[Any],
    *,
    stop: Stop | None = None,
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
    if driving.get():
        raise ConfigError("run() was called from within a running chain; it would wait for itself")
    stop = stop or Stop(runtime)
    graph = Graph(Chain(runtime))
    graph.stop_on(stop)
    errors: list[BaseException] = []
    ended = runtime.event()
    begun = runtime.now()

    def on_next(item: Any) -> None:
        if isinstance(item, Batch) and item.marker is not None and item.marker.on_passed is not None:
            item.marker.on_passed()

    def on_error(error: BaseException) -> None:
        errors.append(error)
        ended.set()

    with _signals(stop, drain) if install_signal_handlers else _nothing():
        with connecting(Wiring(graph, driven=True)):
            observable.subscribe(on_next, on_error, ended.set)
        if graph.intakes:
            drive(graph)
        ended.wait()  # at once, unless some scheduler has moved the chain to another thread
    if errors:
        raise errors[0]
    return _report(graph.chain.tally, stopped=stop.requested, seconds=runtime.now() - begun)


def _report(tally: Tally, *, stopped: bool, seconds: float) -> RunReport:
    return RunReport(
        delivered=tally.delivered,
        ok=tally.ok,
        failed=tally.failed,
        skipped=tally.skipped,
        handed_back=tally.handed_back,
        left=tally.left,
        held=tally.held,
        stopped=stopped,
        seconds=seconds,
    )


@contextmanager
def _nothing() -> Iterator[None]:
    yield


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
