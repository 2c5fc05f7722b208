"""Commands that are printed for people to enter work as they are printed."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import streamzarr as sz
from streamzarr.cli.main import cli
from streamzarr.hints import hint
from streamzarr.jobs.progress import describe

PLACES = {
    "elsewhere": ["--broker", "sqlite:///queues of mine/queue.db", "--prefix", "maps"],
    "by default": [],
}


@pytest.fixture(params=PLACES)
def place(request, tmp_path, monkeypatch, transforms):
    """What names a broker and its topics on the command line; the environment says nothing."""
    for name in ("STREAMZARR_BROKER", "STREAMZARR_PREFIX", "STREAMZARR_ROOTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "queues of mine").mkdir()
    sz.create_array("a.zarr", data=np.repeat(np.arange(4, dtype="i4"), 4), chunks=(4,))
    return PLACES[request.param]


def run(*arguments, code=0):
    done = CliRunner().invoke(cli, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def shown(output):
    """Return the one command between backticks."""
    [command] = re.findall(r"`(streamzarr [^`]*)`", output)
    return command


def enter(command, code=0):
    """Enter a command in a shell, as it is shown."""
    assert command.startswith("streamzarr ")
    ours = f"{shlex.quote(sys.executable)} -m {command}"
    done = subprocess.run(ours, shell=True, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, f"{command}: {done.stdout} {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def fleet(place, **options):
    """Run a worker; a job that finds none yet would print how to start one, too."""
    broker = place[1] if place else "sqlite:///streamzarr.db"
    prefix = place[3] if place else "streamzarr"
    with sz.Fleet(broker, 1, roots=["."], prefix=prefix, **options) as workers:
        workers.wait_ready(120)
        yield


def test_every_command_that_is_printed_about_a_job_works_as_printed(place, transforms):
    submit = ["job", "submit", "map", "a.zarr", "b.zarr", "--transform", "fail_on"]
    submit += ["--param", 'values="2"', "--param", "fixed=no-such-file"]
    with fleet(place, transforms=transforms):
        letters = shown(run(*submit, *place, code=3))
        assert ("--broker" in letters) == ("--prefix maps" in letters) == bool(place)
        assert "cannot take the value 2" in enter(letters)
        assert "cannot take the value 2" in enter(shown(run("dlq", "replay", "77", *place, code=2)))
        assert "3 of 4 written" in enter(shown(run("dlq", "replay", "--all", *place)))
    run("job", "submit", "copy", "a.zarr", "c.zarr", "--detach", *place)
    [job] = re.findall(r"\w{26}", run("job", "status", *place).splitlines()[-1])
    run("job", "cancel", job, *place)
    resume = shown(run("job", "wait", job, *place, code=2))
    with fleet(place):
        assert "done: 4 chunks" in enter(resume)


def test_after_a_replay_a_job_of_several_stages_goes_on_as_printed(place):
    chunk = Path("a.zarr/c/1")
    whole = chunk.read_bytes()
    chunk.write_bytes(b"damaged")
    with fleet(place):
        run("job", "submit", "downsample", "a.zarr", "b.zarr", "--levels", "3", *place, code=3)
        chunk.write_bytes(whole)
        assert "done: 7 chunks" in enter(shown(run("dlq", "replay", "--all", *place)))


def test_what_is_printed_about_a_job_in_the_background_works_as_printed(place):
    output = run("job", "submit", "copy", "a.zarr", "b.zarr", "--detach", *place)
    assert "0 of 4 written" in enter(shown(output))
    [process] = re.findall(r"process (\d+)", output)
    os.kill(int(process), signal.SIGKILL)


def test_the_worker_that_is_missing_can_be_started_as_printed(place):
    broker, prefix = (place[1], place[3]) if place else ("sqlite:///streamzarr.db", "streamzarr")
    with sz.jobs.submit("copy", "a.zarr", "b.zarr", broker=broker, prefix=prefix) as job:
        line = describe(job.progress(), 0, 0, hint("worker", broker=broker, prefix=prefix))
        command = shlex.split(shown(line))[1:]
        worker = subprocess.Popen(
            [sys.executable, "-m", "streamzarr", *command, "--processes", "1"], stderr=subprocess.DEVNULL
        )
        try:
            assert job.wait(60).state == "done"
        finally:
            worker.terminate()
            assert worker.wait(60) == 0


def test_a_group_is_what_tree_is_for_and_an_array_what_info_is_for(place):
    assert "(16,)" in enter(shown(run("tree", "a.zarr", code=2)))


def test_what_an_interrupted_command_prints_is_the_same(place, monkeypatch):
    monkeypatch.setattr("streamzarr.jobs.handle.JobHandle.wait", raise_interrupt)
    command = shown(run("job", "submit", "copy", "a.zarr", "b.zarr", *place, code=130))
    monkeypatch.undo()
    assert command.startswith("streamzarr job resume ")
    assert ("--prefix maps" in command) == bool(place)


def raise_interrupt(*_, **__):
    raise KeyboardInterrupt
