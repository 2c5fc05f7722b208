"""A chain that is connected and about to be driven: what running it and reading from it have in common."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from reactivex import Observable

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import Check, instance, optional, runtime, seconds
from streamzarr.flow.chain import Chain
from streamzarr.flow.control import Control
from streamzarr.flow.drive import is_driving
from streamzarr.flow.graph import Graph, Wiring, connecting
from streamzarr.flow.message import Batch
from streamzarr.flow.pausing import PausedPartition
from streamzarr.flow.stop import Stop
from streamzarr.runtime import Runtime


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
    paused: tuple[PausedPartition, ...] = ()
    """Partitions that paused by themselves and had not gone on: see :class:`DeadLetterLimit`."""

    def __str__(self) -> str:
        """Return the report as one line.

        >>> print(RunReport(delivered=9, ok=6, failed=1, handed_back=2, seconds=1.24))
        9 delivered in 1.2 s: 6 ok, 1 failed, 0 skipped, 2 handed back, 0 left
        """
        return (
            f"{self.delivered} delivered in {self.seconds:.1f} s: {self.ok} ok, {self.failed} failed, "
            f"{self.skipped} skipped, {self.handed_back} handed back, {self.left} left"
            + (f", {self.held} held" if self.held else "")
            + "".join(f"; {each}" for each in self.paused)
        )


STEERING: Final[dict[str, Check]] = {
    "observable": instance(Observable, "a chain: a source of streamzarr.flow, and operators"),
    "stop": optional(instance(Stop, "a Stop")),
    "control": optional(instance(Control, "a Control")),
    "runtime": runtime,
    "drain": seconds(),
}
"""What ``run``, ``iter`` and ``aiter`` are given."""


class Running:
    """One run of a chain: a graph of its own, connected on entry, steered until exit.

    Owned by the thread that drives the graph.

    Raises
    ------
    streamzarr.errors.ConfigError
        On entry: within a running chain, or another chain runs under `control`.
    """

    def __init__(
        self, observable: Observable[Any], stop: Stop | None, control: Control | None, runtime: Runtime
    ) -> None:
        self.stop = stop or Stop(runtime)
        self.graph = Graph(Chain(runtime))
        self.graph.stop_on(self.stop)
        self.ended = runtime.event()
        self._observable, self._control, self._runtime = observable, control, runtime
        self._errors: list[BaseException] = []
        self._begun = runtime.now()

    def __enter__(self) -> Self:
        if is_driving():
            raise ConfigError("run() was called from within a running chain; it would wait for itself")
        with connecting(Wiring(self.graph, driven=True)):
            self._observable.subscribe(_watch, self._failed, self.ended.set)
        if self._control is not None:
            self._control.attach(self.graph)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._control is not None:
            self._control.detach()

    def _failed(self, error: BaseException) -> None:
        self._errors.append(error)
        self.ended.set()

    def report(self) -> RunReport:
        """Return what became of everything; raises what broke the chain."""
        if self._errors:
            raise self._errors[0]
        tally = self.graph.chain.tally
        return RunReport(
            delivered=tally.delivered,
            ok=tally.ok,
            failed=tally.failed,
            skipped=tally.skipped,
            handed_back=tally.handed_back,
            left=tally.left,
            held=tally.held,
            stopped=self.stop.requested,
            seconds=self._runtime.now() - self._begun,
            paused=tuple(self.graph.pauses.paused),
        )


def _watch(item: Any) -> None:
    """See what has come to the end of the chain: there a marker has passed everything."""
    if isinstance(item, Batch) and item.marker is not None and item.marker.on_passed is not None:
        item.marker.on_passed()
