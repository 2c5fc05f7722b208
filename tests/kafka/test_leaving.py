"""Members that leave their group in the middle of a rebalance: closed, or thrown away."""

import subprocess
import sys
import time

import pytest

from streamzarr.queue import open_broker

pytestmark = pytest.mark.kafka

PATIENCE = 60.0
MOMENTS = [n * 0.005 for n in range(12)]
"""How long a member has waited for its partitions when it leaves, in seconds: joining takes some 20 ms."""


@pytest.fixture(params=["consumer", "classic"])
def broker(kafka_broker_url, request):
    """A question that gets no answer takes longer than a test may."""
    url = f"{kafka_broker_url}?group.protocol={request.param}&request_timeout={PATIENCE}"
    with open_broker(url) as broker:
        yield broker


class Log:
    """What a listener is told."""

    def __init__(self):
        self.mine = set()
        self.foreign = set()

    def on_assigned(self, partitions):
        self.mine.update(partitions)

    def on_revoked(self, partitions):
        self.foreign.update(set(partitions) - self.mine)
        self.mine.difference_update(partitions)

    on_lost = on_revoked


def test_a_member_that_is_closed_while_it_is_assigned_partitions_asks_nothing_more(broker, topic):
    started = time.monotonic()
    for number, moment in enumerate(MOMENTS):
        log = Log()
        with broker.consumer([topic], f"{topic}-{number}", listener=log) as consumer:
            consumer.poll(1, moment)
            with broker.consumer([topic], f"{topic}-{number}") as other:
                other.poll(1, moment)
        assert (log.mine, log.foreign) == (set(), set())
    assert time.monotonic() - started < PATIENCE


def test_a_member_that_is_thrown_away_at_any_moment_is_gone(broker, topic):
    """In a process of its own: librdkafka would wait for ever, and let nobody end that."""
    program = f"""
import gc
from streamzarr.queue import open_broker
broker = open_broker({broker.url!r})
for number, moment in enumerate({MOMENTS!r}):
    consumer = broker.consumer([{topic!r}], f"{topic}-{{number}}")
    consumer.poll(1, moment)
    del consumer
    gc.collect()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
