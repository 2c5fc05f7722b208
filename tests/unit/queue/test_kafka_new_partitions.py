"""A client that knows of fewer partitions than there are is asked once more, newly; needs no broker."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamzarr.errors import TopicNotFoundError
from streamzarr.queue.kafka.admin import KafkaAdmin
from streamzarr.queue.kafka.config import KafkaConfig


@pytest.fixture
def admin():
    admin = KafkaAdmin(KafkaConfig.parse("kafka://127.0.0.1:1"))
    yield admin
    admin.close()


def unknown(clients, times):
    def request(client, seconds):
        clients.append(client)
        if len(clients) <= times:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return "found"

    return request


def test_a_new_client_may_know_the_partition(admin):
    clients = []
    assert admin._ask("look", unknown(clients, 1), topic="t") == "found"
    first, second = clients
    assert first is not second


def test_what_a_new_client_does_not_know_either_is_not_there(admin):
    clients = []
    with pytest.raises(TopicNotFoundError, match="no topic 't'"):
        admin._ask("look", unknown(clients, 9), topic="t")
    assert len(clients) == 2
