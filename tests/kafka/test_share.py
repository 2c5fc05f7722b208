"""Share groups on a real cluster: records are lent, acknowledged one by one, and given to somebody again."""

import time
import uuid

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamzarr.errors import ConfigError, QueueError
from streamzarr.queue import NewRecord, open_broker
from streamzarr.queue.kafka import clients

PATIENCE = 60


@pytest.fixture
def topic(broker):
    name = f"topic-{uuid.uuid4().hex[:12]}"
    broker.create_topic(name, 1)
    return name


def fill(broker, topic, *numbers):
    with broker.producer() as producer:
        producer.send(topic, [NewRecord(b"%d" % n) for n in numbers])
        producer.flush()


def work(done, *members, decide=lambda number, before: "accept"):
    """Acknowledge what comes as `decide` says, until that is done; return the records' numbers by member."""
    got = [[] for _ in members]
    deadline = time.monotonic() + PATIENCE
    while not done([number for numbers in got for number in numbers]):
        assert time.monotonic() < deadline, got
        for member, numbers in zip(members, got, strict=True):
            for record in member.poll(10, 0.1):
                number = int(record.value)
                member.acknowledge(record, decide(number, numbers.count(number)))
                numbers.append(number)
            member.commit()
    return got


@pytest.mark.kafka
def test_what_is_released_comes_again_and_what_is_accepted_or_rejected_does_not(broker, topic, group):
    fill(broker, topic, *range(30))

    def decide(number, before):
        return "accept" if number % 3 == 0 else "reject" if number % 3 == 1 else ("release", "accept")[before]

    expected = sorted([*range(30), *range(2, 30, 3)])
    with broker.share_consumer([topic], group) as member:
        [got] = work(lambda got: len(got) >= len(expected), member, decide=decide)
    assert sorted(got) == expected
    fill(broker, topic, 99)
    with broker.share_consumer([topic], group) as member:
        assert work(bool, member) == [[99]], "the group goes on behind what was acknowledged"


@pytest.mark.kafka
def test_more_members_than_partitions_share_the_records(broker, topic, group):
    with broker.share_consumer([topic], group) as one, broker.share_consumer([topic], group) as two:
        held = []
        fill(broker, topic, 0)
        deadline = time.monotonic() + PATIENCE
        while not held:
            assert time.monotonic() < deadline
            held = one.poll(1, 0.1)  # and is not acknowledged
        fill(broker, topic, *range(1, 6))
        [got] = work(lambda got: len(got) >= 5, two)
        assert sorted(got) == [1, 2, 3, 4, 5], "the other is not held back by what the first works on"
        assert one.poll(10, 0.1) == [], "nothing more before the last batch is acknowledged"
        one.acknowledge(held[0])
        one.commit()


@pytest.mark.kafka
def test_what_a_member_leaves_behind_goes_to_another(broker, topic, group):
    fill(broker, topic, *range(5))
    with broker.share_consumer([topic], group) as member:
        deadline = time.monotonic() + PATIENCE
        while not (records := member.poll(10, 0.1)):
            assert time.monotonic() < deadline
    with pytest.raises(QueueError, match="is closed"):
        member.acknowledge(records[0])
    with broker.share_consumer([topic], group) as member:
        [got] = work(lambda got: len(got) >= 5, member)
        assert sorted(got) == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match=r"offset 0 of topic.*is not lent to this member"):
            member.acknowledge(records[0])


def test_a_broker_without_share_groups_says_so(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        broker.create_topic("t")
        with pytest.raises(ConfigError, match=r"share groups need Apache Kafka 4\.2 or later"):
            broker.share_consumer(["t"], "g")


@pytest.mark.kafka
def test_a_client_without_share_groups_says_so(broker, topic, monkeypatch):
    monkeypatch.delattr(clients, "ShareConsumer")
    with pytest.raises(ConfigError, match=r"need confluent-kafka 2\.16 or later"):
        broker.share_consumer([topic], "g")


@pytest.mark.kafka
def test_a_cluster_without_share_groups_says_so(broker, topic, monkeypatch):
    def refuse(group, settings, refusals):
        raise KafkaException(KafkaError(KafkaError.INVALID_CONFIG))

    monkeypatch.setattr(broker._admin, "_set_group", refuse)
    with pytest.raises(ConfigError, match=r"need Apache Kafka 4\.2 or later, this has none"):
        broker.share_consumer([topic], "g")
