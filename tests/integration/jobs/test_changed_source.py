"""A source that changes while its job runs: nothing is invented, and the job does not end done."""

import os
import shutil
from contextlib import contextmanager

import numpy as np
import pytest

import streamzarr as sz
from streamzarr import jobs
from streamzarr.errors import SourceChangedError
from streamzarr.jobs import drive
from streamzarr.queue.letters import DeadLetterQueue

CHUNKS, SIZE = 12, 16


def make(bench, offset=0):
    data = np.arange(CHUNKS * SIZE, dtype="i4") + 1 + offset
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(SIZE,), overwrite=True)
    return data


def letters(bench):
    with bench.open() as broker:
        return [letter for _, letter in DeadLetterQueue(broker, bench.topics.dead).ls()]


CHANGES = {
    "removed": lambda bench: shutil.rmtree(bench.url("a.zarr")),
    "replaced": lambda bench: make(bench, offset=5000),
    "chunks first, as rm does it": lambda bench: (
        shutil.rmtree(bench.url("a.zarr/c")),
        os.unlink(bench.url("a.zarr/zarr.json")),
    ),
}


@contextmanager
def opened_gate(bench):
    """A FIFO that holds tasks of the transform ``gated``, one for each byte that is missing."""
    gate = bench.url("gate")
    os.mkfifo(gate)
    with open(os.open(gate, os.O_RDWR), "wb", buffering=0) as fifo:
        yield fifo


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_tasks_over_another_source_are_dead_letters_that_say_so(bench, transforms, change):
    data = make(bench)
    with (
        opened_gate(bench) as gate,
        bench.fleet(1, transforms=transforms),
        bench.submit("map", "a.zarr", "b.zarr", transform="gated", params={"gate": bench.url("gate")}) as job,
    ):
        gate.write(b"x" * 3)
        assert job._tracker.wait_for(lambda: job._ledger.written == 3, 60), job.progress()
        change(bench)
        gate.write(b"x" * CHUNKS)
        report = job.wait(60)
    assert (report.state, report.written, report.dead) == ("incomplete", 3, CHUNKS - 3)
    assert {letter.error_class for letter in letters(bench)} == {"SourceChangedError"}
    assert all("submit the job again" in letter.message for letter in letters(bench))
    target = sz.open_array(bench.url("b.zarr"))
    for index in range(CHUNKS):
        part = slice(index * SIZE, (index + 1) * SIZE)
        stored = target.chunk_etag((index,)) is not None
        assert not stored or np.array_equal(target[part], data[part] + 1)
    with pytest.raises(SourceChangedError, match="submit the job again"):
        bench.resume(job.id)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_job_whose_source_changed_behind_its_last_task_is_failed(embedded, monkeypatch, change):
    make(embedded)
    check = drive.check_sources

    def late(stages):
        change(embedded)
        check(stages)

    monkeypatch.setattr(drive, "check_sources", late)
    with embedded.fleet(), embedded.submit("copy", "a.zarr", "b.zarr", chunks=64) as job:
        with pytest.raises(SourceChangedError, match="submit the job again"):
            job.wait(60)
        report = job.progress()
        assert (report.state, report.written) == ("failed", report.tasks)
        with embedded.watch(job.id) as watcher:
            assert watcher.progress().state == "failed"
            with pytest.raises(SourceChangedError, match=f"job {job.id}: the source has changed"):
                watcher.wait(10)
    with embedded.open() as broker:
        assert [each.state for each in jobs.read_jobs(broker, embedded.topics)] == ["failed"]


def test_a_replay_over_another_source_is_a_dead_letter_again(embedded, transforms):
    data = make(embedded)
    params = {"values": "1", "fixed": embedded.url("fixed")}
    with (
        embedded.fleet(transforms=transforms),
        embedded.submit("map", "a.zarr", "b.zarr", transform="fail_on", params=params) as job,
    ):
        assert job.wait(60).dead == 1
        (embedded.folder / "fixed").touch()
        make(embedded, offset=5000)
        with embedded.open() as broker:
            jobs.replay(broker, embedded.topics, DeadLetterQueue(broker, embedded.topics.dead).ls())
        report = job.wait(60)
        assert (report.state, report.dead) == ("incomplete", 1)
    assert [letter.error_class for letter in letters(embedded)] == ["SourceChangedError"]
    np.testing.assert_array_equal(sz.open_array(embedded.url("b.zarr"))[SIZE:], data[SIZE:] + 1)


def test_a_level_that_changes_is_a_changed_source_of_the_next(embedded, monkeypatch):
    make(embedded)
    drive_stage = drive.JobDriver._drive

    def edited(self, stage, *rest):
        if stage > 0:
            sz.open_array(embedded.url("p.zarr/0"), mode="r+").attrs["edited"] = True
        return drive_stage(self, stage, *rest)

    monkeypatch.setattr(drive.JobDriver, "_drive", edited)
    with embedded.fleet(), embedded.submit("downsample", "a.zarr", "p.zarr", levels=2) as job:
        report = job.wait(60)
    assert (report.state, report.written, report.dead) == ("incomplete", CHUNKS, CHUNKS // 2)
    assert {letter.error_class for letter in letters(embedded)} == {"SourceChangedError"}


@pytest.mark.parametrize("attributes", [{}, {"units": "kelvin"}], ids=["new", "edited"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_attributes_that_are_edited_are_a_changed_source(embedded, zarr_format, attributes):
    source = sz.create_array(
        embedded.url("a.zarr"), data=np.arange(4), chunks=(2,), zarr_format=zarr_format, attributes=attributes
    )
    with embedded.submit("copy", "a.zarr", "b.zarr") as job:
        source.attrs["units"] = "celsius"
        with embedded.fleet(1):
            report = job.wait(60)
    assert (report.state, report.dead) == ("incomplete", 2)
    assert {letter.error_class for letter in letters(embedded)} == {"SourceChangedError"}
