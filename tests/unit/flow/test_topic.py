"""A topic as a source: what is committed, and what a rebalance does, turn by turn on a fake clock."""

import threading

import pytest
import reactivex.operators as rx

from streamzarr.errors import (
    ConfigError,
    DamagedRecordError,
    OffsetOutOfRangeError,
    QueueError,
    TopicNotFoundError,
)
from streamzarr.flow import Demand, Stop, from_topic, ops, run
from streamzarr.flow.graph import staged
from streamzarr.flow.stage import Stage
from streamzarr.queue.base import NewRecord, TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

P0, P1 = TopicPartition("jobs", 0), TopicPartition("jobs", 1)


class Desk(Stage):
    """Holds messages until the test says that their work has begun, and that it has ended."""

    def __init__(self, chain, observer, test):
        super().__init__(chain, observer)
        self.queue, self.begun, self.ended = [], [], []
        self._test = test

    def receive(self, messages):
        self._test.desk = self
        self.queue.extend(messages)
        self.working += len(messages)

    def begin(self, *values):
        for value in values:
            [message] = [m for m in self.queue if m.data == value]
            self.queue.remove(message)
            self.begun.append(message)

    def end(self, *values):
        for value in values:
            message = next(m for m in self.begun if m.data == value)
            self.begun.remove(message)
            self.ended.append(message)

    def turn(self):
        ended, self.ended = self.ended, []
        self.working -= len(ended)
        self.emit(ended)

    def withdraw(self, belongs):
        given_up = [m for m in self.queue if belongs(m)]
        self.queue = [m for m in self.queue if not belongs(m)]
        self.working -= len(given_up)
        return given_up


class Bench:
    """A chain from a topic to a sink that the test drives one step per turn.

    `script` is a generator: it runs up to its next ``yield`` at each turn; when it ends, the chain stops.
    """

    def __init__(self, partitions=2):
        self.clock = FakeClock(100.0)
        self.broker = FakeBroker(self.clock)
        self.broker.create_topic("jobs", partitions)
        self.stop = Stop(self.clock)
        self.demand = Demand(100)
        self.desk = None
        self.settled = []
        self.rebalances = []

    @property
    def consumer(self):
        return self.broker.consumers[-1]

    def committed(self):
        return self.broker.committed("workers", "jobs")

    def run(self, script, *, desk=True, sink=None, drain=0.0, **options):
        steps = script(self)

        def turn():
            if next(steps, "end") == "end" and not self.stop.requested:
                self.stop.drain(drain)

        def store(messages):
            if sink is not None:
                sink(messages)
            self.settled.extend(m.data for m in messages)

        options = {"commit_every": 0.0, "drain_timeout": 5.0} | options
        chain = from_topic(
            self.broker,
            "jobs",
            group="workers",
            demand=self.demand,
            on_turn=turn,
            on_rebalance=lambda what, partitions: self.rebalances.append((what, *partitions)),
            **options,
        )
        if desk:
            chain = chain.pipe(staged(lambda chain, observer: Desk(chain, observer, self)))
        report = run(chain.pipe(ops.settle(store)), stop=self.stop, runtime=self.clock)
        assert self.demand.in_flight == 0
        assert self.consumer.closed
        return report


@pytest.fixture
def bench():
    return Bench()


def until(condition, turns=200):
    """Let turns pass until `condition()` holds."""
    for _ in range(turns):
        if condition():
            return
        yield
    raise AssertionError("condition not reached")


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


# -- rebalance -------------------------------------------------------------------------------------------


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


# -- faults ----------------------------------------------------------------------------------------------


def test_a_commit_that_fails_is_made_at_a_later_turn(bench):
    bench.broker.append("jobs", 0, b"a0")
    bench.broker.fail("commit", QueueError("away"), QueueError("away"))

    def script(bench):
        yield from until(lambda: bench.committed() == {0: 1})

    bench.run(script, desk=False)


def test_a_broker_that_is_away_is_one_line_and_one_when_it_is_back(bench, caplog):
    bench.broker.append("jobs", 0, b"a0")
    bench.broker.fail("commit", *[QueueError("away")] * 50)

    def script(bench):
        yield from until(lambda: bench.committed() == {0: 1}, turns=10_000)

    bench.run(script, desk=False)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2, lines
    assert "cannot be reached, trying again: committing offsets of topic 'jobs': away" in lines[0]
    assert "is reached again" in lines[1]


def test_the_last_commit_is_tried_until_the_deadline_and_then_an_error(bench):
    bench.broker.append("jobs", 0, b"a0")
    bench.broker.faults["commit"] = lambda: (_ for _ in ()).throw(QueueError("broker is away"))

    def script(bench):
        yield from until(lambda: bench.settled)

    with pytest.raises(QueueError, match="broker is away"):
        bench.run(script, desk=False)
    assert bench.clock.now() < 107
    assert bench.consumer.closed


def test_a_poll_that_fails_is_repeated_after_a_while(bench):
    bench.broker.append("jobs", 0, b"a0")
    bench.broker.fail("poll", *[QueueError("away")] * 5)

    def script(bench):
        yield from until(lambda: bench.settled)

    bench.run(script, desk=False)
    assert 2.0 < bench.clock.now() - 100 < 6.0


def test_a_broker_that_stays_away_breaks_the_chain(bench):
    bench.broker.faults["poll"] = lambda: (_ for _ in ()).throw(QueueError("broker is away"))

    def script(bench):
        yield from until(lambda: False, turns=10_000)

    with pytest.raises(QueueError, match="broker is away"):
        bench.run(script, desk=False)
    assert 15 < bench.clock.now() - 100 < 40


def test_an_error_that_cannot_pass_breaks_the_chain_at_once(bench):
    bench.broker.fail("poll", TopicNotFoundError("jobs was deleted"))
    with pytest.raises(TopicNotFoundError):
        bench.run(lambda bench: until(lambda: False), desk=False)
    assert bench.clock.now() < 101


def commit_then_trim(bench, commit, before, partition=0):
    bench.broker.set_committed("workers", TopicPartition("jobs", partition), commit)
    bench.broker.trim("jobs", {partition: before})


def test_records_that_are_gone_break_the_chain_at_once(bench):
    bench.broker.append("jobs", 0, *[b"a%d" % n for n in range(10)])
    commit_then_trim(bench, 2, 5)
    with pytest.raises(OffsetOutOfRangeError, match=r"3 records, 2 to 4, were trimmed"):
        bench.run(lambda bench: until(lambda: False), desk=False)
    assert bench.clock.now() < 101
    assert bench.committed() == {0: 2}


def test_records_that_are_gone_can_be_skipped_and_that_is_said(bench, caplog):
    bench.broker.append("jobs", 0, *[b"a%d" % n for n in range(10)])
    bench.broker.append("jobs", 1, b"b0")
    commit_then_trim(bench, 2, 5)

    def script(bench):
        yield from until(lambda: len(bench.settled) == 6)
        yield from until(lambda: bench.committed() == {0: 10, 1: 1})

    bench.run(script, desk=False, on_gap="skip")
    assert sorted(bench.settled) == [b"a5", b"a6", b"a7", b"a8", b"a9", b"b0"]
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "3 records, 2 to 4, were trimmed or have expired; group 'workers' goes on at offset 5" in line


def test_a_skipped_gap_is_committed_when_nothing_follows(bench):
    bench.broker.append("jobs", 0, *[b"a%d" % n for n in range(10)])
    commit_then_trim(bench, 2, 10)

    def script(bench):
        yield from until(lambda: bench.committed() == {0: 10})

    bench.run(script, desk=False, on_gap="skip")
    assert bench.settled == []


def test_work_in_flight_before_a_gap_is_still_acknowledged_in_order(bench):
    bench.broker.append("jobs", 0, b"a0", b"a1")

    def script(bench):
        yield from until(lambda: bench.desk is not None and len(bench.desk.queue) == 2)
        bench.desk.begin(b"a0", b"a1")
        bench.broker.append("jobs", 0, b"a2")
        bench.broker.trim("jobs", {0: 3})
        bench.broker.append("jobs", 0, b"a3")
        yield from until(lambda: any(m.data == b"a3" for m in bench.desk.queue))
        bench.desk.begin(b"a3")
        bench.desk.end(b"a1", b"a3")
        yield from until(lambda: len(bench.settled) == 2)
        assert bench.committed().get(0) in (None, 0), "a0 is still at work"
        bench.desk.end(b"a0")
        yield from until(lambda: bench.committed() == {0: 4})

    bench.run(script, on_gap="skip", drain=5.0)


def test_a_topic_made_anew_is_read_from_its_beginning(bench, caplog):
    bench.broker.append("jobs", 0, b"new0", b"new1")
    bench.broker.set_committed("workers", P0, 1000)

    def script(bench):
        yield from until(lambda: bench.committed() == {0: 2})

    bench.run(script, desk=False, on_gap="skip")
    assert bench.settled == [b"new0", b"new1"]
    assert "never written, or the topic was made anew; group 'workers' goes on at offset 0" in caplog.text


@pytest.mark.parametrize("on_gap", ["fail", "skip"])
def test_damaged_records_are_skipped_or_break_the_chain_and_never_retried(bench, on_gap, caplog):
    bench.broker.append("jobs", 0, *[b"a%d" % n for n in range(6)])
    bench.broker.damaged[P0] = {2, 3}

    def script(bench):
        yield from until(lambda: bench.committed() == {0: 6})

    if on_gap == "fail":
        with pytest.raises(DamagedRecordError, match=r"\[0\]: the records from offset 2 to 3 are damaged"):
            bench.run(script, desk=False)
        assert bench.committed() == {0: 2}
    else:
        bench.run(script, desk=False, on_gap="skip")
        assert bench.settled == [b"a0", b"a1", b"a4", b"a5"]
        assert "the records from offset 2 to 3 are damaged" in caplog.text
    assert bench.clock.now() < 105


def test_offsets_without_a_record_at_the_end_are_committed(bench):
    bench.broker.append("jobs", 0, b"a0")
    bench.broker.leave_out(P0, 2)
    bench.broker.leave_out(P1, 1)

    def script(bench):
        yield from until(lambda: bench.committed() == {0: 3, 1: 1})
        bench.broker.append("jobs", 0, b"a3")
        yield from until(lambda: bench.committed() == {0: 4, 1: 1})

    bench.run(script, desk=False)
    assert bench.settled == [b"a0", b"a3"]


def test_offsets_without_a_record_wait_for_the_records_before_them(bench):
    bench.broker.append("jobs", 0, b"a0")
    bench.broker.leave_out(P0, 2)

    def script(bench):
        yield from until(lambda: bench.desk is not None and bench.desk.queue)
        bench.desk.begin(b"a0")
        for _ in range(20):
            yield
        assert bench.committed() == {}
        bench.desk.end(b"a0")
        yield from until(lambda: bench.committed() == {0: 3})

    bench.run(script, drain=5.0)


def test_an_unknown_topic_is_on_error():
    broker = FakeBroker()
    with pytest.raises(TopicNotFoundError, match="jbos"):
        run(from_topic(broker, "jbos", group="workers", demand=Demand(1)).pipe(ops.settle()))


def test_an_error_further_down_commits_what_was_settled_and_leaves_the_group(bench):
    bench.demand = Demand(2, min_demand=0)
    bench.broker.append("jobs", 0, b"0", b"1", b"2", b"3")
    calls = []

    def sink(messages):
        calls.append(len(messages))
        if len(calls) == 2:
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        bench.run(lambda bench: until(lambda: False), desk=False, sink=sink, commit_every=60.0)
    assert bench.committed() == {0: 2}
    assert bench.consumer.closed
    assert bench.demand.in_flight == 0


def test_a_commit_that_fails_after_the_subscriber_has_gone_is_logged(bench, caplog):
    bench.broker.append("jobs", 0, b"a0")
    bench.broker.faults["commit"] = lambda: (_ for _ in ()).throw(QueueError("broker is away"))
    chain = from_topic(bench.broker, "jobs", group="g", demand=Demand(1))
    run(chain.pipe(ops.settle(), rx.take(1)), runtime=bench.clock)
    assert "nobody watches any more failed at its end: QueueError: broker is away" in caplog.text
    assert bench.consumer.closed


def test_an_error_of_the_chain_while_a_partition_drains_is_not_taken_for_the_brokers(bench):
    """The sink's QueueError surfaces inside the consumer's poll, whose own errors would be retried."""
    bench.broker.append("jobs", 0, b"a0")

    def sink(messages):
        raise QueueError("results topic is gone")

    def script(bench):
        yield from until(lambda: bench.desk)
        bench.desk.begin(b"a0")
        bench.consumer.rebalance("revoked", P0)
        bench.desk.end(b"a0")
        yield from until(lambda: False, turns=2000)

    with pytest.raises(QueueError, match="results topic is gone"):
        bench.run(script, sink=sink, session_timeout=600.0, drain_timeout=300.0)
    assert bench.committed() == {}
    assert bench.clock.now() < 150


def test_an_on_rebalance_that_raises_breaks_the_chain(bench):
    with pytest.raises(ZeroDivisionError):
        run(
            from_topic(
                bench.broker,
                "jobs",
                group="g",
                demand=Demand(1),
                on_rebalance=lambda *_: 1 / 0,
            ).pipe(ops.settle()),
            runtime=bench.clock,
        )
    assert bench.consumer.closed


def test_a_drain_longer_than_the_session_is_refused(bench):
    with pytest.raises(ConfigError, match=r"drain_timeout=10\.0, session_timeout=5\.0"):
        from_topic(bench.broker, "jobs", group="g", demand=Demand(1), drain_timeout=10.0, session_timeout=5.0)


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
