"""The command line as people and services use it: real processes, a real broker, and a job between them."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

import streamzarr as sz
from streamzarr.cli.main import cli
from tests.support.bench import TRANSFORMS

STREAMZARR = [sys.executable, "-m", "streamzarr"]
CHUNK_WORKER = [sys.executable, str(Path(__file__).parents[3] / "workers" / "chunk_worker.py")]


class Shell:
    """Runs commands in a folder, against one broker and with topics of their own."""

    def __init__(self, bench):
        self.folder = bench.folder
        self.environment = {
            **os.environ,
            "STREAMZARR_BROKER": bench.broker,
            "STREAMZARR_PREFIX": bench.prefix,
            "PYTHONPATH": os.pathsep.join([TRANSFORMS, os.environ.get("PYTHONPATH", "")]),
        }

    def start(self, *arguments, program=STREAMZARR, **environment):
        return subprocess.Popen(
            [*program, *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments, code=0):
        """Run a command that ends by itself, in this process: starting one for each takes too long."""
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(cli, list(map(str, arguments)), env=self.environment)
        assert done.exit_code == code, f"{arguments}: exit code {done.exit_code}\n{done.output}"
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.output

    def json(self, *arguments, code=0):
        return json.loads(self(*arguments, "--json", code=code))

    @contextlib.contextmanager
    def worker(self, *arguments, program=STREAMZARR, **environment):
        command = ["worker", *arguments] if program is STREAMZARR else arguments
        process = self.start(*command, program=program, **environment)
        try:
            assert "ready: " in line_with(process.stderr, "ready: ")
            yield process
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            assert "left in flight 0" in err
        finally:
            process.kill()
            process.communicate()


def line_with(stream, text):
    """Read lines until one holds `text`; a process that ends ends the stream."""
    seen = []
    for line in stream:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(f"no line with {text!r}: {''.join(seen)}")


@pytest.fixture
def shell(bench):
    return Shell(bench)


@pytest.fixture
def local(embedded):
    return Shell(embedded)


def make_source(shell, chunks=40, length=16, **options):
    data = np.repeat(np.arange(chunks, dtype="f4"), length)
    sz.create_array(str(shell.folder / "a.zarr"), data=data, chunks=(length,), fill_value=-1, **options)
    return data


def test_a_job_from_submission_through_dead_letters_to_the_whole_array(shell):
    data = make_source(shell)
    settings = ["--param", "values=7,20,33", "--param", f"fixed={shell.folder / 'fixed'}"]
    with shell.worker("--transforms", "job_transforms", "--processes", 2):
        said = shell("job", "submit", "map", "a.zarr", "b.zarr", "--transform", "fail_on", *settings, code=3)
        assert "37 of 40 chunks are written, 3 dead letters" in said
        [job] = shell.json("job", "status")
        assert (job["state"], job["written"], job["dead"]) == ("incomplete", 37, 3)

        letters = shell.json("dlq", "ls", "--job", job["job"][:10])
        assert [(e["error"], e["stage"], e["attempts"]) for e in letters] == [
            ("ValueError", "execute", 1)
        ] * 3
        assert sorted(e["target_chunk"][0] for e in letters) == [7, 20, 33]
        assert "cannot take the value 7" in shell("dlq", "ls")
        number = next(e["number"] for e in letters if e["target_chunk"] == [20])
        shown = shell("dlq", "show", number)
        for part in (
            job["job"],
            "chunk [20] of ",
            "b.zarr",
            "ValueError",
            "cannot take the value 20",
            "worker-",
            '"v":1',
        ):
            assert part in shown
        assert shell.json("dlq", "show", number)["offset"] >= 0

        (shell.folder / "fixed").touch()
        assert "replayed 1 dead letter\n" in shell("dlq", "replay", number)
        assert shell.json("dlq", "replay", "--job", job["job"])["replayed"] == 2
        assert shell.json("job", "wait", job["job"])["state"] == "done"
        assert shell("dlq", "ls") == "no dead letters\n"
    assert "done" in shell("job", "status")
    assert "40 of 40 written" in shell("job", "status", job["job"])
    [row] = [
        row
        for row in shell.json("broker", "groups")
        if row["group"].startswith(shell.environment["STREAMZARR_PREFIX"])
    ]
    assert (row["members"], row["lag"]) == (0, 0)
    np.testing.assert_array_equal(zarr.open_array(shell.folder / "b.zarr", mode="r")[:], data + 1)


def test_every_kind_of_job(local):
    data = make_source(local)
    with local.worker():
        report = local.json(
            "job", "submit", "copy", "a.zarr", "c.zarr",
            "--chunks", 100, "--dtype", "float64", "--compressor", "gzip", "--zarr-format", 2,
        )  # fmt: skip
        assert (report["state"], report["tasks"]) == ("done", 7)
        copied = zarr.open_array(local.folder / "c.zarr", mode="r")
        assert (copied.metadata.zarr_format, copied.chunks, copied.dtype) == (2, (100,), np.dtype("f8"))
        np.testing.assert_array_equal(copied[:], data)

        assert "done: " in local(
            "job", "submit", "downsample", "a.zarr", "p.zarr", "--factor", 4, "--levels", 3
        )
        expected = data.reshape(-1, 4).mean(axis=1, dtype="f8").astype("f4")
        np.testing.assert_array_equal(zarr.open_array(local.folder / "p.zarr" / "1", mode="r")[:], expected)
        assert "2 (40,) float32" in local("tree", "p.zarr")

        taken = local("job", "submit", "copy", "a.zarr", "c.zarr", code=2)
        assert "c.zarr" in taken
        local("job", "submit", "copy", "a.zarr", "c.zarr", "--overwrite")


def test_dropped_letters_are_listed_no_more(local):
    make_source(local, compressors=None)
    (local.folder / "a.zarr" / "c" / "3").write_bytes(b"torn")
    with local.worker():
        local("job", "submit", "copy", "a.zarr", "b.zarr", code=3)
    [letter] = local.json("dlq", "ls")
    assert letter["target_chunk"] == [3]
    assert "dropped 1 dead letter" in local("dlq", "drop", "--all")
    assert local.json("dlq", "ls") == []
    assert "no open dead letter has the number 0" in local("dlq", "replay", 0, code=2)


def test_ctrl_c_says_how_to_go_on_and_resume_does(local):
    data = make_source(local)
    with local.start("job", "submit", "copy", "a.zarr", "b.zarr") as submit:
        line_with(submit.stderr, "no worker has joined")
        submit.send_signal(signal.SIGINT)
        _, err = submit.communicate(timeout=60)
    assert submit.returncode == 130
    job = re.search(r"streamzarr job resume (\w{26})", err).group(1)
    assert err.splitlines()[-1].startswith(f"streamzarr: job {job} stays where it is")
    with local.worker():
        assert f"job {job} done" in local("job", "resume", job[:12])
    np.testing.assert_array_equal(zarr.open_array(local.folder / "b.zarr", mode="r")[:], data)


def test_a_detached_job_goes_on_without_its_submitter(local):
    data = make_source(local)
    detached = local.json("job", "submit", "copy", "a.zarr", "b.zarr", "--max-lag", 5, "--detach")
    with local.worker():
        assert local.json("job", "wait", detached["job"])["state"] == "done"
    np.testing.assert_array_equal(zarr.open_array(local.folder / "b.zarr", mode="r")[:], data)
    Path(detached["log"]).unlink()


def test_a_cancelled_job_ends_its_submitter(local):
    make_source(local)
    with local.start("job", "submit", "copy", "a.zarr", "b.zarr") as submit:
        line_with(submit.stderr, "no worker has joined")
        [job] = local.json("job", "status")
        assert "cancelled" in local("job", "cancel", job["job"])
        _, err = submit.communicate(timeout=60)
    assert submit.returncode == 2
    assert f"job {job['job']} was cancelled" in err.splitlines()[-1]


def test_the_service_takes_its_settings_from_the_environment(local):
    data = make_source(local)
    settings = {
        "STREAMZARR_ROOTS": str(local.folder),
        "STREAMZARR_TRANSFORMS": "job_transforms",
        "STREAMZARR_PROCESSES": "1",
        "STREAMZARR_MAX_DEMAND": "4",
    }
    with local.worker(program=CHUNK_WORKER, **settings):
        local("job", "submit", "map", "a.zarr", "b.zarr", "--transform", "plus_one")
    np.testing.assert_array_equal(zarr.open_array(local.folder / "b.zarr", mode="r")[:], data + 1)


def test_a_worker_finds_transforms_in_its_folder_and_refuses_what_is_outside_its_root(local):
    make_source(local)
    (local.folder / "own").mkdir()
    (local.folder / "own" / "own_transforms.py").write_text(
        "import streamzarr as sz\n@sz.transform\ndef own(block):\n    return block\n"
    )
    local.folder /= "own"
    with local.worker("--transforms", "own_transforms", "--processes", 1):
        said = local("job", "submit", "map", "../a.zarr", "b.zarr", "--transform", "own", code=3)
        assert "0 of 40 chunks" in said
        assert "outside the roots of this worker" in local.json("dlq", "ls")[0]["message"]
    with local.worker("--transforms", "own_transforms", "--processes", 1, "--root", ".."):
        local("job", "submit", "map", "../a.zarr", "c.zarr", "--transform", "own")


def test_a_worker_that_cannot_run_says_why_in_one_sentence(local):
    (local.folder / "broken_transforms.py").write_text("import no_such_package\n")
    said = local("worker", "--transforms", "broken_transforms", code=2)
    assert said.count("\n") == 1
    assert "broken_transforms" in said
    assert "no_such_package" in said
