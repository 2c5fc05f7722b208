"""Tests of a chain of your own: without a server, on a clock that the test moves, and on a real Kafka.

python examples/test_pressures.py

The chain reads pressures from a topic, keeps what can be read, and puts aside what cannot. The last test
needs a Kafka: the one in STREAMZARR_TEST_KAFKA, or Docker with testcontainers; it is skipped elsewhere.
"""

import sys

import pytest

from streamzarr.errors import QueueError
from streamzarr.flow import DeadLetterLimit, Demand, Stop, from_topic, ops, run
from streamzarr.queue import DeadLetter, DeadLetterQueue, NewRecord, TopicPartition
from streamzarr.testing import FakeBroker, FakeClock

pytest_plugins = ["streamzarr.testing.kafka"]

# ---------------------------------------------------------------- the program


def follow(broker, topic, dead, group, store, *, stop, until=lambda: False):
    """Store the pressures of a topic until told to stop; what is none becomes a dead letter."""

    def bury(messages):
        with broker.producer() as producer:
            letters = [
                DeadLetter.of(message.record, error=message.failure.error, stage=message.failure.stage)
                for message in messages
            ]
            producer.send(dead, [letter.to_record() for letter in letters])

    def look():
        if until():
            stop.drain(10.0)

    chain = from_topic(
        broker,
        topic,
        group=group,
        demand=Demand(100, runtime=broker.runtime),
        stop=stop,
        on_turn=look,
    ).pipe(
        ops.map(float),
        ops.settle(
            lambda messages: store.extend(message.data for message in messages),
            dead_letters=bury,
            limit=DeadLetterLimit(in_a_row=3),
        ),
    )
    return run(chain, stop=stop, runtime=broker.runtime)


# ---------------------------------------------------------------- its tests


@pytest.fixture
def broker():
    """A broker in memory, on a clock that only moves when somebody waits."""
    broker = FakeBroker(FakeClock())
    broker.create_topic("pressures", partitions=2)
    broker.create_topic("pressures.dead")
    return broker


def follow_until(broker, store, done, seconds=3600.0):
    stop = Stop(broker.runtime)
    until = lambda: done() or broker.runtime.now() > seconds  # noqa: E731
    return follow(broker, "pressures", "pressures.dead", "lab", store, stop=stop, until=until)


def test_a_bad_pressure_is_a_dead_letter_and_the_others_are_stored(broker):
    broker.append("pressures", 0, b"1.5", b"oops", b"2.5")
    store = []
    follow_until(broker, store, lambda: broker.committed("lab", "pressures").get(0) == 3)
    assert store == [1.5, 2.5]
    [(_, letter)] = DeadLetterQueue(broker, "pressures.dead").read()
    assert (letter.value, letter.offset) == (b"oops", 1)


def test_an_hour_of_nonsense_loses_nothing_and_needs_no_hour(broker):
    broker.append("pressures", 0, *(b"nonsense" for _ in range(50)))
    report = follow_until(broker, [], lambda: False)
    [paused] = report.paused
    assert paused.position == 3, "three are dead letters, the others are still on the topic"


def test_a_partition_that_goes_away_and_comes_back_and_a_broker_that_fails_now_and_then(broker):
    broker.append("pressures", 1, *(b"%d" % n for n in range(1000)))
    where = TopicPartition("pressures", 1)
    broker.at(0.5, lambda: broker.consumers[0].rebalance("revoked", where))
    broker.at(2.0, lambda: broker.consumers[0].rebalance("assigned", where))
    broker.fail("commit", QueueError("no answer"), QueueError("no answer"))
    store = []
    follow_until(broker, store, lambda: broker.committed("lab", "pressures").get(1) == 1000)
    assert set(store) == set(map(float, range(1000)))


def test_on_a_real_kafka(kafka_broker, kafka_topic, kafka_group):
    topic, dead = kafka_topic(partitions=2), kafka_topic(suffix=".dead")
    with kafka_broker.producer() as producer:
        producer.send(topic, [NewRecord(b"%d" % n, key=b"%d" % n) for n in range(100)] + [NewRecord(b"oops")])
    store, stop = [], Stop()
    done = lambda: len(store) == 100 and kafka_broker.describe(dead).end == {0: 1}  # noqa: E731
    follow(kafka_broker, topic, dead, kafka_group, store, stop=stop, until=done)
    assert sorted(store) == list(map(float, range(100)))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
