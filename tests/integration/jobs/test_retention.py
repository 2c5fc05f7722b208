"""Tasks that retention took before a worker read them."""

import time

import numpy as np

import streamzarr as sz
from streamzarr.jobs import read_jobs
from streamzarr.jobs.emit import pending_tasks


def source(bench, chunks):
    data = np.arange(chunks * 16, dtype="i4")
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(16,))
    return data


def queued(bench, broker, job):
    return len(pending_tasks(broker, bench.topics, job.id))


def trim_half(bench, broker):
    """Trim half of the tasks that wait, in each partition."""
    info = broker.describe(bench.topics.tasks)
    positions = info.reading_from(broker.committed(bench.topics.group, bench.topics.tasks))
    broker.trim(
        bench.topics.tasks, {number: (positions[number] + end + 1) // 2 for number, end in info.end.items()}
    )


def test_tasks_that_were_trimmed_are_told_and_sent_anew_by_resume(bench, capfd):
    data = source(bench, chunks=100)
    bench.run("copy", "a.zarr", "first.zarr", compressors="gzip")  # after it the group has positions
    deadline = time.monotonic() + 60
    with (
        bench.open() as broker,
        bench.submit("copy", "a.zarr", "b.zarr", compressors="gzip", max_lag=1000) as job,
    ):
        while queued(bench, broker, job) < 100:
            assert time.monotonic() < deadline
        trim_half(bench, broker)
        left = queued(bench, broker, job)
        assert 0 < left < 100
    with bench.fleet():
        with bench.watch(job.id) as watcher:
            arrived = watcher._tracker.wait_for(lambda: watcher._ledger.written == left, 60)
            assert arrived, watcher.progress()
        with bench.resume(job.id) as job:
            report = job.wait(60)
    assert (report.state, report.written) == ("done", 100)
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], data)
    assert "were trimmed or have expired" in capfd.readouterr().err, "loudly"


def test_jobs_are_listed_after_their_results_topic_was_made_anew(embedded):
    source(embedded, chunks=4)
    embedded.run("copy", "a.zarr", "first.zarr")
    with embedded.submit("copy", "a.zarr", "b.zarr") as job:
        embedded.until_emitted(4)
    with embedded.open() as broker:
        broker.delete_topic(embedded.topics.results)
        embedded.topics.ensure(broker)
        assert [report.state for report in read_jobs(broker, embedded.topics)] == ["done", "open"], job.id
