"""An integration test of a feed of your own: on a real Kafka, with a worker that is killed.

python examples/test_my_feed.py

Kafka is the one in STREAMZARR_TEST_KAFKA (host:port), else the image apache/kafka run by testcontainers
(pip install testcontainers, and Docker); where there is neither the tests are skipped. In a project of yours
the line with ``pytest_plugins`` stands in conftest.py.
"""

import json
import os
import signal
import sys

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.queue import DeadLetterQueue, NewRecord

pytest_plugins = ["streamzarr.testing.kafka"]

READINGS = 5000
PATIENCE = 120.0
"""Seconds for what takes a few, on a machine with nothing else to do."""

# ---------------------------------------------------------------- the feed


def feed(broker, topic, target, letters):
    """Return what the feed is told; a file ``sensors.toml`` would do as well."""
    return {
        "source": {"broker": broker, "topics": [topic], "session_timeout": 6.0},
        "decode": {"format": "json"},
        "columns": {
            "time": {"dtype": "datetime64[ms]", "from": "ts", "unit": "ms"},
            "sensor": "string",
            "value": {"dtype": "f8", "required": False},
        },
        "target": {"url": target, "chunk_rows": 1024, "commit": {"seconds": 0.1}},
        "dead_letters": {"topic": letters},
    }


# ---------------------------------------------------------------- its tests


def reading(number):
    return {"ts": 1_767_225_600_000 + number, "sensor": f"s{number % 7}", "value": number / 4}


def send(broker, topic, values):
    with broker.producer() as producer:
        producer.send(topic, [NewRecord(value, key=b"%d" % at) for at, value in enumerate(values)])


def rows_of(target):
    """Return the rows of all partitions, in the order of time."""
    parts = sz.stream.open_streams(target).values()
    columns = {
        name: np.concatenate([part[name][:] for part in parts]) for name in ("time", "sensor", "value")
    }
    order = np.argsort(columns["time"], kind="stable")
    return {name: values[order] for name, values in columns.items()}


@pytest.fixture
def topic(kafka_topic):
    return kafka_topic(partitions=2)


@pytest.fixture
def letters(kafka_topic):
    return kafka_topic(suffix=".dead")


@pytest.fixture
def target(tmp_path):
    return str(tmp_path / "sensors.zarr")


@pytest.fixture
def told(kafka_url, topic, target, letters):
    return feed(kafka_url, topic, target, letters)


def test_what_is_sent_is_in_the_array(told, kafka_broker, topic, target):
    readings = [reading(number) for number in range(READINGS)]
    send(kafka_broker, topic, [json.dumps(each).encode() for each in readings])
    with sz.FeedFleet(told) as fleet:
        fleet.wait_caught_up(timeout=PATIENCE)
    rows = rows_of(target)
    assert rows["time"].astype(int).tolist() == [each["ts"] for each in readings]
    assert rows["sensor"].tolist() == [each["sensor"] for each in readings]
    assert rows["value"].tolist() == [each["value"] for each in readings]


def test_a_worker_that_is_killed_costs_nothing(told, kafka_broker, topic, target):
    values = [json.dumps(reading(number)).encode() for number in range(READINGS)]
    send(kafka_broker, topic, values[: READINGS // 2])
    with sz.FeedFleet(told, processes=2) as fleet:
        fleet.wait_ready(timeout=PATIENCE)
        os.kill(fleet.status()[0].pid, signal.SIGKILL)
        send(kafka_broker, topic, values[READINGS // 2 :])
        fleet.wait_caught_up(timeout=PATIENCE)
    assert all(part.ok for part in sz.feeds.check_feed(target, kafka_broker))
    assert rows_of(target)["value"].tolist() == [number / 4 for number in range(READINGS)]


def test_no_reading_is_a_letter_and_no_value_is_nan(told, kafka_broker, topic, target, letters):
    no_value = {"ts": 1, "sensor": "s1"}
    values = [json.dumps(each).encode() for each in (reading(1), no_value)]
    send(kafka_broker, topic, [*values, b"no reading"])
    with sz.FeedFleet(told) as fleet:
        fleet.wait_caught_up(timeout=PATIENCE)
    np.testing.assert_array_equal(rows_of(target)["value"], [np.nan, 0.25])
    [(_, letter)] = DeadLetterQueue(kafka_broker, letters).ls()
    assert (letter.value, letter.stage) == (b"no reading", "decode")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
