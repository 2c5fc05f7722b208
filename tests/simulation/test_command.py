"""The command ``streamzarr simulate``, as a user enters it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from streamzarr.cli.main import cli

MODULE = """
from streamzarr.flow import ops

print("imported")

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

def two(bench, other):
    return good(bench)

async def later(value):
    return value

def nothing(bench):
    bench.source()

def stuck(bench):
    def wait(value):
        while True:
            pass
    return bench.source().pipe(ops.map(wait), ops.settle(bench.sink))

class Half:
    name, size = "half", 3

def broken():
    raise RuntimeError("not today")
"""

BROKEN = {"mybroken": "raise ValueError('not today')", "myexit": "raise SystemExit(7)"}


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
    done = command(tmp_path, "--chain", "mymodule:missing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(
        "\nstreamzarr: mymodule:missing: module 'mymodule' has no attribute 'missing'\n"
    )


def test_the_command_tells_how_to_see_it_again(tmp_path: Path) -> None:
    done = command(tmp_path, "--chain", "mymodule:forgetful", "--seeds", "3", "--timeout", "30")
    [again] = [line for line in done.stdout.splitlines() if line.startswith("again: ")]
    program, *arguments = shlex.split(again.removeprefix("again: "))
    assert program == "streamzarr"
    assert arguments[:3] == ["simulate", "--chain", "mymodule:forgetful"]
    assert arguments[-2:] == ["--timeout", "30"]
    told = command(tmp_path, *arguments[1:]).stdout
    assert told.partition("again: ")[0] == done.stdout.partition("again: ")[0]


def test_the_command_ends_a_seed_that_does_not_end(tmp_path: Path) -> None:
    done = command(tmp_path, "--chain", "mymodule:stuck", "--seeds", "1", "--timeout", "1")
    assert done.returncode == 1
    assert re.search(r"OvertimeError: .* worker-\d/main has the processor \(mymodule.py:\d+\)", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--chain", ":x"], "chain ':x': expected module:name of an importable module"),
        (["--chain", ".x:y"], "chain '.x:y': expected module:name of an importable module"),
        (["--chain", "./mymodule.py:good"], "chain './mymodule.py:good': expected module:name"),
        (["--chain", "jobs"], "chain 'jobs': expected module:name"),
        (["--chain", ""], "chain '': expected module:name"),
        (["--scenario", "nosuch"], "scenario 'nosuch': expected one of chain, graph, windows"),
        (["--scenario", "mymodule:good"], "(a function that makes a chain is given as --chain)"),
        (["--scenario", "mymodule:broken"], "mymodule:broken: RuntimeError: not today (mymodule.py:"),
        (["--scenario", "mymodule:Half"], "mymodule:Half is Half, which has no hazards and no run"),
        (["--chain", "mymodule:nothing"], "mymodule:nothing: it returned None, expected a chain"),
        (["--chain", "mymodule:two"], "mymodule:two(bench, other): missing a required argument: 'other'"),
        (["--transform", "mymodule:two"], "missing a required argument: 'other'; its argument is a value"),
        (["--transform", "mymodule:later"], "mymodule:later is a coroutine function, expected a plain one"),
        (["--chain", "mybroken:chain"], "mybroken:chain: ValueError: not today (mybroken.py:1)"),
        (["--chain", "myexit:chain"], "myexit:chain: SystemExit: 7 (myexit.py:1)"),
        (["--timeout", "0"], "invalid value for '--timeout'"),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, list) else "",
)
def test_a_mistake_of_the_user_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    for name, text in {"mymodule": MODULE, **BROKEN}.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as ended:
        cli.main(["simulate", *arguments, "--json"], prog_name="streamzarr")
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    *printed, sentence = err.splitlines()
    assert says in sentence
    assert set(printed) <= {"imported"}
    assert "mistake in streamzarr" not in sentence
