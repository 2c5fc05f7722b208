"""The shared-memory registers against plain Python models, and read in the middle of any write."""

import os
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.supervisor import board
from streamzarr.supervisor.board import CRASHED_LIMIT, CrashTable, Slot, shared_file

tokens = st.integers(0, 7).map(lambda number: bytes([number]) * 16)


def mapped(kind):
    """Map the same shared memory twice, as a worker and its supervisor do."""
    fd = shared_file(kind.SIZE, "test")
    try:
        return kind(fd), kind(fd)
    finally:
        os.close(fd)


@given(st.lists(st.tuples(st.booleans(), tokens), max_size=100))
def test_register_holds_what_was_started_and_not_finished(steps):
    worker, supervisor = mapped(Slot)
    model = Counter()
    for start, token in steps:
        if start:
            worker.started(token)
            model[token] += 1
        elif model[token]:
            worker.finished(token)
            model[token] -= 1
        else:
            with pytest.raises(board.ConfigError):
                worker.finished(token)
        assert Counter(supervisor.in_flight()) == +model


class KilledHereError(BaseException):
    """Stands for the SIGKILL that may come between any two stores."""


class Mortal:
    """A memory map that dies before its `life`-th store."""

    def __init__(self, memory, life):
        self.memory, self.life = memory, life

    def __setitem__(self, at, value):
        if self.life == 0:
            raise KilledHereError
        self.life -= 1
        self.memory[at] = value

    def __getitem__(self, at):
        return self.memory[at]


@given(st.lists(tokens, max_size=4), tokens, st.integers(0, 2), st.booleans())
def test_a_kill_between_two_stores_leaves_the_register_whole(before, token, life, starting):
    worker, supervisor = mapped(Slot)
    for one in [*before, token]:
        worker.started(one)
    held = Counter(supervisor.in_flight())
    worker._memory = Mortal(worker._memory, life)
    step = worker.started if starting else worker.finished
    try:
        step(token)
    except KilledHereError:
        assert Counter(supervisor.in_flight()) == held


causes = st.sampled_from(["death", "timeout", "memory"])


@given(st.lists(st.tuples(tokens, causes, st.booleans()), max_size=60))
def test_crash_table_holds_deaths_alone_and_the_last_cause(crashed):
    supervisor, worker = mapped(CrashTable)
    model = {}
    for token, cause, alone in crashed:
        model[token] = (model.get(token, (0,))[0] + alone, cause)
        supervisor.add(token, cause, alone=alone)
        assert worker.look_up(token) == model[token]
    for number in range(8):
        token = bytes([number]) * 16
        assert worker.look_up(token) == model.get(token)
        assert (token in supervisor) == (token in model)


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 50))
def test_a_full_crash_table_forgets_the_oldest(surplus):
    supervisor, worker = mapped(CrashTable)
    names = [number.to_bytes(16, "big") for number in range(CRASHED_LIMIT + surplus)]
    for name in names[:CRASHED_LIMIT]:
        supervisor.add(name, "death", alone=True)
    supervisor.add(names[0], "timeout", alone=True)  # crashed again: not the oldest any more
    for name in names[CRASHED_LIMIT:]:
        supervisor.add(name, "death", alone=True)
    assert worker.look_up(names[0]) == (2, "timeout")
    assert [worker.look_up(name) for name in names[1 : surplus + 1]] == [None] * surplus
    assert all(worker.look_up(name) == (1, "death") for name in names[surplus + 1 :])


@given(st.lists(tokens, max_size=8))
def test_register_knows_since_when_and_whether_anything_was_finished(started):
    worker, supervisor = mapped(Slot)
    before = time.monotonic()
    for token in started:
        worker.started(token)
    since = [began for _, began in supervisor.held()]
    assert len(since) == len(started)
    assert all(before - 0.001 <= began <= time.monotonic() for began in since)
    assert not supervisor.worked
    if started:
        worker.finished(started[0])
        assert supervisor.worked


def test_a_detached_register_is_seen_by_nobody():
    worker, supervisor = mapped(Slot)
    worker.beat()
    worker.started(bytes(16))
    heard = supervisor.heartbeat
    worker.detach()
    worker.beat()
    worker.started(b"0123456789abcdef")
    assert (supervisor.heartbeat, supervisor.in_flight()) == (heard, (bytes(16),))
