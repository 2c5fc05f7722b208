"""A real Kafka for your integration tests, by one line in ``conftest.py``.

>>> pytest_plugins = ["streamzarr.testing.kafka"]

A test that names a fixture of this module gets a broker of the whole session, and topics of its own:

>>> def test_my_chain(kafka_broker, kafka_topic, kafka_group):
...     topic = kafka_topic(partitions=2)
...     with kafka_broker.producer() as producer:
...         producer.send(topic, [])

The broker is the one whose address stands in ``STREAMZARR_TEST_KAFKA`` (``host:port``, or a ``kafka://``
URL), else Apache Kafka in a container by testcontainers (``pip install testcontainers``; the image is fetched
once). Where there is neither these tests are skipped with a line that says so; with ``CI=true`` in the
environment they fail instead.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NoReturn, Protocol

import pytest

from streamzarr.errors import TopicNotFoundError
from streamzarr.queue import Broker, open_broker
from streamzarr.runtime import SYSTEM

ADDRESS = "STREAMZARR_TEST_KAFKA"
"""Variable that names a broker to use."""


class NewTopic(Protocol):
    """Makes topics for one test."""

    def __call__(self, partitions: int = 1, *, suffix: str = "") -> str:
        """Make a topic and return its name, which ends with `suffix`; it goes when the test has ended."""


@pytest.fixture(scope="session")
def kafka_url() -> Iterator[str]:
    """Give the URL of a Kafka for the whole session."""
    if given := os.environ.get(ADDRESS):
        yield given if "://" in given else f"kafka://{given}"
        return
    with contextlib.ExitStack() as stack:
        yield _container(stack)


@pytest.fixture(scope="session")
def kafka_broker(kafka_url: str) -> Iterator[Broker]:
    """Give a broker that is open for the whole session."""
    with open_broker(kafka_url) as broker:
        yield broker


@pytest.fixture
def kafka_topic(kafka_broker: Broker) -> Iterator[NewTopic]:
    """Give what makes topics, of names that nobody else has; they are deleted when the test has ended."""
    made: list[str] = []

    def new_topic(partitions: int = 1, *, suffix: str = "") -> str:
        name = f"test-{SYSTEM.random_bytes(6).hex()}{suffix}"
        kafka_broker.create_topic(name, partitions)
        made.append(name)
        return name

    yield new_topic
    for name in made:
        with contextlib.suppress(TopicNotFoundError):  # the test has deleted it
            kafka_broker.delete_topic(name)


@pytest.fixture
def kafka_group() -> str:
    """Give the name of a consumer group that nobody else has."""
    return f"test-{SYSTEM.random_bytes(6).hex()}"


def _container(stack: contextlib.ExitStack) -> str:
    """Start Kafka in a container; skip, or in CI fail, where that cannot be."""
    try:
        from streamzarr.testing.kafka import container
    except ImportError:
        _give_up("the package testcontainers")
    if missing := container.missing():
        _give_up(missing)
    return stack.enter_context(container.KafkaContainer()).url


def _give_up(missing: str) -> NoReturn:
    message = f"tests with a real Kafka need {missing}, or {ADDRESS}=host:port"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
