"""A topic as a source when the broker is away, and when records are gone or damaged."""

import pytest
import reactivex.operators as rx

from streamzarr.errors import (
    ConfigError,
    DamagedRecordError,
    OffsetOutOfRangeError,
    QueueError,
    TopicNotFoundError,
)
from streamzarr.flow import Demand, from_topic, ops, run
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from tests.support.topic_bench import P0, P1, Bench, until


@pytest.fixture
def bench():
    return Bench()


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
