"""What librdkafka fetches ahead, as it tells itself."""

import json
import os
import threading
import time
import uuid

import pytest
from confluent_kafka import TopicPartition as KafkaPartition

from streamzarr.errors import ConfigError
from streamzarr.queue import NewRecord, open_broker
from streamzarr.queue.kafka.clients import Consumer as Client
from streamzarr.queue.kafka.config import KafkaConfig

BATCH = 50_000


@pytest.fixture
def topic(kafka_broker_url):
    name = f"topic-{uuid.uuid4().hex[:12]}"
    with open_broker(kafka_broker_url) as broker, broker.producer() as producer:
        broker.create_topic(name, 2)
        for _ in range(100):  # batches of `BATCH` bytes, that cannot be compressed: so they are counted
            producer.send(name, [NewRecord(os.urandom(BATCH // 10), partition=n % 2) for n in range(20)])
            producer.flush()
    return name


def queued(url, topic, prefetch_bytes, until):
    """Return the bytes that were found fetched ahead, one time after the other, until that is so."""
    seen = []

    def note(text):
        partitions = json.loads(text)["topics"].get(topic, {"partitions": {}})["partitions"]
        seen.append(max((each["fetchq_size"] for each in partitions.values()), default=0))  # they share one

    settings = KafkaConfig.parse(url).reader(uuid.uuid4().hex, prefetch_bytes)
    client = Client({**settings, "statistics.interval.ms": 20, "stats_cb": note})
    deadline = time.monotonic() + 60
    try:
        client.assign([KafkaPartition(topic, number, 0) for number in range(2)])
        while not until(seen):
            assert time.monotonic() < deadline, seen
            client.poll(0.01)
            threading.Event().wait(0.005)  # slower than what is fetched
    finally:
        client.close()
    return seen


@pytest.mark.kafka
def test_no_more_is_fetched_ahead_than_told_and_one_fetch(kafka_broker_url, topic):
    prefetch = 100_000
    seen = queued(kafka_broker_url, topic, prefetch, lambda seen: len(seen) > 30 and max(seen) > 0)
    assert max(seen) <= 2 * prefetch + BATCH, "a fetch ends with the batch that crosses its bound"
    queued(kafka_broker_url, topic, None, lambda seen: bool(seen) and max(seen) > 500_000)


@pytest.mark.kafka
def test_a_prefetch_of_nothing_is_refused(kafka_broker_url, topic):
    with open_broker(kafka_broker_url) as broker:
        with pytest.raises(ConfigError, match=r"prefetch_bytes=0, expected 1 or more"):
            broker.reader(topic, prefetch_bytes=0)
        with pytest.raises(ConfigError, match=r"prefetch_bytes=-1, expected 1 or more"):
            broker.consumer([topic], "g", prefetch_bytes=-1)
