"""Chains that streamzarr itself is tested with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reactivex import Observable

from streamzarr.errors import StoreError
from streamzarr.flow import Batch, Message, ops
from streamzarr.flow.ops import DONE, Again, Failed, Report
from streamzarr.queue.retry import RetryPolicy
from streamzarr.testing.simulation.bench import Bench, Fate
from streamzarr.testing.simulation.chain import ChainScenario

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
