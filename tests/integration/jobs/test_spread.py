"""Few large tasks reach different workers."""

import contextlib
import time

import numpy as np

import streamzarr as sz
from streamzarr.errors import QueueError
from streamzarr.queue.embedded.broker import EmbeddedBroker


def test_as_many_tasks_as_workers_go_one_to_each(bench):
    sz.create_array(bench.url("a.zarr"), data=np.arange(64), chunks=(16,))
    topics = bench.topics
    with bench.open() as broker, contextlib.ExitStack() as stack:
        topics.ensure(broker)
        workers = [stack.enter_context(broker.consumer([topics.tasks], topics.group)) for _ in range(4)]

        def owned():
            return broker.assignment(topics.group, topics.tasks).values()

        deadline = time.monotonic() + 60
        while list(map(len, owned())) != [4, 4, 4, 4]:
            assert time.monotonic() < deadline, list(owned())
            for worker in workers:
                worker.poll(0, 0.05)
        with bench.submit("copy", "a.zarr", "b.zarr"):
            bench.until_emitted(4)
        sent = {number for number, end in broker.describe(topics.tasks).end.items() if end}
        assert [len(sent.intersection(each)) for each in owned()] == [1, 1, 1, 1]


def test_a_broker_that_cannot_tell_who_has_what_fails_no_job(embedded, monkeypatch, caplog):
    def refuse(*_):
        raise QueueError("not to be told")

    sz.create_array(embedded.url("a.zarr"), data=np.arange(64), chunks=(16,))
    monkeypatch.setattr(EmbeddedBroker, "assignment", refuse)
    report = embedded.run("copy", "a.zarr", "b.zarr")
    assert report.state == "done"
    assert "may reach fewer workers than there are: not to be told" in caplog.text
