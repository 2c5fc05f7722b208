"""What tests of Kafka work with; one that needs another broker has a fixture of its own by that name."""

import uuid

import pytest

from streamzarr.queue import open_broker


@pytest.fixture
def broker(kafka_broker_url):
    with open_broker(kafka_broker_url) as broker:
        yield broker


@pytest.fixture
def topic(broker):
    """A new topic of two partitions."""
    name = f"topic-{uuid.uuid4().hex[:12]}"
    broker.create_topic(name, 2)
    return name


@pytest.fixture
def group():
    return f"group-{uuid.uuid4().hex[:12]}"
