"""What a user of the test kit does: a chain or a transform of one's own, a failing seed, the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import reactivex.operators as rx

from streamzarr.errors import ConfigError
from streamzarr.flow import ops
from streamzarr.testing import simulate
from streamzarr.testing.simulation import Bench
from tests.simulation.planted import commit_before_write

MODULE = """
from streamzarr.flow import ops

def double(value):
    return int(value) * 2

def choosy(value):
    if value.endswith(b"7"):
        raise ValueError("not this one")
    return value

def good(bench):
    return bench.source(max_demand=8).pipe(ops.map(int), ops.batch(4, timeout=0.5), ops.settle(bench.sink))

def forgetful(bench):
    def sink(messages):
        bench.sink([message for message in messages if message.data % 10 != 3])
    return bench.source(max_demand=8).pipe(ops.map(int), ops.settle(sink))
"""


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


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "mymodule.py").write_text(MODULE)
    return subprocess.run(
        [sys.executable, "-m", "streamzarr.cli.main", "simulate", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_the_command_runs_a_users_transform(tmp_path: Path) -> None:
    done = command(tmp_path, "--transform", "mymodule:choosy", "--seeds", "6")
    assert (done.returncode, done.stdout) == (0, "6 seeds, 0 found something\n"), done.stderr


def test_the_command_tells_how_a_users_chain_fails(tmp_path: Path) -> None:
    done = command(tmp_path, "--chain", "mymodule:forgetful", "--seeds", "3")
    assert done.returncode == 1
    assert "P1" in done.stdout
    assert "the shortest run that fails alike" in done.stdout
    assert "worker-1/main" in done.stdout


def test_the_command_prints_json(tmp_path: Path) -> None:
    done = command(tmp_path, "--chain", "mymodule:good", "--seeds", "3", "--json")
    assert json.loads(done.stdout) == {"seeds": 3, "failures": []}
    done = command(tmp_path, "--chain", "mymodule:forgetful", "--seeds", "2", "--json")
    [failure] = json.loads(done.stdout)["failures"]
    assert failure["shortest"]["failure"].startswith("BrokenPromiseError: P1")


def test_the_command_says_what_cannot_be_found(tmp_path: Path) -> None:
    done = command(tmp_path, "--chain", "mymodule:nothing")
    assert done.returncode == 2
    assert "mymodule:nothing" in done.stderr
