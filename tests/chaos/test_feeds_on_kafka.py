"""Whatever befalls processes, broker and network, feeds on Kafka store each record once, in order.

Feeds side by side, a log, a grid and bars, each run as its users run it, by three supervised processes. A
short version runs in CI, without bars; ``STREAMZARR_FEED_RECORDS=5000000 STREAMZARR_FEED_KILLS=300`` is the
whole of it (with ``-s`` it says how far it is), and ``STREAMZARR_FEED_SEED`` gives another order of events.
"""

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter

import pytest
from click.testing import CliRunner

from streamzarr.cli.main import cli
from streamzarr.feeds.progress import behind, ends_of
from streamzarr.queue import TopicPartition, open_broker
from streamzarr.runtime import SYSTEM
from streamzarr.stream import open_streams
from tests.support.feed_records import LATE_KEY, Expected
from tests.support.feed_targets import check_bars, check_grid, check_log
from tests.support.feeds import PATIENCE, until
from tests.support.ingesting import STREAMZARR, Ingesting, environment
from tests.support.topic_sender import TopicSender

KINDS = (
    *("worker stopped", "supervisor killed", "broker killed"),
    *("connections cut", "process added", "process removed"),
)
GENTLE = ("worker stopped", "broker restarted", "connections cut", "process added", "process removed")
"""Among the others where there is time for it."""
KILLS = int(os.environ.get("STREAMZARR_FEED_KILLS", "8"))
RECORDS = int(os.environ.get("STREAMZARR_FEED_RECORDS", "40000"))
SEED = int(os.environ.get("STREAMZARR_FEED_SEED", "11"))
LONG = KILLS >= 100
PARTITIONS = 4
EACH = RECORDS // PARTITIONS
ALL = {TopicPartition("ticks", number): EACH for number in range(PARTITIONS)}
PROCESSES = 3
SESSION = 3.0
REPLAYS = 3 if LONG else 2
"""The last one is not killed."""
LOOK_SECONDS = 0.2
PORTIONS = 40
"""In how many what is sent in a round is sent."""

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.timeout(300 + 20 * KILLS)]

SOURCE = """\
[source]
broker = "{url}"
topics = ["ticks"]
session_timeout = {session}

[decode]
format = "json"

[dead_letters]
topic = "{layout}.dead"

[target]
url = "{target}"
layout = "{layout}"
commit = {{ seconds = 0.1 }}
chunk_rows = 4096

[columns]
at = {{ dtype = "datetime64[ms]", unit = "ms" }}
n = "i8"
bid = "f8"
s = "string"
"""
SLOTS = """
[grid]
time = "at"
step = "1s"
lateness = "5s"
key = "s"
keys = 12
"""
MORE = {
    "log": "",
    "grid": SLOTS + 'values = { n = "sum", bid = "last" }\n',
    "bars": SLOTS + 'values = { n = "sum", bid = "ohlc" }\n',
}
CHECKS = {"log": check_log, "grid": check_grid, "bars": check_bars}
LAYOUTS = tuple(MORE) if LONG else ("log", "grid")
VICTIMS = len(LAYOUTS) if LONG else 1
"""Feeds that lose a process in a round: so few that each kind of event comes, so many that it ends."""


class Storm:
    """Feeds on one topic, their broker, what may befall them, and how often it did."""

    def __init__(self, kafka, proxy, folder):
        self.kafka, self.proxy, self.chance = kafka, proxy, random.Random(SEED)
        self.begun, self.happened = time.monotonic(), Counter()
        self.broker = open_broker(f"kafka://{proxy.address}")
        self.broker.create_topic("ticks", PARTITIONS)
        self.targets = {layout: str(folder / f"{layout}.zarr") for layout in LAYOUTS}
        self.feeds = [self.start(layout, folder) for layout in LAYOUTS]
        portion = EACH * VICTIMS // KILLS // PORTIONS + 1
        self.sender = TopicSender(proxy.address, "ticks", PARTITIONS, portion)

    def start(self, layout, folder):
        config = folder / f"{layout}.toml"
        told = {"url": self.broker.url, "session": SESSION, "layout": layout, "target": self.targets[layout]}
        config.write_text(SOURCE.format(**told) + MORE[layout])
        return Ingesting(config, PROCESSES, self.chance)

    # -- events ------------------------------------------------------------------------------------------

    def befall(self, kind):
        feed, count = self.chance.choice(self.feeds), 1
        match kind:
            case "worker stopped":  # longer than its session: others take its partitions over
                count = feed.stop_worker(1.5 * SESSION)
            case "supervisor killed":
                count = feed.kill_supervisor()
            case "broker killed" | "broker restarted":
                self.kafka.kill() if kind == "broker killed" else self.kafka.stop()
                self.kill_workers()
                self.kafka.start()
            case "connections cut":
                self.proxy.cut()
            case "process added":
                count = feed.add_process()
            case "process removed":
                count = sum(each.remove_process() for each in self.feeds)
        self.happened[kind] += count

    def kill_workers(self):
        """Kill a process of some feeds each."""
        for feed in self.chance.sample(self.feeds, VICTIMS):
            self.happened["worker killed"] += feed.kill_worker()

    @property
    def kills(self):
        """Processes that were ended by -9, but for the broker's."""
        return sum(self.happened[f"{which} killed"] for which in ("worker", "supervisor", "replay"))

    # -- between events ----------------------------------------------------------------------------------

    def ends(self):
        return ends_of(self.broker, ["ticks"])

    def until_more_is_committed(self, before):
        """Wait until each feed has gone on since, if there is more: the next ones are killed at work."""
        to_come = RECORDS - PARTITIONS * self.sender.allowed
        for layout, lag in before.items():
            lag = max(lag - 1, to_come)
            self.until(lambda lag=lag, layout=layout: self.behind(layout) <= lag, layout)

    def until_all_is_committed(self):
        ends = self.ends()
        for target in self.targets.values():
            while lag := behind(target, ends):
                self.until(lambda target=target, lag=lag: behind(target, ends) < lag, target)

    def until(self, condition, what):
        """Look after the processes until something is so."""

        def look():
            SYSTEM.event().wait(LOOK_SECONDS)
            for feed in self.feeds:
                feed.look(time.monotonic())
            return condition()

        until(look, what)

    def behind(self, layout):
        """Return how many of all records a feed has not settled, those that are still to come too."""
        return behind(self.targets[layout], ALL)

    def tell(self):
        settled = ", ".join(f"{layout} {RECORDS - self.behind(layout)}" for layout in LAYOUTS)
        happened = ", ".join(f"{kind} {count}" for kind, count in sorted(self.happened.items()))
        streams = [each for target in self.targets.values() for each in open_streams(target).values()]
        print(  # noqa: T201  for whoever waits for it
            f"{(time.monotonic() - self.begun) / 60:.1f} min: settled {settled}; kills {self.kills}; "
            f"{happened}; partitions taken over {sum(each.record.epoch for each in streams)}",
            flush=True,
        )

    def close(self):
        for feed in self.feeds:
            feed.close()
        self.broker.close()


@pytest.fixture
def storm(proxied_kafka, tmp_path):
    with contextlib.closing(Storm(*proxied_kafka, tmp_path)) as made, made.sender:
        yield made


def test_each_record_once_whatever_happens(storm):
    rage(storm)
    storm.sender.finish(EACH, PATIENCE)
    storm.until_all_is_committed()
    assert storm.ends() == ALL
    replay(storm)
    storm.until_all_is_committed()
    for feed in storm.feeds:
        feed.end()
    storm.tell()
    expected = [Expected(partition, EACH) for partition in range(PARTITIONS)]
    for layout, target in storm.targets.items():
        check_command(storm, layout, expected)
        for each in expected:
            CHECKS[layout](target, each)


def rage(storm):
    """Let things happen until enough processes are killed; with each more records come."""
    deck = list(reversed(KINDS))
    storm.sender.allow(EACH // (KILLS + 1))
    storm.until_more_is_committed(dict.fromkeys(LAYOUTS, RECORDS))
    for number in itertools.count():
        before = {layout: storm.behind(layout) for layout in LAYOUTS}
        storm.befall(deck.pop())
        deck = deck or storm.chance.sample(KINDS + GENTLE, len(KINDS + GENTLE))
        storm.kill_workers()
        if storm.kills >= KILLS:
            return
        storm.sender.allow(EACH * (storm.kills + 1) // (KILLS + 1))
        SYSTEM.event().wait(storm.chance.uniform(0, 1))
        storm.until_more_is_committed(before)
        if number % 10 == 9:
            storm.tell()


def replay(storm):
    """Send those records again that were too late for the grid; that is killed, and its workers."""
    command = [*STREAMZARR, "dlq", "replay", "--broker", storm.broker.url, "--topic", "grid.dead"]
    late = sum(len(Expected(partition, EACH).late) for partition in range(PARTITIONS))
    command += ["--key", LATE_KEY, "--rate", str(late / 3)]
    for number in range(REPLAYS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())
        with process:
            SYSTEM.event().wait(storm.chance.uniform(1, 4))
            if number < REPLAYS - 1:
                process.kill()
                storm.kill_workers()
        storm.happened["replay killed"] += process.returncode == -signal.SIGKILL
    assert process.returncode == 0


def check_command(storm, layout, expected):
    """See what ``streamzarr feed check`` says: each offset once, in order, or with its letter."""
    command = ["feed", "check", "--json", storm.targets[layout], "--broker", storm.broker.url]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    for found, wanted in zip(json.loads(done.stdout), expected, strict=True):
        bad, late = EACH - len(wanted.good), len(wanted.late)
        assert found["ok"], found
        assert found["verified"] == EACH + late  # which came once more
        assert found["replayed"] == (late if layout == "grid" else 0)
        assert found["dead"] == bad + {"log": late, "grid": 0, "bars": 2 * late}[layout]
