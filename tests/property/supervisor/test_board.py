"""The shared-memory registers against plain Python models, and read in the middle of any write."""

import os
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


@given(st.lists(tokens, max_size=4), tokens, st.integers(0, 1), st.booleans())
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


@given(st.lists(tokens, max_size=60))
def test_crash_table_counts(crashed):
    supervisor, worker = mapped(CrashTable)
    model = Counter()
    for token in crashed:
        model[token] += 1
        assert supervisor.add(token) == model[token]
    for number in range(8):
        token = bytes([number]) * 16
        assert worker.count(token) == model[token]


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 50))
def test_a_full_crash_table_forgets_the_oldest(surplus):
    supervisor, worker = mapped(CrashTable)
    names = [number.to_bytes(16, "big") for number in range(CRASHED_LIMIT + surplus)]
    for name in names[:CRASHED_LIMIT]:
        supervisor.add(name)
    supervisor.add(names[0])  # crashed again: not the oldest any more
    for name in names[CRASHED_LIMIT:]:
        supervisor.add(name)
    assert worker.count(names[0]) == 2
    assert [worker.count(name) for name in names[1 : surplus + 1]] == [0] * surplus
    assert all(worker.count(name) == 1 for name in names[surplus + 1 :])
