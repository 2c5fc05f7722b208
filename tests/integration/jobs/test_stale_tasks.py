"""Tasks of a job that come after the job which took its target."""

import threading
import time

import numpy as np

import streamzarr as sz
from streamzarr.queue.base import NewRecord
from tests.support.bench import tree_digest


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
