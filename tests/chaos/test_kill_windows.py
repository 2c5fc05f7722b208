"""A worker with windows is killed again and again: each (key, window) has one value at its sink.

Where it is stopped in order, it has it once. Without a store windows may come again with a part of their
messages; those are marked.
"""

import json
import os
import random
import signal
import sqlite3
import traceback

import numpy as np
import pytest

from streamzarr.flow import Demand, Stop, from_topic, ops, run, windows
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord
from tests.support.mortal import MortalState

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

KILLS = {"fixed": 50, "sliding": 15, "session": 15, "count": 15}
KILLS_UNKEPT = 8
STOPS = 12
TICKS = 80  # for each life of a worker
PARTITIONS = 2
SECOND = 10**9


class Life:
    """Ends, as by kill -9, when it has passed so many points where that may hurt."""

    def __init__(self, points=0, end=lambda: os.kill(os.getpid(), signal.SIGKILL)):
        self.left, self.end = points, end

    def point(self):
        self.left -= 1
        if self.left == 0:
            self.end()


class Sink:
    """Rows of results as they were delivered: who knows (key, window, pane) sees what came twice."""

    def __init__(self, path, life=None):
        self.life = life or Life()
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA synchronous = OFF")  # processes are killed, the machine is not
        self.db.execute("CREATE TABLE IF NOT EXISTS results (name TEXT, value TEXT)")

    def __call__(self, messages):
        rows = []
        for message in messages:
            assert message.failure is None, message.failure
            result = message.data
            name = [result.key, *result.window, result.pane, result.firing, result.resumed]
            rows.append((json.dumps(name), json.dumps([result.count, *result.value])))
        for row in rows:
            self.life.point()
            self.db.execute("INSERT INTO results VALUES (?, ?)", row)
        self.life.point()

    def names(self):
        """Number of windows that have a result which is not early."""
        query = "SELECT COUNT(DISTINCT name) FROM results WHERE name NOT LIKE '%early%'"
        return self.db.execute(query).fetchone()[0]

    def rows(self):
        return self.db.execute("SELECT name, value FROM results").fetchall()


def bar(accumulator, tick):
    _, price = tick
    if accumulator is None:
        return (price, price, price, price)
    first, high, low, _ = accumulator
    return (first, max(high, price), min(low, price), price)


def merge(one, other):
    return (one[0], max(one[1], other[1]), min(one[2], other[2]), other[3])


KINDS = {
    "fixed": {"window": windows.Fixed("1s"), "trigger": (windows.Every(7), windows.After("5ms"))},
    "sliding": {"window": windows.Sliding("2s", "1s"), "lateness": "1s"},
    "session": {"window": windows.Session("0.3s"), "merge": merge},
    "count": {"window": windows.Count(9)},
}


def work(folder, kind, stop, on_turn=None, life=None, kept=True):
    """What a worker does, until `stop`."""
    life = life or Life()
    state = MortalState(life, f"{folder}/state", every=0.02) if kept else None
    with open_broker(f"sqlite:///{folder}/queue.db") as broker:
        chain = from_topic(
            broker,
            "ticks",
            group="bars",
            demand=Demand(64),
            committer=state,
            stop=stop,
            on_turn=on_turn,
            poll_timeout=0.01,
        ).pipe(
            ops.map(json.loads),
            ops.map_messages(lambda message: message.replace(key=message.record.key.decode())),
            ops.reduce(
                bar,
                initial=None,
                time=lambda tick: tick[0],
                disorder="1s",
                idle=None,
                state=state,
                **KINDS[kind],
            ),
            ops.settle(Sink(f"{folder}/sink.db", life)),
        )
        return run(chain)


def killed(folder, kind, chance, **options):
    """Run a worker in a process of its own, which is killed at some point of its work."""
    life, turns = Life(chance.randrange(1, 60)), Life(50)
    child = os.fork()
    if child == 0:
        try:
            work(folder, kind, Stop(), on_turn=turns.point, life=life, **options)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the worker ended before it was killed"


def ticks(chance, count):
    """Ticks of a few symbols by partition, out of order within a second."""
    at = np.sort(chance.uniform(0, count / 40, count))
    order = np.argsort(at + chance.uniform(0, 0.9, count), kind="stable")
    return [
        (int(at[n] * SECOND), float(round(chance.normal(100, 5), 2)), f"S{chance.integers(0, 3)}")
        for n in order
    ]


def undisturbed(kind, sent):
    """What a plain computation gives, by key and window."""
    expected = {}
    options = KINDS[kind]
    by_key = {}
    for tick in sent:
        by_key.setdefault(tick[2], []).append(tick)
    for key, of_key in by_key.items():
        if kind == "count":
            groups = [of_key[n : n + 9] for n in range(0, len(of_key), 9)]
            groups = {(key, n): group for n, group in enumerate(groups) if len(group) == 9}
        elif kind == "session":
            groups, last = {}, None
            for tick in sorted(of_key, key=lambda tick: tick[0]):
                if last is None or tick[0] - last >= 0.3 * SECOND:
                    name = (key, tick[0])
                groups.setdefault(name, []).append(tick)
                last = tick[0]
        else:
            groups = {}
            for tick in of_key:
                for window in options["window"].windows(tick[0]):
                    groups.setdefault((key, window.start), []).append(tick)
        for name, group in groups.items():
            prices = [price for _, price, _ in group]
            expected[name] = (len(group), max(prices), min(prices))
    return expected


def stopped(folder, kind, chance):
    """Run a worker that is told to stop at some point of its work."""
    stop = Stop()
    turns = Life(chance.randrange(1, 25), end=lambda: stop.drain(30.0))
    work(folder, kind, stop, on_turn=turns.point)


def ended_often(folder, kind, times, end=killed, **options):
    """Have worker after worker end; return what the windows of all that was sent hold."""
    chance = random.Random(kind)
    sent = [[] for _ in range(PARTITIONS)]
    data = [ticks(np.random.default_rng(seed), TICKS * times // PARTITIONS) for seed in range(PARTITIONS)]
    with open_broker(f"sqlite:///{folder}/queue.db") as broker:
        broker.create_topic("ticks", partitions=PARTITIONS)
    for _ in range(times):
        more = [(partition, data[partition][: TICKS // PARTITIONS]) for partition in range(PARTITIONS)]
        for partition, portion in more:
            del data[partition][: len(portion)]
            sent[partition] += portion
        send(folder, more)
        end(folder, kind, chance, **options)
    last = 10**6 * SECOND
    send(folder, [(p, [(last, 1.0, f"S{n}") for n in range(3)]) for p in range(PARTITIONS)])
    return {
        (f"{name[0]}{partition}", *name[1:]): value
        for partition, of_partition in enumerate(sent)
        for name, value in undisturbed(kind, of_partition).items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_each_window_has_one_value_however_often_its_worker_is_killed(tmp_path, kind):
    expected = ended_often(tmp_path, kind, KILLS[kind])
    finals = finish(tmp_path, kind, len(expected))
    if kind == "count":  # named by the offset of their first message: number them
        finals = {
            (key, n): finals[key, start]
            for key in {key for key, _ in finals}
            for n, start in enumerate(sorted(start for other, start in finals if other == key))
        }
    assert {name: finals.get(name) for name in expected} == expected


@pytest.mark.parametrize("kind", ["fixed", "session"])
def test_no_result_comes_twice_from_workers_that_stop_in_order(tmp_path, kind):
    expected = ended_often(tmp_path, kind, STOPS, end=stopped)
    found = finish(tmp_path, kind, len(expected))
    names = [name for name, _ in Sink(f"{tmp_path}/sink.db").rows()]
    assert len(names) == len(set(names))
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize("kind", ["sliding", "session"])
def test_without_a_store_what_is_not_marked_is_whole_and_each_window_comes_whole(tmp_path, kind):
    expected = ended_often(tmp_path, kind, KILLS_UNKEPT, kept=False)
    sink, stop, whole = Sink(f"{tmp_path}/sink.db"), Stop(), {}

    def look():
        for name, value in sink.rows():
            key, start, _, _, firing, resumed = json.loads(name)
            count, _, high, low, _ = json.loads(value)
            if expected.get((key, start)) == (count, high, low):
                whole[key, start] = value
            elif firing != "early":
                assert resumed, f"{name} has {value}, expected {expected.get((key, start))}"
        if whole.keys() >= expected.keys():
            stop.drain(10.0)

    work(tmp_path, kind, stop, on_turn=look, kept=False)
    assert whole.keys() == expected.keys()


def send(folder, portions):
    with open_broker(f"sqlite:///{folder}/queue.db") as broker, broker.producer() as producer:
        for partition, portion in portions:
            records = [
                NewRecord(
                    json.dumps(tick[:2]).encode(), key=f"{tick[2]}{partition}".encode(), partition=partition
                )
                for tick in portion
            ]
            producer.send("ticks", records)
        producer.flush()


def finish(folder, kind, enough):
    """Let a worker come to the end; return the final values, having checked that no name has two."""
    sink, stop = Sink(f"{folder}/sink.db"), Stop()

    def look():
        if sink.names() >= enough:
            stop.drain(10.0)

    work(folder, kind, stop, on_turn=look)
    by_name = {}
    for name, value in sink.rows():
        assert by_name.setdefault(name, value) == value, f"{name} has two values"
    return finals(sink)


def finals(sink):
    found = {}
    for name, value in set(sink.rows()):
        key, start, _, _, firing, resumed = json.loads(name)
        assert not resumed
        if firing != "early":
            count, _, high, low, _ = json.loads(value)
            assert (key, start) not in found, f"{key} has two results for the window at {start}"
            found[key, start] = (count, high, low)
    return found
