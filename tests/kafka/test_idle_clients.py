"""Clients of closed producers are used again."""

import uuid

import pytest

from streamzarr.errors import QueueError
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord

pytestmark = pytest.mark.kafka


@pytest.fixture
def broker(kafka_broker_url):
    with open_broker(kafka_broker_url) as broker:
        yield broker


@pytest.fixture
def topic(broker):
    name = f"idle-{uuid.uuid4().hex[:8]}"
    broker.create_topic(name)
    return name


def test_a_closed_producers_client_is_used_again(broker, topic):
    """A new idempotent client waits half a second for its id; a job would do so at each of its events."""
    with broker.producer() as first:
        first.send(topic, [NewRecord(value=b"1")])
        client = first._handle.client
    with broker.producer() as second, broker.producer() as third:
        assert second._handle.client is client
        assert third._handle.client is not client
        second.send(topic, [NewRecord(value=b"2")])
    broker.close()
    with broker.producer() as fourth:
        assert fourth._handle.client is not client
    assert broker.describe(topic).end == {0: 2}


def test_a_client_that_lost_records_is_not_kept(broker, topic):
    lost = broker.producer()
    lost.send(topic, [NewRecord(value=b"1")])
    lost.flush()
    client = lost._handle.client
    broker.delete_topic(topic)
    with pytest.raises(QueueError):
        while True:  # until the client has heard of it
            lost.send(topic, [NewRecord(value=b"1")])
            lost.close()
            lost = broker.producer()
    with broker.producer() as fresh:
        assert fresh._handle.client is not client
