"""An end that a driver enters late, when others have reopened the job: no open task is skipped for good."""

import threading
import time

import numpy as np

import streamzarr as sz
from streamzarr import jobs
from streamzarr.jobs import drive
from streamzarr.jobs.letters import open_letters
from streamzarr.jobs.register import append_event
from streamzarr.jobs.wire import Ended


def source(bench):
    data = np.repeat(np.arange(20, dtype="i4"), 16)
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(16,), fill_value=-1)
    return data


def test_letters_replayed_just_before_the_end_is_entered_are_carried_out(bench, transforms, monkeypatch):
    data = source(bench)
    reached, gate = threading.Event(), threading.Event()

    def late(*args, **totals):
        reached.set()
        assert gate.wait(60)
        return Ended(*args, **totals)

    monkeypatch.setattr(drive, "Ended", late)  # the submitter is stopped here
    params = {"values": "3,5", "fixed": bench.url("fixed")}
    with (
        bench.open() as broker,
        bench.submit("map", "a.zarr", "b.zarr", transform="fail_on", params=params) as job,
    ):
        with bench.fleet(transforms=transforms):
            assert reached.wait(60)
        (bench.folder / "fixed").touch()
        assert jobs.replay(broker, bench.topics, open_letters(broker, bench.topics)) == 2
        events = broker.describe(bench.topics.jobs).end[0]
        gate.set()
        deadline = time.monotonic() + 60
        while broker.describe(bench.topics.jobs).end[0] == events:
            assert time.monotonic() < deadline
        with bench.fleet(transforms=transforms):
            report = job.wait(60)
    assert (report.state, report.written, report.dead) == ("done", 20, 0)
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[:], data + 1)


def test_an_end_that_another_driver_enters_does_not_have_open_tasks_skipped_again_and_again(bench):
    data = source(bench)
    with bench.open() as broker, bench.submit("copy", "a.zarr", "b.zarr") as job:
        bench.until_emitted(20)
        append_event(broker, bench.topics, Ended(job.id, "incomplete", 0, 20, 0, 0, 0))
        with bench.fleet():
            report = job.wait(60)
    assert (report.state, report.written) == ("done", 20)
    assert report.emitted < 20 * 20
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[:], data)
