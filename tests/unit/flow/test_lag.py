import logging

import pytest

from streamzarr.errors import ConfigError, QueueError, TopicNotFoundError
from streamzarr.flow import LagDemand, from_iterable, ops, run
from streamzarr.flow.demand.lag import group_lag
from streamzarr.queue.base import NewRecord, TopicInfo, TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

P0, P1 = TopicPartition("jobs", 0), TopicPartition("jobs", 1)


@pytest.fixture
def clock():
    return FakeClock(start=1000.0)


@pytest.fixture
def broker(clock):
    broker = FakeBroker(clock)
    broker.create_topic("jobs", partitions=2)
    return broker


@pytest.fixture
def demand(broker, clock):
    return LagDemand(
        broker, "jobs", "workers", max_lag=10, min_lag=4, refresh=0.1, stale_after=5.0, runtime=clock
    )


def produce(broker, demand, count):
    taken = demand.take([0] * count)
    broker.append("jobs", 0, *[b"x"] * taken)
    demand.settle(taken, 0)
    return taken


def test_lag_counts_from_the_beginning_where_nothing_is_committed():
    info = TopicInfo("jobs", begin={0: 5, 1: 7, 2: 0}, end={0: 10, 1: 7, 2: 4})
    assert group_lag(info, {}) == 5 + 0 + 4
    assert group_lag(info, {0: 9, 2: 4}) == 1
    assert group_lag(info, {0: 3}) == 5 + 4  # trimmed past the commit
    assert group_lag(info, {0: 99, 1: 99, 2: 99}) == 0  # the commits are younger than the ends


def test_holds_at_max_lag_and_goes_on_at_min_lag(broker, demand, clock):
    assert demand.room().messages == 6  # the first turn of split(10)
    assert produce(broker, demand, 100) == 10
    for committed, room in [(0, 0), (5, 0), (6, 6)]:
        broker.set_committed("workers", P0, committed)
        clock.advance(0.2)
        assert demand.room().messages == room
    assert demand.outstanding == 4


def test_what_is_sent_but_not_visible_counts(broker, demand, clock):
    demand.room()
    assert demand.take([0] * 7) == 7  # let in, not on the topic yet
    clock.advance(0.2)
    assert demand.room().messages == 3
    assert demand.outstanding == 7
    demand.take([0] * 3)
    broker.append("jobs", 1, *[b"x"] * 10)
    clock.advance(0.2)
    assert demand.room().messages == 0
    assert demand.outstanding == 20  # on the topic, but not known to be ours: counted twice, never too little
    demand.settle(10, 0)
    clock.advance(0.2)
    demand.room()
    assert demand.outstanding == 10


def test_other_producers_lag_takes_credit_away(broker, demand, clock):
    assert demand.room().messages == 6
    broker.append("jobs", 1, *[b"theirs"] * 8)
    clock.advance(0.2)
    assert demand.room().messages == 2
    assert demand.take([0] * 10) == 2


def test_fails_closed_when_the_lag_cannot_be_read(broker, demand, clock, caplog):
    assert demand.room().messages == 6
    broker.faults["committed"] = lambda: (_ for _ in ()).throw(QueueError("broker is away"))
    clock.advance(4.9)
    assert demand.room().messages == 6  # believed for stale_after
    assert not demand.stale
    with caplog.at_level(logging.INFO, "streamzarr.flow.demand.lag"):
        for _ in range(3):
            clock.advance(0.2)
            assert demand.room().messages == 0
        assert demand.stale
        assert demand.take([0]) == 0
        assert [record.message for record in caplog.records] == [
            "nothing is produced as long as the lag of group 'workers' on topic 'jobs' cannot be read: "
            "broker is away"
        ]
        broker.faults.clear()
        clock.advance(0.2)
        assert demand.room().messages == 6
    assert not demand.stale
    assert "goes on" in caplog.records[-1].message


def test_nothing_is_let_in_before_the_first_reading(broker, demand):
    broker.fail("describe", QueueError("away"))
    assert demand.take([0]) == 0
    assert demand.room().messages == 0
    assert demand.stale


def test_an_unknown_topic_is_an_error_at_once(broker, clock):
    with pytest.raises(TopicNotFoundError):
        LagDemand(broker, "jbos", "workers", max_lag=10, runtime=clock).room()


def test_reads_the_broker_no_more_often_than_refresh(broker, demand, clock):
    calls = []
    broker.faults["describe"] = lambda: calls.append(clock.now())
    for _ in range(100):
        demand.room()
        clock.advance(0.01)
    assert len(calls) <= 11


def test_wait_needs_no_wake(broker, demand, clock):
    demand.room()
    produce(broker, demand, 10)
    assert not demand.wait(timeout=1.0)
    assert clock.now() == pytest.approx(1001.0)
    broker.set_committed("workers", P0, 10)
    assert demand.wait(timeout=1.0)
    assert clock.now() <= 1001.2


def test_bounds_are_checked(broker):
    with pytest.raises(ConfigError, match="min_lag is 2, expected 0 to 1"):
        LagDemand(broker, "jobs", "workers", max_lag=2, min_lag=2)
    with pytest.raises(ConfigError, match="0 < refresh < stale_after"):
        LagDemand(broker, "jobs", "workers", max_lag=1, refresh=2.0, stale_after=1.0)


def test_a_producer_chain_is_paced_by_the_group(broker, clock):
    """The workers take one record a turn of the producer; never more than max_lag are on the topic."""
    demand = LagDemand(broker, "jobs", "workers", max_lag=20, refresh=0.1, runtime=clock)
    done, lags = 0, []

    def work():
        nonlocal done
        done = min(done + 1, broker.describe("jobs").end[0])
        broker.set_committed("workers", P0, done)

    def send(messages):
        with broker.producer() as producer:
            producer.send("jobs", [NewRecord(message.data, partition=0) for message in messages])
        lags.append(broker.describe("jobs").end[0] - done)

    chain = from_iterable([b"%d" % n for n in range(200)], demand, on_turn=work).pipe(ops.settle(send))
    assert run(chain, runtime=clock).ok == 200
    assert broker.describe("jobs").end[0] == 200
    assert 18 <= max(lags) <= 20


def test_a_stopped_group_holds_the_producer_without_spinning(broker, clock):
    demand = LagDemand(broker, "jobs", "workers", max_lag=20, refresh=0.1, runtime=clock)
    turns = 0

    def turn():
        nonlocal turns
        turns += 1
        if clock.now() > 1060.0:
            demand.close()

    pulled = []
    items = (pulled.append(n) or n for n in range(10**9))

    def send(messages):
        broker.append("jobs", 1, *[b"x"] * len(messages))

    report = run(from_iterable(items, demand, on_turn=turn).pipe(ops.settle(send)), runtime=clock)
    assert report.ok == len(pulled) == 20
    assert turns < 60 / 0.1 + 20
