"""What tests of one's own pipeline look like: ``pytest examples/test_my_pipeline.py``."""

import pytest

import streamzarr as sz
from streamzarr.testing import start


class Readings(sz.Pipeline):
    """Stores readings of sensors, by sensor; the store may be away for a moment."""

    batchers = {"default": sz.Batcher(size=100, timeout=1.0)}

    def handle_message(self, message, context):
        sensor, value = message.value.split(b"=")
        return message.replace(data=float(value), batch_key=sensor.decode())

    def handle_batch(self, batcher, messages, info, context):
        context.store(info.key, [message.data for message in messages])
        return messages


class Store:
    """Remembers what it was given; cannot be reached as often as it is told."""

    def __init__(self, away=0):
        self.away, self.rows = away, {}

    def store(self, sensor, values):
        if self.away:
            self.away -= 1
            raise ConnectionError("the store is away")
        self.rows.setdefault(sensor, []).extend(values)


def test_readings_are_stored_by_sensor():
    store = Store()
    with start(Readings, context=store) as pipeline:
        acks = pipeline.test_batch([b"a=1", b"b=2", b"a=3"])
    assert all(ack.acked for ack in acks)
    assert {sensor: sorted(values) for sensor, values in store.rows.items()} == {"a": [1.0, 3.0], "b": [2.0]}


@pytest.mark.parametrize("value", [b"a", b"a=x", b""])
def test_what_is_no_reading_fails_alone(value):
    with start(Readings, context=Store()) as pipeline:
        good, bad = pipeline.test_batch([b"a=1", value])
    assert good.acked
    assert bad.failed.stage == "handle_message"


def test_a_store_that_is_away_is_asked_again():
    store = Store(away=2)
    with start(Readings, context=store) as pipeline:
        assert pipeline.test_message(b"a=1").acked
    assert store.rows == {"a": [1.0]}


if __name__ == "__main__":
    pytest.main([__file__, "-q", "-p", "no:cacheprovider"])
