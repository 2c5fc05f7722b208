"""Faust on a real Kafka: each record is in the target once, whatever happens to processes, agents and groups.

``STREAMZARR_FAUST_ROUNDS=100`` makes the kills many; CI has a short version.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from streamzarr.errors import NodeNotFoundError
from streamzarr.feeds import check_feed
from streamzarr.queue import TopicPartition
from streamzarr.queue.kafka.clients import Producer
from streamzarr.runtime import SYSTEM
from tests.support.feeds import PATIENCE, FeedBench, tick, until

pytest.importorskip("faust", reason="needs Faust: pip install 'streamzarr[faust]'")
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("STREAMZARR_FAUST_ROUNDS", "3"))
PARTITIONS = 4
BURST = 300
"""Records of each partition in a round."""
WORKER = [str(ROOT / "workers" / "faust_app.py")]
CONFIG = """
[source]
broker = "{url}"
topics = ["{topic}"]
session_timeout = 2.0

[decode]
format = "json"

[columns]
n = "i8"
bid = "f8"
symbol = "string"

[target]
url = "{target}"
chunk_rows = 256
commit = {{ seconds = 0.1 }}
"""


class Bench(FeedBench):
    """Processes of Faust on a topic of a test's own."""

    def __post_init__(self):
        super().__post_init__()
        self.config = self.folder / "feed.toml"
        self.config.write_text(CONFIG.format(url=self.url, topic=self.topic, target=self.target))
        self.alive = []

    def start(self, *command):
        """Start a process, the worker unless another one is named; its log is one file for all."""
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, *(command or WORKER), str(self.config)],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.alive.append(process)
        return process

    def agents(self, kind):
        return self.start("-m", "tests.support.faust_agents", kind)

    @property
    def rows(self):
        try:
            return sum(each.rows for each in self.streams().values())
        except NodeNotFoundError:
            return 0

    @property
    def log(self):
        return (self.folder / "log").read_text()

    def wait_caught_up(self, look=lambda: None):
        feed = self.feed()
        try:
            until(lambda: (look(), self.caught_up(feed))[1], "the end of the topic")
        except AssertionError as error:
            raise AssertionError(self.log[-8000:]) from error

    def check(self, per_partition):
        """Each partition has each of its records once, in order."""
        found = check_feed(self.target, self.broker)
        assert all(each.ok for each in found), found
        assert [each.records + each.dead for each in found] == [per_partition] * self.partitions
        for stream in self.streams().values():
            assert np.array_equal(stream["bid"][:], stream["n"][:] / 4)

    def end(self):
        for process in self.alive:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(60)


@pytest.fixture
def bench(kafka_broker_url, tmp_path):
    bench = Bench(kafka_broker_url, tmp_path, partitions=PARTITIONS, session_timeout=2.0)
    yield bench
    bench.end()
    for topic in (bench.topic, f"{bench.topic}.dead"):
        with contextlib.suppress(Exception):
            bench.broker.delete_topic(topic)
    bench.broker.close()


def test_each_record_once_while_processes_are_killed(bench):
    chance = random.Random(5)
    for number in range(ROUNDS):
        while len([each for each in bench.alive if each.poll() is None]) < 2:
            bench.start()
        for partition in range(PARTITIONS):
            bench.ticks(BURST - 1, start=number * BURST, partition=partition)
            bench.send(b"bad", partition=partition)
        rows = bench.rows
        until(lambda rows=rows: bench.rows > rows, "some rows of this round")
        SYSTEM.event().wait(chance.uniform(0.0, 0.3))
        victim = chance.choice([each for each in bench.alive if each.poll() is None])
        victim.send_signal(signal.SIGTERM if number % 2 else signal.SIGKILL)
        victim.wait(60)
    bench.start()
    bench.wait_caught_up(lambda: bench.alive[-1].poll() is not None and bench.start())
    bench.check(ROUNDS * BURST)
    assert len(bench.letters()) >= ROUNDS * PARTITIONS
    alive = [each for each in bench.alive if each.poll() is None]
    for process in alive:
        process.terminate()
    codes = {process.wait(60) for process in alive}
    assert 0 in codes, bench.log[-4000:]
    assert codes <= {0, -signal.SIGTERM}, "one that has just begun does not hear yet"


def test_a_group_that_is_ahead_and_offsets_without_a_record_lose_nothing(bench, kafka_broker_url):
    client = Producer(
        {
            "bootstrap.servers": kafka_broker_url.removeprefix("kafka://"),
            "transactional.id": f"faust-{uuid.uuid4().hex[:8]}",
        }
    )
    client.init_transactions(60)
    for first in range(0, BURST, 50):
        client.begin_transaction()
        for number in range(first, first + 50):
            client.produce(bench.topic, str(tick(number)).replace("'", '"').encode(), partition=0)
        client.commit_transaction(60)
    where = TopicPartition(bench.topic, 0)
    with bench.broker.consumer([bench.topic], bench.feed().group, session_timeout=6.0) as member:
        until(lambda: member.poll(0, 0.1) or where in member.assignment(), "the assignment")
        member.commit({where: BURST})
    bench.agents("isolated")  # an actor for each partition
    until(lambda: bench.rows == BURST, "all rows")
    [found, *_] = check_feed(bench.target, bench.broker)
    assert (found.ok, found.records) == (True, BURST)
    assert bench.streams()["p00000"]["n"][:].tolist() == list(range(BURST))


def test_an_agent_that_raises_ends_the_process_and_the_next_one_has_all(bench):
    for partition in range(PARTITIONS):
        bench.ticks(BURST, partition=partition)
    process = bench.agents("raises")
    bench.wait_caught_up()
    bench.send(b'{"n": %d, "bid": %f, "symbol": "raise"}' % (BURST, BURST / 4))
    until((bench.folder / "raised").exists, "the agent's error")
    bench.ticks(BURST, start=BURST + 1)
    assert process.wait(PATIENCE) != 0
    assert "were not handed over" in bench.log
    bench.agents("raises")
    bench.wait_caught_up()
    assert bench.streams()["p00000"]["n"][:].tolist() == list(range(2 * BURST + 1))


def test_the_example(kafka_broker_url):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "faust_quotes.py"), kafka_broker_url],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "each is there once" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [([], 2, "Usage: faust_app.py [OPTIONS] CONFIG"), (["nowhere.toml"], 2, "nowhere.toml: cannot be read")],
)
def test_the_worker_explains_itself(arguments, code, says):
    done = subprocess.run(
        [sys.executable, *WORKER, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
