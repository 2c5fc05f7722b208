"""Jobs through intermediate arrays: the values are numpy's, and the arrays go away, whatever happens."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import streamzarr as sz
from streamzarr import jobs
from streamzarr.cli.main import cli
from streamzarr.errors import (
    ConfigError,
    ContainsArrayError,
    SourceChangedError,
    StoreError,
    UnsupportedError,
)
from streamzarr.jobs import drive
from streamzarr.jobs.register import find_job
from streamzarr.queue.letters import DeadLetterQueue
from streamzarr.stores import LocalStore

DATA = np.random.default_rng(3).normal(size=(64, 32, 32)).astype("f4")
SERIES = (64, 4, 4)
SMALL = 100_000
"""Bytes a task, by which maps become series in two passes of eight tasks with 64 chunks in all."""


@pytest.fixture
def maps(embedded):
    sz.create_array(embedded.url("a.zarr"), data=DATA, chunks=(1, 32, 32), attributes={"units": "kelvin"})
    return embedded


def submit(bench, kind="copy", target="b.zarr", **options):
    options = {"chunks": SERIES, "max_task_bytes": SMALL} | options
    return bench.submit(kind, "a.zarr", target, **options)


def spaces(bench):
    """All scratch space, and what lies in it."""
    return sorted(str(path.relative_to(bench.folder)) for path in bench.folder.glob("*.scratch/**/zarr.json"))


def check(bench, job, expected=DATA):
    assert job.wait(60).state == "done"
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], expected)
    assert list(bench.folder.glob("*.scratch")) == []


def stop_after(monkeypatch, chunks):
    """Have the driver stop when it has sent so many chunks; once."""
    count, done = drive.JobDriver._count, []

    def counted(self, sent):
        count(self, sent)
        if self.emitted >= chunks and not done:
            done.append(True)
            self._stop.now()

    monkeypatch.setattr(drive.JobDriver, "_count", counted)


def stopped(bench, monkeypatch, chunks, **options):
    """A job whose driver has stopped when so many chunks were sent, and those are written; returns its id.

    There have to be workers.
    """
    with monkeypatch.context() as patch:
        stop_after(patch, chunks)
        with submit(bench, max_lag=1, **options) as job:
            assert job._tracker.wait_for(lambda: job._ledger.written >= chunks, 60), job.progress()
    return job.id


# ---------------------------------------------------------------- what comes of it


def test_maps_become_series_through_an_intermediate_array(bench):
    sz.create_array(bench.url("a.zarr"), data=DATA, chunks=(1, 32, 32))
    with bench.fleet(1), submit(bench) as job:
        stages = job.plan.stages
        assert [stage.scratch for stage in stages] == [True, False]
        check(bench, job)
        report = job.progress()
    assert report.written == report.tasks == sum(stage.layout.tasks for stage in stages) == 128


def test_a_transform_is_applied_once(maps, transforms):
    with maps.fleet(1, transforms=transforms), submit(maps, "map", transform="plus_one") as job:
        assert len(job.plan.stages) == 2
        check(maps, job, DATA + 1)


def test_a_pyramid_is_made_of_an_array_at_full_size_that_came_through_one(maps):
    with maps.fleet(1), submit(maps, "downsample", factor=2, levels=3, method="nearest") as job:
        assert [stage.scratch for stage in job.plan.stages] == [True, False, False, False]
        assert job.wait(60).state == "done"
    group = sz.open_group(maps.url("b.zarr"))
    for level, step in enumerate((1, 2, 4)):
        np.testing.assert_array_equal(group[str(level)][...], DATA[::step, ::step, ::step])
    assert spaces(maps) == []


def test_scratch_space_that_is_given_is_used_and_stays(maps):
    space = maps.folder / "tmp"
    space.mkdir()
    with maps.fleet(1), submit(maps, scratch=str(space)) as job:
        assert job.plan.stages[0].target == f"file://{space}/{job.id}/0"
        check(maps, job)
    assert list(space.iterdir()) == []


def test_the_command_takes_bytes_a_task_and_scratch_space(maps, monkeypatch):
    monkeypatch.chdir(maps.folder)
    place = ["--broker", maps.broker, "--prefix", maps.prefix]
    how = ["--chunks", "64,4,4", "--max-task-bytes", "100kB", "--scratch", "tmp"]
    with maps.fleet(1):
        result = CliRunner().invoke(
            cli, ["job", "submit", "copy", "a.zarr", "b.zarr", *how, *place, "--json"]
        )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["state"], report["written"]) == ("done", 128)
    with maps.watch(report["job"]) as job:
        assert job.plan.stages[0].target == f"file://{maps.folder}/tmp/{job.id}/0"
    assert list((maps.folder / "tmp").iterdir()) == []


def test_source_chunks_that_are_not_stored_hold_the_fill_value(embedded):
    sz.create_array(embedded.url("a.zarr"), shape=DATA.shape, chunks=(1, 32, 32), dtype="f4", fill_value=7)
    sz.open_array(embedded.url("a.zarr"), mode="r+")[5] = 1
    expected = np.full_like(DATA, 7)
    expected[5] = 1
    with embedded.fleet(1), submit(embedded) as job:
        check(embedded, job, expected)


# ---------------------------------------------------------------- interrupted


@pytest.mark.parametrize("chunks", [1, 40, 64, 100])
def test_a_job_that_was_stopped_in_any_stage_is_resumed_and_tidies_up(maps, monkeypatch, chunks):
    with maps.fleet(1):
        id_ = stopped(maps, monkeypatch, chunks)
        assert spaces(maps) == [f"b.zarr.scratch/{id_}/0/zarr.json"]
        with maps.resume(id_) as job:
            check(maps, job)


def test_a_submit_alone_does_not_touch_scratch_space(maps, monkeypatch):
    monkeypatch.setattr(jobs.JobHandle, "start", lambda handle: None)
    submit(maps).close()
    assert list(maps.folder.glob("*.scratch")) == []


def test_forgetting_a_cancelled_job_removes_its_intermediate_array(maps, monkeypatch):
    with maps.fleet(1):
        id_ = stopped(maps, monkeypatch, 70)
    with maps.watch(id_) as job:
        assert job.cancel().state == "cancelled"
    assert spaces(maps) == [f"b.zarr.scratch/{id_}/0/zarr.json"], "a resumption needs it"
    assert jobs.forget(id_, broker=maps.broker, prefix=maps.prefix) == [id_]
    assert list(maps.folder.glob("*.scratch")) == []
    assert (maps.folder / "b.zarr").exists()


def test_a_watcher_that_enters_the_end_tidies_up(maps, monkeypatch):
    with monkeypatch.context() as patch, maps.fleet(1):
        patch.setattr(drive, "remove_scratch", _die)
        with submit(maps) as job, pytest.raises(RuntimeError, match="killed"):
            job.wait(60)
        assert spaces(maps) != []
        patch.undo()
        with maps.watch(job.id) as watcher:
            check(maps, watcher)


def _die(*args):
    raise RuntimeError("killed")


KILL = """
import os, signal, sys
from streamzarr import jobs
from streamzarr.jobs import {module} as module
def die(*args, **how):
    os.kill(os.getpid(), signal.SIGKILL)
def after(function):
    return lambda *args, **how: (function(*args, **how), die())
{patch}
job = jobs.submit(
    "copy", "a.zarr", "b.zarr", broker={broker!r}, prefix={prefix!r}, chunks={chunks}, max_task_bytes={small}
)
job.wait()
"""
HALF = """
unlink = os.unlink
def once(name, **how):
    unlink(name, **how)
    if name.isdecimal():
        die()
os.unlink = once
"""
POINTS = {
    "before it is made": ("drive", "module.prepare = die"),
    "after it is made": ("drive", "module.prepare = after(module.prepare)"),
    "before it is removed": ("drive", "module.remove_scratch = die"),
    "while it is removed": ("scratch", HALF),
    "after it is removed": ("drive", "module.remove_scratch = after(module.remove_scratch)"),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_driver_that_is_killed_leaves_what_a_resumption_finishes(maps, point):
    module, patch = POINTS[point]
    script = KILL.format(
        module=module, patch=patch, broker=maps.broker, prefix=maps.prefix, chunks=SERIES, small=SMALL
    )
    with maps.fleet(1):
        done = subprocess.run(
            [sys.executable, "-c", script], timeout=120, check=False, cwd=maps.folder, capture_output=True
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        with maps.open() as broker:
            id_ = find_job(broker, maps.topics, "0").submitted.job
        assert (spaces(maps) != []) == (point not in ("before it is made", "after it is removed"))
        with maps.resume(id_) as job:
            check(maps, job)


# ---------------------------------------------------------------- what fails


def test_an_intermediate_array_that_is_gone_ends_the_job_and_is_not_made_up(maps, monkeypatch):
    with maps.fleet(1):
        id_ = stopped(maps, monkeypatch, 70)
    shutil.rmtree(maps.folder / "b.zarr.scratch")
    with maps.resume(id_) as job:
        with pytest.raises(SourceChangedError, match=rf"{id_}/0 is gone, .* submit the job again"):
            job.wait(60)
        assert job.progress().state == "failed"


def test_chunks_of_an_intermediate_array_that_are_gone_are_dead_letters(maps, monkeypatch):
    with maps.fleet(1):
        id_ = stopped(maps, monkeypatch, 64)
        shutil.rmtree(maps.folder / f"b.zarr.scratch/{id_}/0/c/0")
        with maps.resume(id_) as job:
            assert job.wait(60).state == "incomplete"
    with maps.open() as broker:
        letters = [letter for _, letter in DeadLetterQueue(broker, maps.topics.dead).ls()]
    assert {letter.error_class for letter in letters} == {"KeyNotFoundError"}
    assert all(f"b.zarr.scratch/{id_}/0: chunk" in letter.message for letter in letters)
    assert not list((maps.folder / "b.zarr").glob("c/**/*.*")), "nothing is invented"


def test_a_job_with_dead_letters_keeps_its_intermediate_array_until_they_are_written(maps):
    chunk = maps.folder / "a.zarr/c/3/0/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:10])
    with maps.fleet(1), submit(maps) as job:
        report = job.wait(60)
        assert (report.state, report.dead) == ("incomplete", 8)
        assert spaces(maps) == [f"b.zarr.scratch/{job.id}/0/zarr.json"]
        chunk.write_bytes(whole)
        with maps.open() as broker:
            jobs.replay(broker, maps.topics, DeadLetterQueue(broker, maps.topics.dead).ls())
        check(maps, job.resume())


def test_an_intermediate_array_that_cannot_be_removed_does_not_fail_the_job(maps, monkeypatch, caplog):
    def refuse(store, prefix):
        raise StoreError("read-only file system")

    monkeypatch.setattr(LocalStore, "delete_prefix", refuse)
    with maps.fleet(1), submit(maps) as job:
        assert job.wait(60).state == "done"
    assert f"b.zarr.scratch/{job.id}/0 could not be removed" in caplog.text
    monkeypatch.undo()
    jobs.forget(job.id, broker=maps.broker, prefix=maps.prefix)
    assert list(maps.folder.glob("*.scratch")) == []


def test_scratch_space_outside_the_roots_of_the_workers_is_refused_by_them(maps, tmp_path_factory):
    space = tmp_path_factory.mktemp("elsewhere")
    with maps.fleet(1), submit(maps, scratch=str(space)) as job:
        report = job.wait(60)
        assert (report.state, report.dead) == ("incomplete", 64)
    with maps.open() as broker:
        _, letter = DeadLetterQueue(broker, maps.topics.dead).ls()[0]
    assert (letter.error_class, "is outside the roots of this worker" in letter.message) == (
        "ConfigError",
        True,
    )


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("scratch", "error", "message"),
    [
        ("a.zarr", ConfigError, r"scratch file:.*a\.zarr is, or lies in, the source a\.zarr"),
        ("a.zarr/tmp", ConfigError, r"a\.zarr/tmp is, or lies in, the source"),
        ("./x/../b.zarr", ConfigError, r"is, or lies in, the target b\.zarr"),
        ("queue.db", ConfigError, "scratch .*queue.db is the file of the queue"),
        (
            "other.zarr/tmp",
            ContainsArrayError,
            "lies in the array .*other.zarr, where nothing",
        ),
        ("a.zip", UnsupportedError, "scratch .*a.zip.* can only be read"),
        ("memory://x", ConfigError, "scratch is memory://x, which only this process can see"),
        ("ftp://x", ConfigError, "unknown scheme 'ftp'"),
        ("notes.txt", ConfigError, "notes.txt is a file, expected a folder"),
        ("notes.txt/tmp", ConfigError, "scratch .*notes.txt/tmp: .*notes.txt is a file, expected a folder"),
    ],
)
@pytest.mark.parametrize("needed", [True, False])
def test_scratch_space_that_would_harm_is_refused(maps, monkeypatch, scratch, error, message, needed):
    monkeypatch.chdir(maps.folder)
    sz.create_array("other.zarr", shape=(4,), chunks=(2,), dtype="f4")
    shutil.make_archive("a", "zip", "a.zarr")
    Path("notes.txt").write_text("no folder")
    before = sorted(maps.folder.rglob("*"))
    options = {"max_task_bytes": SMALL if needed else 1 << 30, "chunks": SERIES}
    with pytest.raises(error, match=message):
        jobs.submit(
            "copy", "a.zarr", "b.zarr", broker=maps.broker, prefix=maps.prefix, scratch=scratch, **options
        )
    assert sorted(maps.folder.rglob("*")) == before


def test_scratch_space_may_hold_source_target_and_queue(maps):
    with maps.fleet(1), submit(maps, scratch=str(maps.folder)) as job:
        check(maps, job)
        assert not (maps.folder / job.id).exists()
