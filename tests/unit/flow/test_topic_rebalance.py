"""A topic as a source: what a rebalance does, turn by turn."""

import pytest

from streamzarr.errors import (
    QueueError,
)
from streamzarr.flow import Demand
from tests.support.topic_bench import P0, P1, Bench, until


@pytest.fixture
def bench():
    return Bench()


def test_revoked_begun_work_finishes_the_rest_is_handed_back_others_go_on(bench):
    bench.broker.append("jobs", 0, b"a0", b"a1", b"a2")
    bench.broker.append("jobs", 1, b"b0", b"b1")

    def script(bench):
        yield from until(lambda: bench.desk and len(bench.desk.queue) == 5)
        bench.desk.begin(b"a0", b"b0")
        bench.consumer.rebalance("revoked", P0)
        yield from until(lambda: b"a1" not in [m.data for m in bench.desk.queue])
        assert [m.data for m in bench.desk.queue] == [b"b1"]
        assert bench.rebalances == [("assigned", P0, P1)]  # still draining
        bench.desk.end(b"a0", b"b0")
        yield from until(lambda: bench.rebalances[-1] == ("revoked", P0))
        assert bench.clock.now() < 101.0  # it did not wait for its deadline
        assert bench.committed()[0] == 1
        bench.desk.begin(b"b1")
        bench.desk.end(b"b1")
        yield from until(lambda: bench.committed() == {0: 1, 1: 2})

    report = bench.run(script)
    assert sorted(bench.settled) == [b"a0", b"b0", b"b1"]
    assert (report.delivered, report.ok, report.handed_back, report.left) == (5, 3, 2, 0)


def test_over_the_deadline_of_a_revoke_late_results_are_ignored(bench):
    bench.broker.append("jobs", 0, b"a0", b"a1")

    def script(bench):
        yield from until(lambda: bench.desk)
        bench.desk.begin(b"a0", b"a1")
        bench.consumer.rebalance("revoked", P0)
        begun = bench.clock.now()
        yield from until(lambda: len(bench.rebalances) == 2)
        assert 5.0 <= bench.clock.now() - begun < 5.5
        bench.desk.end(b"a0", b"a1")
        yield from until(lambda: bench.demand.in_flight == 0)
        yield

    report = bench.run(script)
    assert bench.settled == []
    assert bench.broker.commits == []
    assert (report.ok, report.handed_back) == (0, 2)


def test_a_stop_during_a_revoke_shortens_it(bench):
    bench.broker.append("jobs", 0, b"a0")

    def script(bench):
        yield from until(lambda: bench.desk)
        bench.desk.begin(b"a0")
        bench.consumer.rebalance("revoked", P0)
        yield from until(lambda: not bench.desk.queue)

    report = bench.run(script, drain=1.0)
    assert report.left == 1
    assert bench.clock.now() < 102.0


def test_lost_nothing_is_committed_and_the_old_epoch_is_ignored(bench):
    bench.broker.append("jobs", 0, b"a0", b"a1", b"a2")

    def script(bench):
        yield from until(lambda: bench.desk)
        bench.desk.begin(b"a0", b"a1")
        bench.consumer.rebalance("lost", P0)
        bench.consumer.rebalance("assigned", P0)
        yield from until(lambda: len(bench.rebalances) == 3 and len(bench.desk.queue) == 3)
        bench.desk.end(b"a0", b"a1")  # of the old epoch
        yield from until(lambda: bench.demand.in_flight == 3)
        yield
        yield
        assert bench.committed() == {}
        assert bench.settled == []
        bench.desk.begin(b"a0", b"a1", b"a2")  # of the new one
        bench.desk.end(b"a0", b"a1", b"a2")
        yield from until(lambda: bench.committed() == {0: 3})

    report = bench.run(script)
    assert bench.settled == [b"a0", b"a1", b"a2"]
    assert (report.ok, report.handed_back) == (3, 3)


def test_results_the_sink_still_owes_are_dropped_when_their_partition_is_lost(bench):
    bench.broker.append("jobs", 0, b"a0")
    bench.broker.append("jobs", 1, b"b0")
    offered = []

    def sink(messages):
        offered.append(sorted(m.data for m in messages))
        if len(offered) == 1:
            bench.consumer.rebalance("lost", P0)
            raise QueueError("away")

    def script(bench):
        yield from until(lambda: len(offered) == 2)
        yield

    bench.run(script, desk=False, sink=sink)
    assert offered == [[b"a0", b"b0"], [b"b0"]]
    assert bench.committed() == {1: 1}


def test_fenced_by_a_commit_and_then_told_so(bench):
    bench.broker.append("jobs", 0, b"a0")
    bench.broker.append("jobs", 1, b"b0")

    def script(bench):
        yield from until(lambda: bench.desk and len(bench.desk.queue) == 2)
        bench.consumer.fenced.add(P0)
        bench.desk.begin(b"a0", b"b0")
        bench.desk.end(b"a0", b"b0")
        yield from until(lambda: bench.committed() == {1: 1})  # the other one is stored all the same
        bench.consumer.rebalance("lost", P0)
        yield from until(lambda: bench.rebalances[-1] == ("lost", P0))
        yield

    bench.run(script)
    assert bench.committed() == {1: 1}


def test_fenced_by_a_commit_but_still_assigned_reads_again_from_there(bench):
    """A refusal that the group takes back must cost repetition, never a record."""
    bench.broker.append("jobs", 0, b"a0", b"a1")

    def script(bench):
        yield from until(lambda: bench.desk and len(bench.desk.queue) == 2)
        bench.consumer.fenced.add(P0)
        bench.desk.begin(b"a0")
        bench.desk.end(b"a0")
        yield from until(lambda: bench.settled)
        yield
        bench.consumer.fenced.clear()
        yield from until(lambda: bench.committed() == {0: 1})
        bench.broker.append("jobs", 0, b"a2")
        yield from until(lambda: len(bench.desk.queue) == 2)
        assert [m.data for m in bench.desk.queue] == [b"a1", b"a2"]
        bench.desk.begin(b"a2", b"a1")
        bench.desk.end(b"a2", b"a1")
        yield from until(lambda: bench.committed() == {0: 3})

    bench.run(script)
    assert bench.settled == [b"a0", b"a2", b"a1"]


def test_records_that_wait_for_bytes_are_not_part_of_a_revoke(bench):
    bench.demand = Demand(100, max_bytes=250)
    bench.broker.append("jobs", 0, *[bytes([n]) * 100 for n in range(5)])

    def script(bench):
        yield from until(lambda: bench.desk and len(bench.desk.queue) == 2)
        first, second = [m.data for m in bench.desk.queue]
        bench.desk.begin(first, second)
        bench.desk.end(first)
        yield from until(lambda: bench.demand.in_flight == 2)
        bench.consumer.rebalance("revoked", P0)
        bench.desk.end(second)
        yield from until(lambda: len(bench.rebalances) == 2)
        bench.consumer.rebalance("assigned", P0)
        yield from until(lambda: bench.desk.queue)
        assert bench.desk.queue[0].data == bytes([2]) * 100

    bench.run(script)
    assert bench.demand.peak_bytes <= 250
    assert bench.committed() == {0: 2}


def test_partitions_that_come_later_are_read(bench):
    bench.broker.append("jobs", 1, b"b0")

    def script(bench):
        bench.consumer.expect_nothing()
        bench.consumer.rebalance("assigned", P0)
        yield
        yield
        bench.consumer.rebalance("assigned", P1)
        yield from until(lambda: bench.settled)

    bench.run(script, desk=False)
    assert bench.rebalances[:2] == [("assigned", P0), ("assigned", P1)]
