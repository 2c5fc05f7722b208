"""A broker that asks for TLS and a password: options pass through, and no secret is ever shown."""

import logging
import pickle  # noqa: TID251 - a broker must survive the pickling that multiprocessing does
from dataclasses import replace

import pytest

from streamzarr.errors import AccessDeniedError, QueueError
from streamzarr.flow import Demand, Stop, from_topic, ops, run
from streamzarr.queue import DeadLetter, DeadLetterQueue, NewRecord, Record, open_broker
from tests.conftest import IN_CI
from tests.kafka import process
from tests.support.tls import certificate  # noqa: F401 - a fixture

pytestmark = pytest.mark.kafka

SECRET = "pass word/of&the=lab?"
WRONG = "not-the-password"


@pytest.fixture(scope="module")
def lock(certificate):  # noqa: F811
    return process.Lock(*certificate, user="lab", password=SECRET)


@pytest.fixture(scope="module")
def kafka(lock):
    if missing := process.missing():
        (pytest.fail if IN_CI else pytest.skip)(f"tests with a real Kafka need {missing}")
    with process.KafkaProcess(lock) as kafka:
        yield kafka


@pytest.fixture
def broker(kafka):
    with open_broker(f"{kafka.url}&debug=security,broker") as broker:
        yield broker


def shown(caplog, *things):
    """Everything that people may come to see."""
    return "\n".join([caplog.text, *map(repr, things), *map(str, things)])


def test_a_chain_and_its_dead_letters_over_tls_with_a_password(broker, topic, group, caplog):
    caplog.set_level(logging.DEBUG)
    dead = f"{topic}.dead"
    broker.create_topic(dead)
    with broker.producer() as producer:
        producer.send(topic, [NewRecord(b"%d" % n, key=b"%d" % n) for n in range(100)] + [NewRecord(b"x")])
        stored, stop = [], Stop()

        def bury(messages):
            for message in messages:
                letter = DeadLetter.of(message.record, error=message.failure.error, stage="map")
                producer.send(dead, [letter.to_record()])
            producer.flush()

        def look():
            if len(stored) == 100 and broker.describe(dead).end == {0: 1}:
                stop.drain(10.0)

        chain = from_topic(broker, topic, group=group, demand=Demand(50), stop=stop, on_turn=look).pipe(
            ops.map(float),
            ops.settle(lambda messages: stored.extend(m.data for m in messages), dead_letters=bury),
        )
        report = run(chain, stop=stop)
    assert (report.ok, report.failed) == (100, 1)
    letters = DeadLetterQueue(broker, dead)
    assert letters.replay(letters.read()) == 1, "transactions too"
    again = pickle.loads(pickle.dumps(broker))
    assert topic in again.topics(), "the URL takes the password along"
    told = shown(caplog, broker, again, broker._config, report, letters)
    assert SECRET not in told
    assert "of%26the" not in told


@pytest.mark.parametrize("what", ["password", "certificate", "plaintext"])
def test_who_is_not_let_in_is_told_so_without_the_secret(kafka, lock, what, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    options = replace(lock, password=WRONG).client if what == "password" else lock.client
    if what == "certificate":
        del options["ssl.ca.location"]
    elif what == "plaintext":
        options = {"security.protocol": "PLAINTEXT"}
    url = f"kafka://{kafka.bootstrap}?{process.urlencode(options)}&request_timeout=4"
    with open_broker(url) as broker, pytest.raises(QueueError) as caught:
        broker.topics()
    if what == "password":
        assert isinstance(caught.value, AccessDeniedError)
    told = shown(caplog, broker, caught.value, caught.value.__cause__)
    assert WRONG not in told
    assert SECRET not in told


def test_a_letter_about_a_record_of_a_secured_broker_names_no_secret(broker, topic):
    record = Record(topic, 0, 0, None, b"x", (), 0)
    try:
        broker.describe("no.such.topic")
    except QueueError as error:
        letter = DeadLetter.of(record, error=error, stage="map")
    assert "no.such.topic" in letter.message
    assert SECRET not in letter.message
