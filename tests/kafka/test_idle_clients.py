"""Clients of closed producers are used again."""

import pytest

from streamzarr.errors import QueueError
from streamzarr.queue.base import NewRecord

pytestmark = pytest.mark.kafka


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
    assert sum(broker.describe(topic).end.values()) == 2


def test_what_one_producer_lost_is_not_told_to_the_next(broker, topic):
    gone = f"{topic}-gone"
    broker.create_topic(gone)
    with broker.producer() as first:
        first.send(gone, [NewRecord(value=b"1")])
        first.flush()
        broker.delete_topic(gone)
        with pytest.raises(QueueError):
            send_until_it_is_refused(first, gone)
    with broker.producer() as second:
        second.send(topic, [NewRecord(value=b"2")])
        second.flush()
    assert sum(broker.describe(topic).end.values()) == 1


def send_until_it_is_refused(producer, topic):
    while True:
        producer.send(topic, [NewRecord(value=b"1")])
        producer.flush()
