"""Three processes share a feed while records arrive, and are killed, stopped and replaced all the while.

Each offset has its rows exactly once, in order; what a row says is what its record said; in a bucket, too. A
short version runs in CI; ``STREAMZARR_FEED_ROUNDS=300`` makes it long.
"""

import contextlib
import multiprocessing
import os
import random
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np
import pytest

from streamzarr.feeds import check_feed, open_targets
from streamzarr.runtime import SYSTEM
from tests.integration.stores.conftest import new_bucket, s3_keys, server  # noqa: F401
from tests.support import feed_lives
from tests.support.deadly import POINTS
from tests.support.feeds import PATIENCE, FeedBench, until
from tests.support.stream_lives import with_keys

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("STREAMZARR_FEED_ROUNDS", "10"))
PROCESSES = 3
PARTITIONS = 4
BURST = 200
"""Records of each partition in a round."""
BAD = 97
"""Every so many records one is bad."""
BY_CHANCE = (-signal.SIGKILL, feed_lives.FENCED)
"""Exit codes of what was killed, by itself or by us, or lost a partition to a late member."""


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """A process, and the pipe that it closes once it can be told to stop."""

    process: BaseProcess
    ready: Connection


class Cast:
    """Processes of one feed: as many as there shall be, whatever becomes of each."""

    def __init__(self, told, chance):
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([feed_lives.__name__])
        self.told, self.chance = told, chance
        self.alive, self.killed = [], 0

    def fill(self, armed):
        """Replace those that have ended; of new ones some kill themselves at a point."""
        staying = [each for each in self.alive if each.process.is_alive()]
        for each in self.alive:
            if each not in staying:
                code = each.process.exitcode
                assert code in BY_CHANCE, f"by itself: {code}"
                self.killed += code != feed_lives.FENCED
                each.ready.close()
        self.alive = staying
        while len(self.alive) < PROCESSES:
            point = str(self.chance.choice(POINTS)) if armed and self.chance.random() < 0.5 else ""
            self.alive.append(self.start(point, self.chance.randint(1, 12)))

    def start(self, point, nth):
        ready, theirs = self.context.Pipe(duplex=False)
        keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        with theirs:
            process = self.context.Process(
                target=with_keys, args=(keys, feed_lives.live, self.told, theirs, point, nth), daemon=True
            )
            process.start()
        return Actor(process, ready)

    def signal(self, number, victim=None):
        victim = victim or self.chance.choice(self.alive)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim.process.pid, number)
        return victim

    def end(self):
        """Tell all to stop; one may yet get to the point where it kills itself, or see that it was late."""
        for each in self.alive:
            assert each.ready.poll(PATIENCE), "a process did not begin"
            self.signal(signal.SIGTERM, each)
        for each in self.alive:
            each.process.join(PATIENCE)
        codes = [each.process.exitcode for each in self.alive]
        assert 0 in codes, codes
        assert set(codes) <= {0, *BY_CHANCE}, codes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.alive:
            each.process.kill()
            each.ready.close()


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def bench(request, tmp_path):
    if request.param == "kafka":
        url, session = request.getfixturevalue("kafka_broker_url"), 6.0
    else:
        url, session = f"sqlite:///{tmp_path}/queue.db", 1.0
    return FeedBench(url, tmp_path, partitions=PARTITIONS, session_timeout=session)


@pytest.fixture
def bench_in_a_bucket(s3_keys, tmp_path):  # noqa: F811
    url = f"sqlite:///{tmp_path}/queue.db"
    with server("versitygw") as endpoint:
        place = f"s3://{new_bucket(endpoint)}/feed.zarr?endpoint_url={endpoint}"
        yield FeedBench(url, tmp_path, partitions=PARTITIONS, session_timeout=1.0, place=place)


STEP = 1000
LATE = 5 * STEP
"""A record every 100 ms of event time, some of them late: milliseconds."""


def time_of(number):
    """Return when the record `number` happened."""
    return number * 100 - (LATE - 1 if number % 11 == 5 else 0)


def name_of(number):
    """Return of which target the record `number` is: some come often, one comes late, one seldom."""
    return 4 if number % 150 == 149 else number % 3 if number < BURST else number % 4


def produce(bench, start):
    for partition in range(PARTITIONS):
        for first in range(start, start + BURST, 50):
            values = [
                b"bad"
                if number % BAD == 0
                else b'{"n": %d, "bid": %d.5, "at": %d, "s": "S%d"}'
                % (number, number, 10**12 + time_of(number), name_of(number))
                for number in range(first, first + 50)
            ]
            bench.send(*values, partition=partition)


def log(bench):
    return bench.feed(columns={"n": "i8", "bid": "f8"}, target={"chunk_rows": 96})


def grid(bench):
    return bench.feed(
        columns={"at": {"dtype": "datetime64[ms]", "unit": "ms"}, "n": "i8", "bid": "f8"},
        target={"layout": "grid", "chunk_rows": 40},
        grid={"time": "at", "step": "1s", "lateness": "5s", "values": {"n": "sum", "bid": "last"}},
    )


def routed(bench):
    return bench.feed(
        columns={"n": "i8", "bid": "f8", "s": "string"},
        target={"chunk_rows": 200, "max_bytes": 26_000},  # three of the targets at a time
        route={"by": "s", "targets": ["S0", "S1", "S3", "S4"], "other": "rest"},
    )


def windowed(bench):
    return bench.feed(
        columns={"at": {"dtype": "datetime64[ms]", "unit": "ms"}, "s": "string", "n": "i8", "bid": "f8"},
        target={"layout": "windows", "chunk_rows": 40},
        window={
            "kind": "sliding",
            "size": "2s",
            "every": "1s",
            "time": "at",
            "key": "s",
            "lateness": "5s",
            "values": {"n": "sum", "bid": "last"},
        },
    )


@pytest.mark.parametrize("layout", [log, grid, routed, windowed])
def test_each_record_once_whatever_happens_to_the_processes(bench, layout):
    live_through(bench, layout)


def test_each_record_once_in_a_bucket_too(bench_in_a_bucket):
    live_through(bench_in_a_bucket, log)


def live_through(bench, layout):
    chance = random.Random(7)
    feed, rounds = layout(bench), ROUNDS // 2 if layout in (routed, windowed) else ROUNDS
    with Cast(feed.to_builtins(), chance) as cast:
        for number in range(rounds):
            cast.fill(armed=True)
            produce(bench, number * BURST)
            SYSTEM.event().wait(chance.uniform(0.1, 1.0))
            match number % 3:
                case 0:
                    cast.signal(signal.SIGKILL)
                case 1:  # longer than its session: others take its partitions over, then it goes on
                    stopped = cast.signal(signal.SIGSTOP)
                    SYSTEM.event().wait(bench.session_timeout * chance.choice([0.3, 1.5]))
                    cast.signal(signal.SIGCONT, stopped)
                case _:
                    cast.signal(signal.SIGKILL)
                    cast.signal(signal.SIGKILL)
        until(lambda: (cast.fill(armed=False), bench.caught_up(feed))[1], "the end of the topic")
        cast.end()
    count = rounds * BURST
    bad = np.arange(0, count, BAD)
    good = np.setdiff1d(np.arange(count), bad)
    for found in check_feed(bench.target, bench.broker):
        assert found.ok, found
        assert (found.dead, found.position, found.verified) == (len(bad), count, count)
    for name, stream in bench.streams().items():
        match layout.__name__:
            case "log":
                check_log(stream, good)
            case "grid":
                check_grid(stream, good)
            case "windowed":
                check_windows(stream, good)
            case "routed":
                check_routed(bench.target, name, good)
    assert cast.killed >= rounds // 2


def check_log(stream, good):
    assert np.array_equal(stream["offset"][:], good)
    assert np.array_equal(stream["n"][:], good)
    assert np.array_equal(stream["bid"][:], good + 0.5)


def check_routed(target, partition, good):
    names = np.array([name_of(number) for number in good.tolist()])
    found = open_targets(target)
    assert sorted(found) == ["S0", "S1", "S3", "S4", "rest"]
    for name, parts in found.items():
        check_log(parts[partition], good[names == (2 if name == "rest" else int(name[1]))])


def check_windows(stream, good):
    found = {}
    for number in good.tolist():
        time = 10**12 + time_of(number)
        for start in (time // STEP * STEP - STEP, time // STEP * STEP):
            found.setdefault((start, f"S{name_of(number)}"), []).append((time, number))
    newest = max(10**12 + time_of(number) for number in good.tolist())
    closed = sorted(each for each in found if each[0] + 2 * STEP <= newest - LATE)
    assert stream["begin"][:].astype("M8[ms]").astype(np.int64).tolist() == [start for start, _ in closed]
    assert stream["s"][:].tolist() == [name for _, name in closed]
    assert stream["count"][:].tolist() == [len(found[each]) for each in closed]
    assert stream["n"][:].tolist() == [sum(number for _, number in found[each]) for each in closed]
    assert stream["bid"][:].tolist() == [max(found[each])[1] + 0.5 for each in closed]


def check_grid(stream, good):
    times = np.array([10**12 + time_of(number) for number in good.tolist()])
    slots = times // STEP - (10**12 // STEP)
    first = int(slots.min())
    closed = (int(times.max()) - LATE) // STEP - (10**12 // STEP) - first
    assert stream.rows == closed
    counts = np.bincount(slots - first, minlength=closed)[:closed]
    assert np.array_equal(stream["count"][:, 0], counts)
    sums = np.bincount(slots - first, good, minlength=closed)[:closed]
    assert np.array_equal(stream["n"][:, 0], sums.astype(np.int64))
    last = np.full(closed, np.nan)
    for number, slot in zip(good.tolist(), (slots - first).tolist(), strict=True):
        if slot < closed:
            last[slot] = number + 0.5
    assert np.array_equal(stream["bid"][:, 0], last, equal_nan=True)
