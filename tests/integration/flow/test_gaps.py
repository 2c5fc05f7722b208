"""Chains over topics from which records are gone, on each broker."""

import uuid

import pytest

from streamzarr.errors import OffsetOutOfRangeError
from streamzarr.flow import Demand, Stop, from_topic, ops, run
from streamzarr.flow.demand.lag import group_lag
from streamzarr.queue import NewRecord, TopicPartition, open_broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request, tmp_path):
    embedded = request.param == "embedded"
    url = f"sqlite:///{tmp_path}/q.db" if embedded else request.getfixturevalue("kafka_broker_url")
    with open_broker(url) as broker:
        yield broker


@pytest.fixture
def topic(broker):
    """A topic of two partitions; its group is at 2 in the first, which begins at 5."""
    topic = f"topic-{uuid.uuid4().hex[:12]}"
    broker.create_topic(topic, 2)
    with broker.producer() as producer:
        producer.send(topic, [NewRecord(b"%d" % n, partition=n % 2) for n in range(20)])
    with broker.consumer([topic], "g-" + topic) as consumer:
        while len(consumer.assignment()) < 2:
            consumer.poll(0, 0.05)
        consumer.commit({TopicPartition(topic, 0): 2, TopicPartition(topic, 1): 2})
    broker.trim(topic, {0: 5})
    return topic


def settle(broker, topic, **options):
    """Run a chain until the group has nothing left; return what it has settled."""
    stop, values = Stop(), []

    def sink(messages):
        values.extend(int(message.data) for message in messages)

    def turn():
        if group_lag(broker.describe(topic), broker.committed("g-" + topic, topic)) == 0:
            stop.drain(5.0)

    chain = from_topic(broker, topic, group="g-" + topic, demand=Demand(4), on_turn=turn, **options)
    run(chain.pipe(ops.settle(sink)), stop=stop)
    return sorted(values)


def test_a_chain_goes_on_behind_trimmed_records_and_says_so(broker, topic, caplog):
    assert settle(broker, topic, on_gap="skip") == sorted([*range(10, 20, 2), *range(5, 20, 2)])
    assert broker.committed("g-" + topic, topic) == {0: 10, 1: 10}
    assert f"position 2 of {topic}[0] is out of range" in caplog.text
    assert "3 records, 2 to 4, were trimmed or have expired" in caplog.text


def test_a_chain_that_may_lose_nothing_ends_at_once_and_commits_nothing_behind_them(broker, topic):
    with pytest.raises(OffsetOutOfRangeError, match="3 records, 2 to 4"):
        settle(broker, topic)
    assert broker.committed("g-" + topic, topic)[0] == 2
