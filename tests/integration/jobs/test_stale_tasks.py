"""Tasks of a job that come after the job which took its target."""

import shutil
import threading
import time

import numpy as np
import pytest
import zarr

import streamzarr as sz
from streamzarr.jobs import forget
from streamzarr.queue.base import NewRecord
from tests.support.bench import Bench, tree_digest


def test_tasks_that_are_delivered_after_the_next_job_has_ended_change_nothing(bench):
    data = np.arange(1, 129, dtype="i4")
    sz.create_array(bench.url("a.zarr"), data=data, chunks=16)
    sz.create_array(bench.url("other.zarr"), data=data + 1000, chunks=16)
    with bench.submit("copy", "a.zarr", "b.zarr"):
        bench.until_emitted(8)
    with bench.open() as broker, broker.reader(bench.topics.tasks) as reader:
        first = [record for _ in range(8) for record in reader.poll(1, timeout=20)]
    assert bench.run("copy", "other.zarr", "b.zarr", overwrite=True).state == "done"
    before = tree_digest(bench.url("b.zarr"))

    # As when the group's positions have expired: all tasks once more, in a fresh worker.
    with bench.open() as broker:
        with broker.producer() as producer:
            producer.send(bench.topics.tasks, [NewRecord(r.value, r.key, r.headers) for r in first])
        with bench.fleet(1):
            deadline = time.monotonic() + 60
            while bench.queued(broker):
                assert time.monotonic() < deadline, "the tasks are not settled"
                threading.Event().wait(0.05)
    assert tree_digest(bench.url("b.zarr")) == before


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("by", ["hand", "a job that was forgotten", "a job of other workers"])
def test_a_target_that_was_replaced_is_not_written_by_the_job_that_had_it(embedded, by, zarr_format):
    """The register knows of none of these; the target does."""
    data = np.arange(1, 65, dtype="i4")
    sz.create_array(embedded.url("a.zarr"), data=data, chunks=16, zarr_format=zarr_format)
    other = sz.create_array(embedded.url("other.zarr"), data=data + 1000, chunks=16, zarr_format=zarr_format)
    with embedded.submit("copy", "a.zarr", "b.zarr") as job:
        embedded.until_emitted(4)
    if by == "hand":
        how = {"chunks": 16, "zarr_format": zarr_format, "overwrite": True}
        sz.create_array(embedded.url("b.zarr"), data=other[:], **how)
    else:
        bench = embedded if by == "a job that was forgotten" else Bench(embedded.broker, embedded.folder)
        with bench.fleet(1), bench.submit("copy", "other.zarr", "b.zarr", overwrite=True) as later:
            assert later.wait(60).state == "done"
        if bench is embedded:
            forget(later.id, broker=embedded.broker, prefix=embedded.prefix)
    sz.open_array(embedded.url("b.zarr"), mode="r+").attrs["units"] = "m"
    before = tree_digest(embedded.url("b.zarr"))
    with embedded.fleet(1), embedded.resume(job.id) as again:
        report = again.wait(60)
    assert report.state == "incomplete"
    assert report.dead == 4
    assert tree_digest(embedded.url("b.zarr")) == before


def test_attributes_of_a_target_may_be_edited_while_its_job_goes_on(embedded):
    data = np.arange(64, dtype="i4")
    sz.create_array(embedded.url("a.zarr"), data=data, chunks=16)
    sz.create_array(embedded.url("b.zarr"), data=data, chunks=16)
    with embedded.submit("copy", "a.zarr", "b.zarr", overwrite=True) as job:
        embedded.until_emitted(4)
        sz.open_array(embedded.url("b.zarr"), mode="r+").attrs["by"] = "us"
        zarr.open_array(embedded.url("b.zarr"), mode="r+").attrs["units"] = "m"
        with embedded.fleet(1):
            assert job.wait(60).state == "done"
    done = sz.open_array(embedded.url("b.zarr"))
    np.testing.assert_array_equal(done[:], data)
    assert dict(done.attrs) == {"by": "us", "units": "m"}


def test_a_target_that_was_removed_by_hand_is_the_next_jobs_alone(embedded):
    sz.create_array(embedded.url("a.zarr"), data=np.arange(1, 65, dtype="i4"), chunks=16)
    sz.create_array(embedded.url("other.zarr"), data=np.zeros(64, "i4"), chunks=16)
    with embedded.submit("copy", "a.zarr", "b.zarr") as job:
        embedded.until_emitted(4)
    shutil.rmtree(embedded.url("b.zarr"))
    with embedded.submit("copy", "other.zarr", "b.zarr") as later, embedded.fleet(1):
        assert later.wait(60).state == "done"
    np.testing.assert_array_equal(sz.open_array(embedded.url("b.zarr"))[:], 0)
    with embedded.watch(job.id) as first:
        assert first.progress().state == "cancelled"
    with pytest.raises(sz.errors.ConfigError, match="has taken over"):
        embedded.resume(job.id)
