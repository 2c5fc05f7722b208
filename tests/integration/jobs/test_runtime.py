"""A job and its worker take clock, ids and threads from the runtime of the broker, wherever they run."""

import threading

import streamzarr as sz
from streamzarr import jobs
from streamzarr.flow import Stop
from streamzarr.jobs.options import WorkerOptions
from streamzarr.jobs.register import new_job_id
from streamzarr.jobs.worker import Unsupervised, work_on
from streamzarr.queue import open_broker
from streamzarr.runtime import SystemRuntime

YEAR_NS = 365 * 86400 * 10**9


class Elsewhere(SystemRuntime):
    """The machine's runtime in another year, which writes down the threads that it makes."""

    def __init__(self):
        self.names = []

    def wall_ns(self):
        return super().wall_ns() + YEAR_NS

    def thread(self, target, name):
        self.names.append(name)
        return super().thread(target, name)


def test_all_of_a_job_is_in_the_year_and_the_threads_of_its_runtime(tmp_path, monkeypatch):
    started, start = [], threading.Thread.start

    def note(thread):
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", note)
    runtime = Elsewhere()
    source, target = f"{tmp_path}/a.zarr", f"{tmp_path}/b.zarr"
    sz.create_array(source, data=range(100), chunks=10)
    with open_broker(f"sqlite:///{tmp_path}/queue.db", runtime=runtime) as broker:
        stop = Stop(runtime)
        options = WorkerOptions(broker=broker.url, roots=(str(tmp_path),), threads=2)
        worker = runtime.thread(
            lambda: work_on(broker, options, Unsupervised("w", runtime), stop), "streamzarr-worker"
        )
        worker.start()
        try:
            with jobs.submit("copy", source, target, chunks=20, broker=broker) as job:
                report = job.wait(60)
        finally:
            stop.drain(10.0)
            worker.join()
        assert report.state == "done"
        assert job.id > new_job_id()  # ids sort by time, and ours is of next year
        assert 0 <= runtime.wall_ns() / 1e6 - report.created < 120_000
        [entry] = jobs.read_register(broker, jobs.JobTopics()).values()
        assert entry.submitted.created == report.created
    assert (sz.open_array(target)[:] == range(100)).all()
    ours = [name for name in started if name.startswith("streamzarr")]
    assert sorted(ours) == sorted(runtime.names)
    assert {name.split("-")[1] for name in ours} >= {"emit", "results", "producer", "heartbeat", "worker"}
