"""What a user of the test kit does: a chain or a transform of one's own, a failing seed."""

from __future__ import annotations

import math
import os
import re
import sys
import threading

import pytest
import reactivex.operators as rx

from streamzarr.errors import ConfigError
from streamzarr.flow import ops
from streamzarr.runtime import SYSTEM
from streamzarr.testing import simulate
from streamzarr.testing.simulation import Bench
from streamzarr.testing.simulation.bench import Chain
from streamzarr.testing.simulation.errors import UnsimulatedError
from streamzarr.testing.simulation.machine import simulated_machine
from streamzarr.testing.simulation.play import plan_of
from streamzarr.testing.simulation.streams import STREAM
from streamzarr.testing.simulation.world import World
from tests.simulation.planted import commit_before_write


def test_a_good_chain_keeps_every_promise() -> None:
    def chain(bench: Bench) -> object:
        return bench.source(max_demand=8).pipe(ops.map(int), ops.settle(bench.sink))

    assert all(simulate(seed, chain=chain).ok for seed in range(5))


def test_a_chain_that_loses_messages_is_found_replayed_and_made_short() -> None:
    def chain(bench: Bench) -> object:
        def sink(messages: object) -> None:
            bench.sink([message for message in messages if message.data != 3])

        return bench.source(max_demand=8).pipe(ops.map(int), ops.settle(sink))

    finding = simulate(1, chain=chain)
    assert not finding.ok
    assert finding.replayed
    assert finding.shortest is not None
    assert finding.shortest.plan.faults == ()
    assert finding.shortest.plan.size <= finding.outcome.plan.size
    assert "offset" in str(finding.shortest)
    assert "(b'3') shall be written, and is found in: no topic" in str(finding.shortest)


def test_the_stock_filter_is_found_to_lose_messages() -> None:
    def chain(bench: Bench) -> object:
        keep = rx.map(lambda batch: batch.with_messages([m for m in batch if not m.data.endswith(b"4")]))
        return bench.source(max_demand=50).pipe(keep, ops.settle(bench.sink))

    assert not simulate(3, chain=chain, shorten=False).ok


def test_a_fault_that_is_needed_stays_in_the_shortest_run() -> None:
    with commit_before_write():
        finding = next(found for seed in range(100) if not (found := simulate(seed)).ok)
    assert finding.shortest is not None
    assert len(finding.shortest.plan.faults) <= 2
    assert finding.shortest.steps <= finding.outcome.steps
    assert "P1" in str(finding.shortest.failure)


def test_what_is_skipped_on_purpose_is_said_by_fate() -> None:
    def chain(bench: Bench) -> object:
        return bench.source().pipe(ops.drop_if(lambda value: value == b"5"), ops.settle(bench.sink))

    assert not simulate(2, chain=chain, shorten=False).ok
    assert simulate(2, chain=chain, fate=lambda value: "skipped" if value == b"5" else "written").ok


def test_a_transform_and_what_it_refuses() -> None:
    def transform(value: bytes) -> int:
        if value == b"7":
            raise ValueError("not this one")
        return int(value) + 1

    assert all(simulate(seed, transform=transform).ok for seed in range(3))


def test_one_thing_at_a_time_is_simulated() -> None:
    with pytest.raises(ConfigError, match="expected one of scenario, chain and transform"):
        simulate(1, "graph", transform=int)
    with pytest.raises(ConfigError, match="or module:name"):
        simulate(1, "nothing")


def test_code_that_reaches_for_the_machine_is_found() -> None:
    def chain(bench: Bench) -> object:
        from streamzarr.runtime import SYSTEM

        return bench.source().pipe(
            ops.map_messages(lambda message: message.with_data(SYSTEM.now())), ops.settle(bench.sink)
        )

    finding = simulate(1, chain=chain, shorten=False)
    assert not finding.ok


def test_threads_that_were_there_before_have_the_machine_still() -> None:
    begun, times = threading.Event(), []
    other = threading.Thread(target=lambda: begun.wait() and times.append(SYSTEM.now()))
    other.start()
    with simulated_machine(World(plan_of(STREAM, 0), 60.0)):
        begun.set()
        other.join()
        with pytest.raises(UnsimulatedError):
            SYSTEM.now()
    assert len(times) == 1


def test_a_run_that_does_not_end_is_a_finding_that_says_who_has_the_processor() -> None:
    def chain(bench: Bench) -> object:
        return bench.source(max_demand=8).pipe(ops.map(lambda _: forever.wait()), ops.settle(bench.sink))

    forever = threading.Event()  # not one of the runtime
    finding = simulate(1, chain=chain, timeout=1.0)
    assert finding.outcome.failure is not None
    assert finding.outcome.failure.startswith("OvertimeError: not over within 1 s of real time: worker-")
    assert "has the processor (" in finding.outcome.failure
    assert "world/main waits for" in finding.outcome.failure
    assert finding.shortest is finding.outcome, "it was not played over and over"


def test_a_process_that_ends_under_a_run_is_a_finding() -> None:
    def chain(bench: Bench) -> object:
        return bench.source().pipe(ops.map(lambda _: os._exit(3)), ops.settle(bench.sink))

    finding = simulate(1, chain=chain, shorten=False)
    assert finding.outcome.failure == (
        "SimulationError: the process that plays it has ended with exit code 3"
    )


@pytest.mark.parametrize(
    ("chain", "what"),
    [
        (lambda bench: None, "it returned None, expected a chain"),
        (lambda bench: bench.source, "it returned a method, expected a chain"),
        (lambda bench: bench.nothing(), "AttributeError: 'Bench' object has no attribute 'nothing'"),
        (lambda bench: bench.source(max_demand=0), "ConfigError: Demand: max_demand is 0"),
        (lambda bench: sys.exit(3), "SystemExit: 3"),
        (lambda bench: os._exit(3), "exit code 3"),
    ],
)
def test_a_chain_that_cannot_be_built_is_no_finding(chain: Chain, what: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(what)):
        simulate(1, chain=chain)


@pytest.mark.parametrize("timeout", [0, -1.0, math.nan, math.inf])
def test_a_timeout_is_a_number_of_seconds(timeout: float) -> None:
    with pytest.raises(ConfigError, match=r"timeout is .*, expected seconds above 0"):
        simulate(1, timeout=timeout)
