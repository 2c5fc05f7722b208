"""Chains over the embedded broker, with real threads, processes and time."""

import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from streamzarr.flow import Demand, LagDemand, Stop, from_iterable, from_topic, ops, run
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord

WORKER = """
import sys, threading
from streamzarr.flow import Demand, from_topic, ops, run
from streamzarr.queue import open_broker

def work(value):
    threading.Event().wait(0.005)
    return value

def sink(messages):
    for message in messages:
        sys.stdout.write(message.data.decode() + chr(10))
    sys.stdout.flush()

with open_broker(sys.argv[1]) as broker:
    chain = from_topic(broker, "tasks", group="workers", demand=Demand(16), commit_every=0.02).pipe(
        ops.dispatch(work, workers=2), ops.settle(sink)
    )
    run(chain, install_signal_handlers=True)
"""


@pytest.fixture
def broker(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
        broker.create_topic("tasks", partitions=4)
        yield broker


def produce(broker, count, start=0):
    with broker.producer() as producer:
        producer.send("tasks", [NewRecord(b"%d" % n, partition=n % 4) for n in range(start, start + count)])


def done(broker):
    info, committed = broker.describe("tasks"), broker.committed("workers", "tasks")
    return sum(info.end.values()) == sum(committed.values())


def poll(condition, timeout=60.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "condition not reached"
        threading.Event().wait(0.01)


class Worker(threading.Thread):
    """A chain in a thread of its own, with a broker of its own."""

    def __init__(self, url, work=lambda value: value, **options):
        super().__init__()
        self.seen, self.rebalances, self.stop, self.report = [], [], Stop(), None
        self._url, self._work = url, work
        self._options = {"demand": Demand(32), "commit_every": 0.02} | options
        self.start()

    def run(self):
        with open_broker(self._url) as broker:
            chain = from_topic(
                broker,
                "tasks",
                group="workers",
                on_rebalance=lambda what, partitions: self.rebalances.append((what, len(partitions))),
                **self._options,
            ).pipe(
                ops.dispatch(self._work, workers=2),
                ops.settle(lambda messages: self.seen.extend(m.data for m in messages)),
            )
            self.report = run(chain, stop=self.stop)

    def drain(self):
        self.stop.drain(20.0)
        self.join(30)
        assert not self.is_alive()
        return self.report


def test_a_paced_producer_and_a_worker_end_to_end(broker):
    lags = []
    demand = LagDemand(broker, "tasks", "workers", max_lag=50, refresh=0.01)

    def send(messages):
        with broker.producer() as producer:
            producer.send("tasks", [NewRecord(m.data, partition=int(m.data) % 4) for m in messages])
        lags.append(
            sum(broker.describe("tasks").end.values()) - sum(broker.committed("workers", "tasks").values())
        )

    worker = Worker(broker.url)
    report = run(from_iterable([b"%d" % n for n in range(1000)], demand).pipe(ops.settle(send)))
    poll(lambda: done(broker))
    assert worker.drain().ok == report.ok == 1000
    assert Counter(worker.seen) == Counter(b"%d" % n for n in range(1000))
    assert max(lags) <= 50


def test_workers_join_and_leave_and_nothing_is_lost(broker):
    produce(broker, 800)

    def work(value):
        threading.Event().wait(0.002)
        return value

    first = Worker(broker.url, work)
    poll(lambda: len(first.seen) > 20)
    second = Worker(broker.url, work)
    poll(lambda: len(second.seen) > 20)
    assert ("revoked", 2) in first.rebalances
    first.drain()
    poll(lambda: done(broker))
    second.drain()
    seen = Counter(first.seen + second.seen)
    assert set(seen) == {b"%d" % n for n in range(800)}
    # Cooperative and drained: what had begun was finished and committed before its partition moved.
    assert max(seen.values()) == 1
    assert first.report.left == second.report.left == 0


def test_a_killed_worker_loses_nothing(broker):
    produce(broker, 600)
    process = subprocess.Popen([sys.executable, "-c", WORKER, broker.url], stdout=subprocess.PIPE)
    before = [process.stdout.readline().strip() for _ in range(50)]
    process.kill()
    before += process.stdout.read().split()
    process.wait()
    process.stdout.close()
    worker = Worker(broker.url)
    poll(lambda: done(broker))
    worker.drain()
    assert set(before) | set(worker.seen) == {b"%d" % n for n in range(600)}
    repeated = set(before) & set(worker.seen)
    assert len(repeated) <= 200  # what was settled within the last commit interval, at most


def test_work_longer_than_the_session_keeps_the_membership(broker):
    produce(broker, 3)
    worker = Worker(
        broker.url,
        lambda value: threading.Event().wait(1.5) or value,
        demand=Demand(1),
        session_timeout=1.0,
    )
    poll(lambda: done(broker))
    report = worker.drain()
    assert (report.ok, report.handed_back) == (3, 0)
    assert [what for what, _ in worker.rebalances] == ["assigned", "revoked"]


def test_an_idle_chain_costs_next_to_nothing(broker):
    worker = Worker(broker.url)
    poll(lambda: worker.rebalances)
    before = time.process_time()
    threading.Event().wait(1.0)
    used = time.process_time() - before
    worker.drain()
    assert used < 0.15
