"""Results that retention, or whoever made their topic anew, took before anybody read them."""

import threading
import time

import numpy as np

import streamzarr as sz
from streamzarr import jobs
from streamzarr.jobs.emit import pending_tasks
from streamzarr.jobs.register import append_event
from streamzarr.jobs.track import Tracker
from streamzarr.jobs.wire import Trimmed


def source(bench):
    data = np.repeat(np.arange(20, dtype="i4"), 16)
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(16,), fill_value=-1)
    return data


def trim_results(bench, broker):
    broker.trim(bench.topics.results, broker.describe(bench.topics.results).end)


def test_a_submitter_that_was_stopped_while_its_results_expired_sends_those_tasks_again(bench, monkeypatch):
    data = source(bench)
    gate, read = threading.Event(), Tracker._read

    def late(tracker, reader):
        assert gate.wait(60)
        read(tracker, reader)

    monkeypatch.setattr(Tracker, "_read", late)  # the submitter is stopped here
    deadline = time.monotonic() + 60
    with bench.open() as broker, bench.submit("copy", "a.zarr", "b.zarr") as job, bench.fleet():
        while broker.describe(bench.topics.results).end[0] == 0 or pending_tasks(
            broker, bench.topics, job.id
        ):
            assert time.monotonic() < deadline
        trim_results(bench, broker)
        gate.set()
        report = job.wait(60)
    assert (report.state, report.written) == ("done", 20)
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[:], data)


def test_waiting_for_a_job_that_ended_with_dead_letters_returns_when_its_results_have_expired(
    bench, transforms
):
    source(bench)
    params = {"values": "3,5", "fixed": bench.url("fixed")}
    with bench.open() as broker:
        report = bench.run(
            "map", "a.zarr", "b.zarr", transform="fail_on", params=params, fleet={"transforms": transforms}
        )
        trim_results(bench, broker)
        with bench.watch(report.job) as job:
            found = job.wait(60)
        listed = jobs.read_jobs(broker, bench.topics)[0]
    assert (found.state, found.written, found.dead, found.unknown) == ("incomplete", 18, 2, 0)
    assert (listed.state, listed.written, listed.dead) == ("incomplete", 18, 2)


def test_positions_beyond_the_end_of_the_results_do_not_stop_a_job(bench):
    data = source(bench)
    with bench.open() as broker:
        with bench.submit("copy", "a.zarr", "b.zarr") as job:
            bench.until_emitted(20)
        append_event(broker, bench.topics, Trimmed(2**63 - 1))  # of a topic that was made anew, or forged
        with bench.fleet(), bench.resume(job.id) as resumed:
            report = resumed.wait(60)
    assert (report.state, report.written) == ("done", 20)
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[:], data)


def test_results_of_earlier_jobs_that_were_removed_are_no_loss_to_a_new_one(bench):
    sz.create_array(bench.url("a.zarr"), data=np.arange(64), chunks=(16,))
    bench.run("copy", "a.zarr", "first.zarr")  # its results are removed when it is done
    with bench.submit("copy", "a.zarr", "second.zarr") as job:
        bench.until_emitted(4)
        job.catch_up()
        assert not job._tracker.lost
        with bench.fleet():
            report = job.wait(60)
    assert (report.state, report.emitted) == ("done", 4), "and nothing is sent twice"
