"""Partitions that come while nobody tells where to start in them: they are read as soon as somebody does."""

import contextlib
import threading
import time
import uuid

import pytest

from streamzarr.errors import QueueError
from streamzarr.queue import NewRecord, TopicPartition, open_broker

pytestmark = pytest.mark.kafka

PATIENCE = 90.0
PARTITIONS = 2


@pytest.fixture(params=["consumer", "classic"])
def broker(kafka_process, request):
    """One that is given up on soon."""
    url = f"{kafka_process.url}?group.protocol={request.param}&request_timeout=3"
    with open_broker(url) as broker:
        yield broker


@pytest.fixture
def topic(broker):
    """A topic with a record in each partition."""
    name = f"topic-{uuid.uuid4().hex[:12]}"
    broker.create_topic(name, PARTITIONS)
    with broker.producer() as producer:
        producer.send(name, [NewRecord(b"", partition=number) for number in range(PARTITIONS)])
    return name


class Told:
    """What a listener is told."""

    def __init__(self):
        self.assigned, self.taken = [], []

    def on_assigned(self, partitions):
        self.assigned += [partition.partition for partition in partitions]

    def on_revoked(self, partitions):
        self.taken += [partition.partition for partition in partitions]

    on_lost = on_revoked


@contextlib.contextmanager
def asking_is(consumer, what, monkeypatch):
    """Have every question for positions begin with `what`."""
    ask = consumer._admin.stored

    def stored(*arguments, **more):
        what()
        return ask(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(consumer._admin, "stored", stored)
        yield


def unreachable():
    raise QueueError("not reached")


def polled(consumer):
    """Poll; return the partitions of the records that came, and what was raised."""
    try:
        return [record.partition for record in consumer.poll(10, 0.05)], None
    except QueueError as error:
        return [], error


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what


def test_a_broker_that_goes_away_while_it_assigns_is_read_when_it_is_back(
    kafka_process, broker, topic, monkeypatch
):
    told, seen, errors = Told(), [], []

    def poll():
        numbers, error = polled(consumer)
        seen.extend(numbers)
        errors.extend([error] if error is not None else [])
        return errors

    with broker.consumer([topic], topic, listener=told, session_timeout=30.0) as consumer:
        try:
            with asking_is(consumer, kafka_process.freeze, monkeypatch):
                until(poll, "an error")
            assert (told.assigned, consumer.assignment()) == ([], frozenset())
        finally:
            kafka_process.thaw()
        until(lambda: poll() and len(seen) == PARTITIONS, "the records")
    assert sorted(seen) == sorted(told.assigned) == [0, 1]
    assert sorted(told.taken) == [0, 1]


def test_what_was_never_begun_is_handed_over_without_a_word(broker, topic, monkeypatch):
    told, seen, other_seen = Told(), [], []
    with contextlib.ExitStack() as stack:
        consumer = stack.enter_context(broker.consumer([topic], topic, listener=told, session_timeout=30.0))
        with asking_is(consumer, unreachable, monkeypatch):
            until(lambda: polled(consumer)[1], "an error")
            with open_broker(broker.url) as elsewhere:
                other = stack.enter_context(elsewhere.consumer([topic], topic, session_timeout=30.0))
                ended = threading.Event()
                stack.callback(ended.set)

                def read():
                    while not ended.is_set():
                        other_seen.extend(polled(other)[0])

                reader = threading.Thread(target=read)
                stack.callback(reader.join)
                reader.start()
                until(lambda: polled(consumer) and other_seen, "a record for the other one")
        assert (told.assigned, told.taken) == ([], [])
        until(lambda: seen.extend(polled(consumer)[0]) or seen, "the record of what is left")
        assert sorted(seen + other_seen) == [0, 1]
        assert consumer.assignment() == {TopicPartition(topic, number) for number in seen}
        ended.set()
        reader.join()


def test_one_that_cannot_be_begun_does_not_keep_the_others_from_being_read(broker, topic, monkeypatch):
    seen, errors = [], []

    def poll():
        numbers, error = polled(consumer)
        seen.extend(numbers)
        errors.extend([error] if error is not None else [])

    with broker.consumer([topic], topic, session_timeout=30.0) as consumer:
        until(lambda: poll() or len(seen) == PARTITIONS, "the first records")
        consumer._unplaced.add(TopicPartition(topic, PARTITIONS))  # it has no leader, say
        with asking_is(consumer, unreachable, monkeypatch), broker.producer() as producer:
            producer.send(topic, [NewRecord(b"", partition=number) for number in range(PARTITIONS)])
            until(lambda: poll() or len(seen) == 2 * PARTITIONS, "the records of the others")
            assert errors
        consumer._unplaced.clear()
