"""Topics of a cluster whose brokers hear of a new one at different times."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamzarr.errors import QueueError
from streamzarr.queue.kafka.admin import KafkaAdmin
from streamzarr.queue.kafka.broker import KafkaBroker


def failed(code):
    future = Future()
    future.set_exception(KafkaException(KafkaError(code)))
    return future


def described(*leaders):
    future = Future()
    partitions = [SimpleNamespace(id=number, leader=leader) for number, leader in enumerate(leaders)]
    future.set_result(SimpleNamespace(partitions=partitions))
    return future


class Client:
    """A cluster where somebody else has just made the topic: what its brokers say, one after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def create_topics(self, topics, **_):
        return {each.topic: failed(KafkaError.TOPIC_ALREADY_EXISTS) for each in topics}

    def describe_topics(self, topics, **_):
        return {"t": self.answers.pop(0)}

    def poll(self, timeout):
        pass


@pytest.fixture
def broker(monkeypatch):
    def made(*answers):
        client = Client(*answers)
        monkeypatch.setattr(KafkaAdmin, "_client", lambda _: client)
        return KafkaBroker("kafka://127.0.0.1:1?request_timeout=2"), client

    return made


def test_a_topic_that_somebody_else_made_at_the_same_moment_is_waited_for(broker):
    broker, client = broker(failed(KafkaError.UNKNOWN_TOPIC_OR_PART), described(1, None), described(1, 1))
    broker.create_topic("t", 2, exist_ok=True)
    assert client.answers == []


def test_one_with_other_partitions_is_refused_once_it_is_known(broker):
    broker, _ = broker(failed(KafkaError.UNKNOWN_TOPIC_OR_PART), described(1, 1, 1))
    with pytest.raises(QueueError, match="'t' exists already, with 3 partitions"):
        broker.create_topic("t", 2, exist_ok=True)
