"""Static membership: a member that comes back by its name has its partitions again, and nobody else moves."""

import contextlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from streamzarr.errors import FencedError, QueueError
from streamzarr.queue import open_broker
from streamzarr.queue.retry import is_transient

pytestmark = pytest.mark.kafka

PATIENCE = 90.0

MEMBER = """
import sys
from streamzarr.queue import open_broker
from streamzarr.queue.retry import is_transient
url, topic, group, name = sys.argv[1:]
with open_broker(url) as broker:
    with broker.consumer([topic], group, instance=name, session_timeout=20) as consumer:
        told = False
        while True:
            consumer.poll(0, 0.05)
            if consumer.assignment() and not told:
                told = True
                print(*sorted(each.partition for each in consumer.assignment()), flush=True)
"""


class Moves:
    def __init__(self):
        self.log = []

    def on_assigned(self, partitions):
        self.log.append(("assigned", len(partitions)))

    def on_revoked(self, partitions):
        self.log.append(("revoked", len(partitions)))

    on_lost = on_revoked


@pytest.fixture
def url(kafka_broker_url, protocol):
    return f"{kafka_broker_url}?group.protocol={protocol}"


@pytest.fixture
def broker(url):
    with open_broker(url) as broker:
        yield broker


def until(condition, *consumers):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        for consumer in consumers:
            consumer.poll(0, 0.05)


@contextlib.contextmanager
def elsewhere(url, topic, group, name):
    command = [sys.executable, "-c", MEMBER, url, topic, group, name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process, consumer):
    """What the other member says of its partitions, while ours stays in the group."""
    lines = []
    reading = threading.Thread(target=lambda: lines.append(process.stdout.readline()), daemon=True)
    reading.start()
    until(lambda: lines, consumer)
    return lines[0].strip()


# By KIP-848 the name of one that was killed is taken until its session ends.
@pytest.mark.parametrize(
    ("protocol", "end"),
    [("classic", signal.SIGKILL), ("classic", signal.SIGINT), ("consumer", signal.SIGINT)],
)
def test_a_member_that_comes_back_has_its_partitions_again_and_the_other_notices_nothing(
    url, broker, topic, group, end
):
    moves = Moves()
    with broker.consumer([topic], group, listener=moves, instance="ours", session_timeout=20) as consumer:
        until(lambda: len(consumer.assignment()) == 2, consumer)
        with elsewhere(url, topic, group, "theirs") as process:
            theirs = said(process, consumer)
            until(lambda: len(consumer.assignment()) == 1, consumer)
            before = list(moves.log)
            process.send_signal(end)
            until(lambda: process.poll() is not None, consumer)
        with elsewhere(url, topic, group, "theirs") as process:
            assert said(process, consumer) == theirs
        assert moves.log == before


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_two_members_of_one_name_are_an_error_of_one_of_them(broker, topic, group):
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(broker.consumer([topic], group, instance="one", session_timeout=6))]
        until(lambda: len(members[0].assignment()) == 2, *members)
        members.append(
            stack.enter_context(broker.consumer([topic], group, instance="one", session_timeout=6))
        )
        deadline = time.monotonic() + PATIENCE
        with pytest.raises((FencedError, QueueError), match=r"(?i)instance|fenced"):  # noqa: PT012
            while time.monotonic() < deadline:
                for member in members:
                    culprit = member
                    member.poll(0, 0.05)
        for _ in range(2):  # librdkafka says so once: one that went on polling would wait for ever
            with pytest.raises(QueueError, match=r"(?i)instance|fenced") as caught:
                culprit.poll(0, 0.05)
            assert not is_transient(caught.value)
