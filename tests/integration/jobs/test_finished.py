"""What is left of jobs that are over: no task runs again, nothing grows, and what retention takes is said."""

import sqlite3
import tracemalloc

import msgspec
import numpy as np
import pytest

import streamzarr as sz
from streamzarr import jobs
from streamzarr.errors import ConfigError
from streamzarr.jobs.compact import compact
from streamzarr.jobs.register import read_known
from streamzarr.jobs.wire import Results, Written, encode
from streamzarr.queue.base import NewRecord
from streamzarr.runtime import SYSTEM, Deadline


def source(bench, chunks=32, name="a.zarr"):
    data = np.arange(chunks * 16, dtype="i4")
    sz.create_array(bench.url(name), data=data, chunks=(16,))
    return data


def expire_offsets(bench):
    """Remove what the group has committed, as a broker does with a group that was away for a week."""
    if bench.broker.startswith("sqlite"):
        with sqlite3.connect(bench.folder / "queue.db") as db:
            db.execute("DELETE FROM committed")
        return
    from streamzarr.queue.kafka.clients import AdminClient

    admin, group = (
        AdminClient({"bootstrap.servers": bench.broker.removeprefix("kafka://")}),
        bench.topics.group,
    )
    # Who closed in the middle of joining is a member until its session ends: it had no id to leave with.
    for _ in Deadline(SYSTEM, 60.0).tries(every=0.1):
        if not admin.describe_consumer_groups([group])[group].result(30).members:
            break
    admin.delete_consumer_groups([group])[group].result(30)


@pytest.fixture
def no_tidying(monkeypatch):
    """A driver that leaves everything on the topics, like one that may not remove records."""
    monkeypatch.setattr("streamzarr.jobs.drive.JobDriver._tidy", lambda _, *steps: None)
    monkeypatch.setattr("streamzarr.jobs.drive.JobDriver._compact", lambda _: None)


def test_tasks_of_a_finished_job_do_not_run_again_when_offsets_expire(bench, no_tidying):
    data = source(bench)
    source(bench, name="later.zarr")
    assert bench.run("copy", "a.zarr", "b.zarr").state == "done"
    target = sz.open_array(bench.url("b.zarr"), mode="r+")
    target[:] = -1
    expire_offsets(bench)
    with bench.open() as broker:
        assert bench.queued(broker) == 32
    # The tasks of this job lie behind the old ones in every partition.
    assert bench.run("copy", "later.zarr", "c.zarr").state == "done"
    assert (target[:] == -1).all()
    with bench.open() as broker:
        assert [report.state for report in jobs.read_jobs(broker, bench.topics)] == ["done", "done"]
    np.testing.assert_array_equal(sz.open_array(bench.url("c.zarr"))[:], data)


def test_tasks_of_a_job_that_was_compacted_away_do_not_run_again(bench, no_tidying):
    source(bench)
    source(bench, name="later.zarr")
    assert bench.run("copy", "a.zarr", "b.zarr").state == "done"
    target = sz.open_array(bench.url("b.zarr"), mode="r+")
    target[:] = -1
    with bench.open() as broker:
        compact(broker, bench.topics, keep=0, slack=-10)
        assert read_known(broker, bench.topics).jobs() == {}
        assert broker.describe(bench.topics.jobs).begin[0] > 0
    expire_offsets(bench)
    assert bench.run("copy", "later.zarr", "c.zarr").state == "done"
    assert (target[:] == -1).all()


def test_the_results_of_finished_jobs_are_removed_and_the_status_stays(bench):
    source(bench)
    report = bench.run("copy", "a.zarr", "b.zarr")
    assert report.state == "done"
    with bench.open() as broker:
        info = broker.describe(bench.topics.results)
        assert info.begin == info.end
        [listed] = jobs.read_jobs(broker, bench.topics)
    assert (listed.state, listed.written, listed.bytes, listed.unknown) == ("done", 32, report.bytes, 0)
    assert listed.seconds == report.seconds
    with bench.watch(report.job) as watcher:
        seen = watcher.wait(10)
    assert (seen.state, seen.written, seen.bytes, seen.unknown) == ("done", 32, report.bytes, 0)
    with bench.resume(report.job) as again:
        assert again.wait(30).state == "done"


def test_a_job_that_is_done_stays_done(embedded):
    source(embedded)
    report = embedded.run("copy", "a.zarr", "b.zarr")
    with embedded.watch(report.job) as watcher:
        assert watcher.cancel().state == "done"
    with embedded.open() as broker:
        assert [each.state for each in jobs.read_jobs(broker, embedded.topics)] == ["done"]


def test_results_that_retention_removed_are_said_and_sent_again(bench):
    data = source(bench)
    source(bench, name="other.zarr")
    with bench.submit("copy", "a.zarr", "b.zarr", max_lag=8) as job:
        bench.until_emitted(8)
    with bench.fleet(), bench.watch(job.id) as watcher:
        assert watcher._tracker.wait_for(lambda: watcher._ledger.written == 8, 60)
    other = bench.submit("copy", "other.zarr", "c.zarr")
    with other, bench.open() as broker:
        end = broker.describe(bench.topics.results).end
        broker.trim(bench.topics.results, end)
        [lost, fresh] = jobs.read_jobs(broker, bench.topics)
        assert (lost.state, lost.written, lost.unknown) == ("open", 0, 32)
        assert (fresh.state, fresh.unknown) == ("open", 0)
        with bench.watch(job.id) as watcher:
            assert watcher.progress().unknown == 32
        with bench.fleet():
            assert other.wait(60).state == "done"
            with bench.resume(job.id) as again:
                report = again.wait(60)
    assert (report.state, report.written, report.unknown) == ("done", 32, 0)
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[:], data)


def test_registrations_that_retention_removed_are_a_clear_sentence(bench):
    source(bench)
    with bench.submit("copy", "a.zarr", "b.zarr") as job:
        pass
    with bench.open() as broker:
        broker.trim(bench.topics.jobs, broker.describe(bench.topics.jobs).end)
        assert jobs.read_jobs(broker, bench.topics) == []
        with pytest.raises(ConfigError, match="first registrations were removed"):
            bench.watch(job.id)


def test_a_watcher_ends_a_job_whose_driver_is_gone(embedded):
    source(embedded)
    with embedded.submit("copy", "a.zarr", "b.zarr") as job:
        embedded.until_emitted(32)
    with embedded.open() as broker:
        with embedded.fleet(), embedded.watch(job.id) as watcher:
            assert watcher.wait(60).state == "done"
        assert read_known(broker, embedded.topics).jobs()[job.id].done


def test_compactions_beside_running_jobs_lose_nothing(embedded):
    data = source(embedded, chunks=200)
    with (
        embedded.open() as broker,
        embedded.fleet(),
        embedded.submit("copy", "a.zarr", "b.zarr", max_lag=20) as job,
    ):
        for _ in range(5):
            compact(broker, embedded.topics, keep=0, slack=-10)
        assert broker.describe(embedded.topics.jobs).begin[0] > 0
        assert job.wait(60).state == "done"
        assert read_known(broker, embedded.topics).jobs()[job.id].done
    np.testing.assert_array_equal(sz.open_array(embedded.url("b.zarr"))[:], data)


def test_forgotten_jobs_are_gone_with_all_that_was_kept_of_them(bench):
    source(bench)
    source(bench, name="other.zarr")
    first = bench.run("copy", "a.zarr", "b.zarr").job
    with bench.submit("copy", "other.zarr", "c.zarr") as running, bench.open() as broker:
        with pytest.raises(ConfigError, match="is not over: cancel it first"):
            jobs.forget(first, running.id, broker=broker, prefix=bench.prefix)
        assert len(jobs.read_jobs(broker, bench.topics)) == 2
        assert jobs.forget(broker=broker, prefix=bench.prefix, finished=True, older_than=1e6) == []
        assert jobs.forget(broker=broker, prefix=bench.prefix, finished=True) == [first]
        assert [each.job for each in jobs.read_jobs(broker, bench.topics)] == [running.id]
        running.cancel()
        assert jobs.forget(running.id[:20], broker=broker, prefix=bench.prefix) == [running.id]
        assert jobs.read_jobs(broker, bench.topics) == []
        with pytest.raises(ConfigError, match="no job with id"):
            bench.watch(first)


def test_waiting_for_a_job_that_is_forgotten_says_so(embedded):
    source(embedded)
    with embedded.submit("copy", "a.zarr", "b.zarr") as job, embedded.watch(job.id) as watcher:
        job.cancel()
        assert watcher.wait(30).state == "cancelled"
        jobs.forget(job.id, broker=embedded.broker, prefix=embedded.prefix)
        for handle in (watcher, job):
            heard = handle._tracker
            assert heard.wait_for(lambda heard=heard: heard.forgotten, 30)
            with pytest.raises(ConfigError, match="was forgotten"):
                handle.wait(30)


def test_status_of_forged_registrations_takes_little_memory(embedded):
    """Thousands of jobs of the greatest size, with large parameters, cost what the newest of them cost."""
    layout = {"shape": [2**28], "chunks": [1], "dtype": "<i4", "zarr_format": 3, "codecs": []}
    stage = {
        "operation": "map",
        "source": "a",
        "target": "b",
        "layout": layout,
        "params": {"x": "y" * 30_000},
    }
    small = {**layout, "shape": [1]}
    stages = [stage] + [{**stage, "params": {}, "layout": {**small, "shape": [0]}}] * 63
    event = {"type": "submitted", "kind": "map", "stages": stages, "created": 0, "results_from": 0}
    with embedded.open() as broker, broker.producer() as producer:
        embedded.topics.ensure(broker)
        for number in range(300):
            value = msgspec.json.encode({**event, "job": f"J{number:06}"})
            producer.send(embedded.topics.jobs, [NewRecord(value)])
        results = Results(
            "J000299", "w", written=(Written(0, 1, 4), Written(2**28 - 1, 1, 4), Written(2**60, 1, 4))
        )
        producer.send(embedded.topics.results, [NewRecord(encode(results), key=b"J000299")])
        producer.flush()
        tracemalloc.start()
        try:
            report = jobs.read_jobs(broker, embedded.topics)[-1]
            with embedded.watch("J000299") as watcher:
                assert watcher.progress().written == 2
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (report.job, report.tasks, report.written) == ("J000299", 2**28, 2)
    assert peak < 80 << 20
