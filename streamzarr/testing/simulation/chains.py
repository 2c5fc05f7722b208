"""Chains that streamzarr itself is tested with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reactivex import Observable

from streamzarr.errors import StoreError
from streamzarr.flow import Batch, Message, WindowState, ops
from streamzarr.flow.ops import DONE, Again, Failed, Report
from streamzarr.flow.windows import After, Every, Fixed, Session
from streamzarr.queue.retry import RetryPolicy
from streamzarr.testing.simulation.bench import Bench, Chain, Fate
from streamzarr.testing.simulation.chain import HAZARDS, ChainScenario
from streamzarr.testing.simulation.faults import Hazard

RETRY = RetryPolicy(attempts=4, base=0.05)


def _square(bench: Bench) -> Any:
    tries: dict[int, int] = {}

    def square(value: bytes) -> int:
        number = int(value)
        if number % 7 == 3:
            raise ValueError(f"{number} cannot be squared")
        if number % 5 == 1 and tries.setdefault(number, 0) < 2:
            tries[number] += 1
            raise StoreError(f"{number} does not work yet")
        bench.runtime.bell().wait(bench.runtime.random() * 0.2)
        return number * number

    return square


def _chain(bench: Bench) -> Observable[Batch]:
    return bench.source(max_demand=20, max_bytes=200).pipe(
        ops.dispatch(_square(bench), workers=2, retry=RETRY),
        ops.drop_if(lambda square: square % 4 == 0),
        ops.batch(5, timeout=0.5),
        ops.settle(bench.sink),
    )


def _chain_fate(value: bytes) -> Fate:
    number = int(value)
    if number % 7 == 3:
        return "dead"
    return "skipped" if number % 2 == 0 else "written"


CHAIN = ChainScenario(_chain, name="chain", fate=_chain_fate)
"""Work on threads with retries, some dropped, in batches, into a sink."""


def _graph(bench: Bench) -> Observable[Batch]:
    asked: set[int] = set()

    def store(messages: Sequence[Message]) -> list[Report]:
        """Refuse some for good, put some off once, keep the others."""
        reports: list[Report] = []
        for message in messages:
            number = abs(message.data)
            if number % 11 == 5:
                reports.append(Failed(ValueError(f"{number} cannot be stored")))
            elif number % 13 == 2 and number not in asked:
                asked.add(number)
                reports.append(Again(after=0.3))
            else:
                reports.append(DONE)
        bench.sink([each for each, report in zip(messages, reports, strict=True) if report is DONE])
        return reports

    def slow(number: int) -> int:
        bench.runtime.bell().wait(bench.runtime.random() * 0.3)
        return -number

    return bench.source(max_demand=16, min_demand=12).pipe(
        ops.map(int),
        ops.broadcast(
            {"slow": [ops.dispatch(slow, workers=2)], "quick": [ops.batch(4, timeout=0.4)]},
            selectors={"quick": lambda message: message.data % 3 == 0},
        ),
        ops.route(
            lambda message: "odd" if message.data % 2 else "even",
            {"odd": [ops.batch(3, timeout=0.2)], "even": []},
        ),
        ops.settle(store, dead_letters=bench.letters),
    )


def _graph_fate(value: bytes) -> Fate:
    return "dead" if int(value) % 11 == 5 else "written"


GRAPH = ChainScenario(
    _graph,
    name="graph",
    fate=_graph_fate,
    outputs=lambda value: 2 if int(value) % 3 == 0 and int(value) else 1,
)
"""Branches with copies of a record in several, and a sink that refuses some and puts others off."""


_LAST = 10**6


def _window_fate(value: bytes) -> Fate:
    return "skipped" if int(value) == _LAST else "written"


def _windows(bench: Bench, state: WindowState | None = None, **options: Any) -> Observable[Batch]:
    """Collect what is in windows of ten numbers, or in others, each partition for itself."""

    def place(message: Message) -> Message:
        record = message.record
        assert record is not None
        bench.leave([message])  # it is folded at once
        return message.with_data((record.partition, record.offset, int(message.data)))

    def store(messages: Sequence[Message]) -> None:
        results = [message.data for message in messages]
        bench.write(
            ((result.window.start, result.value), [(item[0], item[1]) for item in result.value])
            for result in results
            if result.window.start < _LAST * 10**9
            # Others come again with the window's final result.
            and (result.partial or result.firing != "early")
        )

    settings = {"window": Fixed("10s"), **options}
    return bench.source(max_demand=16, committer=state).pipe(
        ops.map_messages(place),
        ops.reduce(
            lambda held, item: [*held, list(item)],
            initial=list,
            time=lambda item: float(item[2]),
            idle=None,
            state=state,
            **settings,
        ),
        ops.settle(store, dead_letters=bench.letters),
    )


def _kept(bench: Bench, **options: Any) -> Observable[Batch]:
    return _windows(bench, WindowState("sim://windows", every=0.5, runtime=bench.runtime), **options)


def _sessions(bench: Bench) -> Observable[Batch]:
    early = (Every(3), After("2s"))
    return _kept(bench, window=Session("4s"), merge=lambda one, other: one + other, trigger=early)


def _parts(bench: Bench) -> Observable[Batch]:
    early = (Every(3, reset=True), After("2s", reset=True))
    return _kept(bench, trigger=early)


def _kept_scenario(chain: Chain, name: str) -> ChainScenario:
    return ChainScenario(
        chain,
        name=name,
        fate=_window_fate,
        epilogue=b"%d" % _LAST,
        own_committer=True,
        hazards=(
            *HAZARDS,
            *(Hazard("write", kind, within=40, weight=2.0) for kind in ("refuse", "lose")),
            Hazard("write", "late", within=40, seconds=(1.0, 15.0), weight=2.0),
            Hazard("read", "refuse", within=40),
            Hazard("write", "full", within=40, seconds=(1.0, 10.0)),
        ),
    )


WINDOWS = ChainScenario(_windows, name="windows", fate=_window_fate, epilogue=b"%d" % _LAST)
"""Windows whose messages are read again after a restart."""

KEPT_WINDOWS = _kept_scenario(_kept, "kept-windows")
"""Windows that are kept in a store, together with the positions."""

SESSIONS = _kept_scenario(_sessions, "sessions")
"""Sessions that grow together, kept, with early results that hold all there is so far."""

PARTS = _kept_scenario(_parts, "window-parts")
"""Windows that are given in parts: each message is in one of the early results, or in the final one."""
