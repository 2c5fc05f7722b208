"""A replay that is killed again and again, by -9 and by its rival, sends each message once."""

import random
import subprocess
import sys
import time
import uuid

import pytest

from streamzarr.queue import DeadLetter, DeadLetterQueue, Record, open_broker
from streamzarr.queue.scan import scan

pytestmark = pytest.mark.chaos

LETTERS = 600
KILLS = 6
PATIENCE = 120.0

WORKER = """
import sys
from streamzarr.errors import FencedError
from streamzarr.queue import DeadLetterQueue, open_broker
from streamzarr.queue.letters import replay

replay._BATCH = 5  # many small steps: many places to die at
with open_broker(sys.argv[1]) as broker:
    queue = DeadLetterQueue(broker, sys.argv[2])
    try:
        queue.replay(queue.read())
    except FencedError:
        sys.exit(3)
"""


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def url(request, tmp_path):
    if request.param == "kafka":
        return request.getfixturevalue("kafka_broker_url")
    return f"sqlite:///{tmp_path}/queue.db"


@pytest.fixture
def letters(url):
    """A topic, and the topic of its letters, about half of the messages twice."""
    topic = f"letters-{uuid.uuid4().hex[:12]}"
    with open_broker(url) as broker:
        broker.create_topic(topic, 3)
        broker.create_topic(f"{topic}.dead", 2)
        with broker.producer() as producer:
            for n in range(LETTERS):
                record = Record(topic, n % 3, n, b"%d" % n, b"message %d" % n, (), 1_767_225_600_000 + n)
                letter = DeadLetter.of(record, error=ValueError("no"), stage="decode").to_record()
                producer.send(f"{topic}.dead", [letter] * (1 + n % 2))
        yield broker, topic


def replay(url, topic):
    return subprocess.Popen([sys.executable, "-c", WORKER, url, f"{topic}.dead"])


def sent(broker, topic):
    return sum(broker.describe(topic).end.values())


def check(broker, topic):
    found = sorted(record.value for record in scan(broker, topic))
    assert found == sorted(b"message %d" % n for n in range(LETTERS))
    assert DeadLetterQueue(broker, f"{topic}.dead").ls() == []


def test_a_replay_that_is_killed_again_and_again_sends_each_message_once(url, letters):
    broker, topic = letters
    choice = random.Random(7)
    for _ in range(KILLS):
        process = replay(url, topic)
        enough = sent(broker, topic) + choice.randrange(1, LETTERS // KILLS)
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and sent(broker, topic) < enough:
            assert time.monotonic() < deadline, "the replay sends nothing"
        process.kill()
        process.wait()
    assert replay(url, topic).wait(PATIENCE) == 0
    check(broker, topic)


def test_of_replays_at_the_same_time_one_goes_on_and_each_message_is_sent_once(url, letters):
    broker, topic = letters
    endings = [process.wait(PATIENCE) for process in [replay(url, topic) for _ in range(3)]]
    assert set(endings) <= {0, 3}
    assert 0 in endings
    check(broker, topic)
