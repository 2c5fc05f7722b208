"""Who writes and keeps a stream is killed and stopped while others read: rows are there once, none too early.

``STREAMZARR_STREAM_ROUNDS`` sets how many lives; ``STREAMZARR_TEST_S3_SERVERS`` names further servers.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import signal
from functools import partial

import pytest

import streamzarr as sz
from streamzarr.stores import LocalStore, open_store, probe_conditional_put
from streamzarr.stores.parallel import batches
from streamzarr.stores.replace import TEMP_PREFIX
from streamzarr.stream import check as find
from streamzarr.stream.failpoints import Failpoint
from tests.integration.stores.conftest import SERVERS, new_bucket, s3_keys, server  # noqa: F401
from tests.support import stream_lives
from tests.support.deadly import MID_RENAME, POINTS
from tests.support.stream_lives import FENCED, wrong_in

ROUNDS = int(os.environ.get("STREAMZARR_STREAM_ROUNDS", "12"))
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300 + 10 * ROUNDS)]

# moto's server does not exclude others between check and write.
PLACES = ["local", *(name for name in SERVERS if name != "moto")]
PATIENCE = 120.0
PAUSE_SECONDS = 0.2
LIVES = 24
"""Rounds of one stream, whose rows are all read in each; then another one begins."""
STUCK_SECONDS = 2.0
"""A writer that was stopped in the middle of a put holds a directory's lock: so long it is waited for."""


@pytest.fixture(params=PLACES)
def urls(request, tmp_path):
    """URLs of streams that are not there yet."""
    if request.param == "local":
        yield (LocalStore(tmp_path / f"stream-{number}").url for number in itertools.count())
        return
    request.getfixturevalue("s3_keys")
    with server(request.param) as endpoint:
        bucket = new_bucket(endpoint)
        probe_conditional_put(open_store(f"s3://{bucket}/probe?endpoint_url={endpoint}"))
        yield (f"s3://{bucket}/stream-{number}?endpoint_url={endpoint}" for number in itertools.count())


class Cast:
    """The processes of one test."""

    def __init__(self, url, stack):
        self.url, self._stack = url, stack
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([stream_lives.__name__])

    def start(self, target, *args):
        """Run `target(url, *args, connection)` in a process, with keys that the fork server lacks."""
        ours, theirs = self._context.Pipe()
        keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        args = (keys, target, self.url, *args, theirs)
        process = self._context.Process(target=stream_lives.with_keys, args=args, daemon=True)
        process.start()
        theirs.close()
        self._stack.callback(process.kill)
        return process, ours

    def writer(self, seed, until=None, point="", nth=0, pause=0.0):
        return self.start(stream_lives.write, seed, until, point, nth, pause)


@contextlib.contextmanager
def cast(url):
    """Give processes, with two that read all the while: they must have seen rows, and nothing else."""
    with contextlib.ExitStack() as stack:
        actors = Cast(url, stack)
        readers = [actors.start(stream_lives.read) for _ in range(2)]
        yield actors
        for process, connection in readers:
            connection.send("finish")
            assert connection.poll(PATIENCE)
            count, wrong = connection.recv()
            assert wrong == []
            assert count > 2
            process.join(PATIENCE)
            assert process.exitcode == 0


def hear(connection, messages, when_stuck=lambda: None):
    """Return the last of up to so many messages, fewer where the process ends."""
    last = 0
    with contextlib.suppress(EOFError):
        for _ in range(messages):
            if not connection.poll(STUCK_SECONDS):
                when_stuck()
            assert connection.poll(PATIENCE), "the writer says nothing"
            last = connection.recv()
    return last


def hear_all(connection):
    return hear(connection, 1 << 30)


def check(url, promised):
    """The stream has at least the rows that were promised, all of them right, and no field is ahead."""
    snapshot = sz.open_stream(url)
    assert snapshot.rows >= promised, "a commit that had returned was lost"
    assert (snapshot.position or 0) == snapshot.rows
    assert wrong_in(snapshot) == []
    for name in snapshot:
        assert len(sz.open_array(url, path=name)) <= snapshot.rows
    return snapshot.rows


def go_on(process):
    with contextlib.suppress(ProcessLookupError):  # it was let go before, and has ended
        os.kill(process.pid, signal.SIGCONT)


def temp_files(url):
    root = open_store(url).root if url.startswith("file:") else "/nowhere"
    return [name for _, _, names in os.walk(root) for name in names if name.startswith(TEMP_PREFIX)]


def finish(actors, rows):
    """Let a last writer fill the stream up, and compare it with the source."""
    process, connection = actors.writer(0, rows + 100)
    hear_all(connection)
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert check(actors.url, rows + 100) == rows + 100
    assert find(actors.url).is_sound
    assert temp_files(actors.url) == []


def test_kill_9_at_any_moment(urls):
    chance, killed = random.Random(1), 0
    for rounds in batches(range(ROUNDS), LIVES):
        killed += kill_9(next(urls), chance, rounds)
    assert killed == ROUNDS


def kill_9(url, chance, rounds):
    """Kill one writer of a stream after another; return how many."""
    rows, killed = 0, 0
    points = [point for point in POINTS if point is not MID_RENAME or url.startswith("file:")]
    with cast(url) as actors:
        for number in rounds:
            point = str(points[number // 2 % len(points)]) if number % 2 else ""
            nth = 1 if point == str(Failpoint.AFTER_ACQUIRE) else chance.randint(1, 8)
            process, connection = actors.writer(number, point=point, nth=nth)
            begun = hear(connection, 1)
            if begun:
                own = f"-{process.pid:x}-"  # of what it is putting now
                left = [name for name in temp_files(url) if own not in name]
                assert left == [], "recovery leaves temp files"
            promised = hear_all(connection) if point else hear(connection, chance.randint(0, 9))
            process.kill()
            process.join(PATIENCE)
            killed += process.exitcode == -signal.SIGKILL
            promised = max(promised, hear_all(connection))
            if number > rounds[0] or promised:
                rows = check(url, max(rows, promised))
        finish(actors, rows)
    return killed


def test_a_stopped_writer_is_taken_over_and_fenced_when_it_goes_on(urls):
    chance, count = random.Random(2), ROUNDS // 3 + 1
    for rounds in batches(range(count), LIVES):
        stop_and_take_over(next(urls), chance, rounds)


def stop_and_take_over(url, chance, rounds):
    rows = 0
    with cast(url) as actors:
        for number in rounds:
            old, old_told = actors.writer(2 * number)
            hear(old_told, 1 + chance.randint(1, 9))
            os.kill(old.pid, signal.SIGSTOP)
            new, new_told = actors.writer(2 * number + 1)
            # It may have been stopped with the lock of a directory, of the root or of a field's chunks.
            promised = hear(new_told, 1 + chance.randint(1, 5), when_stuck=partial(go_on, old))
            go_on(old)
            promised = max(promised, hear(new_told, 2))
            old.join(PATIENCE)
            assert old.exitcode == FENCED
            new.kill()
            new.join(PATIENCE)
            rows = check(url, max(rows, promised, hear_all(new_told)))
        finish(actors, rows)


def test_upkeep_is_killed_beside_a_writer_that_is_killed(urls):
    chance, told = random.Random(3), 0
    for rounds in batches(range(ROUNDS // 2), LIVES):
        told += kill_beside_upkeep(next(urls), chance, rounds)
    assert told


def kill_beside_upkeep(url, chance, rounds):
    """Kill who writes a stream and who keeps it; return how often the latter has found nothing wrong."""
    rows, told = 0, 0
    with cast(url) as actors:
        for number in rounds:
            writer, promises = actors.writer(number, pause=PAUSE_SECONDS)
            keeper, findings = actors.start(stream_lives.keep, number)
            promised = hear(promises, 2 + chance.randint(0, 12))
            for _ in range(chance.randint(0, 2)):
                assert findings.poll(PATIENCE), "the keeper says nothing"
                assert findings.recv() == []
                told += 1
            for process in chance.sample((writer, keeper), 2):
                process.kill()
                process.join(PATIENCE)
            rows = check(url, max(rows, promised, hear_all(promises)))
        finish(actors, rows)
    assert sz.open_stream(url).first_row > 0
    return told
