"""Cancel, resume, watch, drain; and a full disk."""

import os

import numpy as np
import pytest

import streamzarr as sz
from streamzarr import jobs
from streamzarr.errors import ConfigError, StoreError
from streamzarr.jobs.emit import pending_tasks
from streamzarr.queue.letters import DeadLetterQueue


def source(bench, chunks=200, length=16):
    data = np.arange(chunks * length, dtype="i4")
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(length,))
    return data


def queued(bench, job):
    with bench.open() as broker:
        return len(pending_tasks(broker, bench.topics, job.id))


def until(job, condition, timeout=60):
    """Wait for a condition on the job's ledger, woken by its results."""
    assert job._tracker.wait_for(lambda: condition(job._ledger), timeout), job.progress()


def test_a_cancelled_job_stops_and_a_resumed_one_finishes(bench):
    data = source(bench)
    with bench.submit("copy", "a.zarr", "b.zarr", compressors="gzip", max_lag=50) as job:
        bench.until_emitted(50)
        assert job.cancel().state == "cancelled"
        emitted = queued(bench, job)
        assert emitted <= 50
        with bench.fleet():
            until(job, lambda ledger: ledger.skipped == emitted)
            assert job.progress().written == 0
            report = job.resume().wait(60)
    assert report.state == "done"
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], data)


def test_a_submitter_stops_when_somebody_else_cancels(bench):
    source(bench)
    with bench.fleet(), bench.submit("copy", "a.zarr", "b.zarr", compressors="gzip", max_lag=20) as job:
        until(job, lambda ledger: ledger.written > 0)
        with bench.watch(job.id) as other:
            assert other.cancel().state in ("cancelled", "done")
        assert job.wait(30).state in ("cancelled", "done")
        with bench.resume(job.id) as again:
            assert again.wait(60).state == "done"


def test_a_watcher_hears_of_a_cancellation(embedded):
    source(embedded)
    with embedded.submit("copy", "a.zarr", "b.zarr", max_lag=5) as job, embedded.watch(job.id) as watcher:
        job.cancel()
        assert watcher.wait(30).state == "cancelled"


def test_a_job_goes_on_from_another_handle(bench):
    data = source(bench)
    with bench.submit("copy", "a.zarr", "b.zarr", compressors="gzip", max_lag=64) as job:
        id_ = job.id
    with bench.fleet(), jobs.resume(id_[:20], broker=bench.broker, prefix=bench.prefix, max_lag=64) as job:
        assert job.id == id_
        report = job.wait(60)
    assert (report.written, report.state) == (200, "done")
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], data)


def test_resuming_sends_nothing_that_is_still_queued(embedded):
    source(embedded, chunks=100)
    with embedded.submit("copy", "a.zarr", "b.zarr", compressors="gzip") as job:
        embedded.until_emitted(100)
    with (
        jobs.resume(job.id, broker=embedded.broker, prefix=embedded.prefix) as job,
        embedded.open() as broker,
    ):
        assert sum(broker.describe(embedded.topics.tasks).end.values()) == 100
        with embedded.fleet():
            assert job.wait(60).written == 100
        assert sum(broker.describe(embedded.topics.tasks).end.values()) == 100


def test_a_watcher_sees_the_job_to_its_end(embedded):
    source(embedded)
    with embedded.submit("copy", "a.zarr", "b.zarr", compressors="gzip") as job, embedded.fleet():
        with jobs.open_job(job.id, broker=embedded.broker, prefix=embedded.prefix) as watcher:
            assert watcher.wait(60).written == 200
        assert job.wait(60).complete


def test_a_pyramid_waits_for_a_level_with_dead_letters(embedded):
    data = np.arange(64, dtype="i4")
    sz.create_array(embedded.url("a.zarr"), data=data, chunks=(16,), compressors=None)
    chunk = embedded.folder / "a.zarr" / "c" / "2"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:10])
    with (
        embedded.fleet(),
        embedded.submit("downsample", "a.zarr", "p.zarr", levels=2, method="nearest") as job,
    ):
        report = job.wait(60)
        assert (report.written, report.dead, report.state) == (3, 1, "incomplete")
        chunk.write_bytes(whole)
        with embedded.open() as broker:
            jobs.replay(broker, embedded.topics, DeadLetterQueue(broker, embedded.topics.dead).ls())
        assert job.resume().wait(60).state == "done"
    np.testing.assert_array_equal(sz.open_array(embedded.url("p.zarr/1"))[...], data[::2])


def test_stop_drains_and_reports(embedded, transforms):
    source(embedded, chunks=40)
    gate = embedded.url("gate")
    os.mkfifo(gate)
    with embedded.submit("map", "a.zarr", "b.zarr", transform="gated", params={"gate": gate}) as job:
        fleet = embedded.fleet(1, transforms=transforms)
        fleet.start()
        with open(gate, "w") as fifo:  # opens when the first task is under way
            fifo.write("x" * 40)
            fifo.flush()
            report = fleet.stop(drain=30)
        until(job, lambda ledger: ledger.written >= 1)
        assert [worker.exit_code for worker in report.workers] == [0]
        with embedded.fleet(2, transforms=transforms), open(gate, "w") as fifo:
            fifo.write("x" * 100)
            fifo.flush()
            assert job.wait(60).complete


def test_a_closed_handle_says_so_at_once(embedded):
    sz.create_array(embedded.url("a.zarr"), data=np.arange(80), chunks=(10,))
    with embedded.submit("copy", "a.zarr", "b.zarr") as job:
        embedded.until_emitted(8)
    with embedded.open() as broker:
        events = broker.describe(embedded.topics.jobs).end
        for use in (job.wait, job.cancel, job.resume, job.catch_up):
            with pytest.raises(ConfigError, match="is closed"):
                use()
        assert broker.describe(embedded.topics.jobs).end == events, "and changes nothing"
    assert job.progress().state == "open"


def test_tasks_are_trimmed_while_a_large_job_goes_on(bench, monkeypatch):
    """Else a million of them would be removed at the end, and hold up whoever waits for the job."""
    monkeypatch.setattr("streamzarr.jobs.drive.TRIM_EVERY", 64)
    monkeypatch.setattr("streamzarr.jobs.drive.JobDriver._collect_stale", _unavailable)
    sz.create_array(bench.url("a.zarr"), data=np.arange(1, 1025), chunks=2)
    assert bench.run("copy", "a.zarr", "b.zarr", max_lag=50).state == "done"
    with bench.open() as broker:
        assert sum(broker.describe(bench.topics.tasks).begin.values()) > 0


def _unavailable(driver):
    raise StoreError("so that nothing is trimmed at the end")
