"""A topic as a source: what is delivered, what is committed, and how it stops."""

import threading

import pytest

from streamzarr.errors import (
    QueueError,
)
from streamzarr.flow import Demand, Stop, from_topic, ops, run
from streamzarr.queue.base import NewRecord
from streamzarr.testing.broker_fake import FakeBroker
from tests.support.topic_bench import P0, P1, Bench, until


@pytest.fixture
def bench():
    return Bench()


def test_everything_arrives_in_order_and_is_committed(bench):
    bench.broker.append("jobs", 0, *[b"a%d" % n for n in range(50)])
    bench.broker.append("jobs", 1, *[b"b%d" % n for n in range(30)])

    def script(bench):
        yield from until(lambda: len(bench.settled) == 80)

    report = bench.run(script, desk=False)
    assert [v for v in bench.settled if v[:1] == b"a"] == [b"a%d" % n for n in range(50)]
    assert [v for v in bench.settled if v[:1] == b"b"] == [b"b%d" % n for n in range(30)]
    assert bench.committed() == {0: 50, 1: 30}
    assert (report.ok, report.stopped, report.left) == (80, True, 0)


def test_a_group_goes_on_where_it_stopped(bench):
    bench.broker.append("jobs", 0, b"a", b"b", b"c")
    bench.broker.set_committed("workers", P0, 2)

    def script(bench):
        yield from until(lambda: bench.settled)

    bench.run(script, desk=False)
    assert bench.settled == [b"c"]


def test_a_message_carries_its_record_and_all_its_bytes(bench):
    with bench.broker.producer() as producer:
        producer.send(
            "jobs", [NewRecord(b"value", key=b"key", headers=(("h", b"12"),), partition=1, timestamp=7)]
        )
    seen = []

    def script(bench):
        yield from until(lambda: bench.settled)

    bench.run(script, desk=False, sink=seen.extend)
    [message] = seen
    assert (message.data, message.nbytes) == (b"value", 5 + 3 + 1 + 2)
    assert (message.record.key, message.record.partition, message.record.timestamp) == (b"key", 1, 7)


def test_only_the_contiguous_low_watermark_is_committed(bench):
    bench.broker.append("jobs", 0, b"0", b"1", b"2", b"3")

    def script(bench):
        yield from until(lambda: bench.desk)
        bench.desk.begin(b"0", b"1", b"2", b"3")
        bench.desk.end(b"1", b"2")
        yield from until(lambda: len(bench.settled) == 2)
        yield
        assert bench.committed() == {}
        bench.desk.end(b"0")
        yield from until(lambda: bench.committed() == {0: 3})
        bench.desk.end(b"3")
        yield from until(lambda: bench.committed() == {0: 4})

    bench.run(script)
    assert bench.broker.commits == [{P0: 3}, {P0: 4}]


def test_commits_are_grouped_by_time(bench):
    bench.broker.append("jobs", 0, *[b"x"] * 1000)
    bench.demand = Demand(10)

    def script(bench):
        for _ in range(100):
            bench.clock.advance(0.01)
            yield

    bench.run(script, desk=False, commit_every=0.2)
    assert 3 <= len(bench.broker.commits) <= 7


def test_offsets_wait_for_the_sink(bench):
    bench.broker.append("jobs", 0, b"0")
    seen = []

    def sink(messages):
        seen.append(bench.committed())
        if len(seen) < 4:
            raise QueueError("results topic is away")

    def script(bench):
        yield from until(lambda: len(seen) == 4)
        yield

    bench.run(script, desk=False, sink=sink)
    assert seen == [{}] * 4
    assert bench.committed() == {0: 1}


# -- life ------------------------------------------------------------------------------------------------


def test_without_demand_it_stays_in_the_group_and_takes_part_in_rebalances(bench):
    bench.demand = Demand(1)
    bench.broker.append("jobs", 0, b"0", b"1")
    polled = []

    def script(bench):
        yield from until(lambda: bench.desk)
        bench.desk.begin(b"0")
        while bench.clock.now() < 160.0:
            polled.append((bench.clock.now(), bench.consumer.polls))
            yield
        bench.consumer.rebalance("assigned", P1)
        yield from until(lambda: ("assigned", P1) in bench.rebalances)
        assert len(bench.desk.begun) + len(bench.desk.queue) == 1
        bench.desk.end(b"0")
        yield from until(lambda: bench.committed() == {0: 1})

    bench.run(script, session_timeout=10.0)
    assert polled[-1][1] - polled[0][1] >= 50  # at least once a second in a minute
    assert polled[-1][1] - polled[0][1] <= 70


def test_a_drain_keeps_the_membership_while_work_ends(bench):
    bench.broker.append("jobs", 0, b"0", b"1")

    def script(bench):
        yield from until(lambda: bench.desk)
        bench.desk.begin(b"0")
        bench.stop.drain(30.0)
        before = bench.consumer.polls
        while bench.clock.now() < 120.0:
            yield
        assert bench.consumer.polls - before >= 15
        bench.desk.end(b"0")
        yield from until(lambda: False)

    report = bench.run(script)
    assert (report.ok, report.handed_back, report.left) == (1, 1, 0)
    assert bench.committed() == {0: 1}
    assert bench.clock.now() < 121.0


def test_stop_now_hands_back_everything_at_once(bench):
    bench.broker.append("jobs", 0, b"0", b"1")

    def script(bench):
        yield from until(lambda: bench.desk)
        bench.desk.begin(b"0")
        bench.stop.now()
        yield from until(lambda: False)

    report = bench.run(script)
    assert (report.ok, report.handed_back, report.left) == (0, 1, 1)
    assert bench.committed() == {}
    assert bench.clock.now() < 100.5


def test_threads_results_and_offsets_end_to_end():
    """Real threads and the real clock: what is left uncommitted is delivered to the next one."""
    broker = FakeBroker()
    broker.create_topic("jobs", 3)
    for n in range(300):
        broker.append("jobs", n % 3, b"%d" % n)
    seen, lock = [], threading.Lock()

    def go(limit):
        stop = Stop()

        def fn(value):
            with lock:
                seen.append(value)
                if len(seen) == limit:
                    stop.drain(10.0)

        chain = from_topic(broker, "jobs", group="workers", demand=Demand(32), commit_every=0.01).pipe(
            ops.dispatch(fn, workers=4), ops.settle()
        )
        return run(chain, stop=stop)

    first = go(100)
    assert first.ok + first.handed_back == first.delivered < 300
    done = sum(broker.committed("workers", "jobs").values())
    assert done <= first.ok
    second = go(len(seen) + 300 - done)
    assert second.ok == 300 - done
    assert sum(broker.committed("workers", "jobs").values()) == 300
    assert set(seen) == {b"%d" % n for n in range(300)}
