"""Work in processes: what a chain sees of them."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from streamzarr.errors import ConfigError, ProcessDiedError, ProcessError, StoreError, StreamzarrError
from streamzarr.flow import Demand, Spill, Stop, Workers, from_iterable, ops, run
from streamzarr.flow.dispatch import shared
from streamzarr.flow.dispatch.process import ChildProcess
from streamzarr.queue.retry import RetryPolicy

FAST = RetryPolicy(attempts=3, base=0.01, jitter=0.0)


# -- functions that children import ----------------------------------------------------------------------


def square(n):
    return n * n


def whose(n):
    return os.getpid()


def total(pair):
    name, array = pair
    return name, array * 2, array.sum()


def die_once(data):
    """Die at the first try of what is odd; `data` is a directory and a number."""
    mark = Path(data[0], str(data[1]))
    if data[1] % 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return data[1]


def die_always(n):
    if n % 5 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def flaky(data):
    mark = Path(data[0], str(data[1]))
    if not mark.exists():
        mark.touch()
        raise StoreError("503")
    return data[1]


def begin_and_hang(directory):
    Path(directory, str(os.getpid())).touch()
    threading.Event().wait(300)


def wait_a_little(n):
    threading.Event().wait(0.01)
    return n


# -- helpers ---------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch):
    names, pids = [], set()
    reserved, started = shared._reserved, ChildProcess._start

    def reserve(size):
        block = reserved(size)
        names.append(block.name)
        return block

    def start(self):
        result = started(self)
        pids.add(self.pid)
        return result

    monkeypatch.setattr(shared, "_reserved", reserve)
    monkeypatch.setattr(ChildProcess, "_start", start)
    yield
    until(lambda: not any(is_alive(pid) for pid in pids if pid))
    assert not [name for name in names if Path("/dev/shm", name).exists()], "leaked shared memory"


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        threading.Event().wait(0.005)


def go(items, *operators, demand=16, **options):
    seen = []
    demand = Demand(demand)
    report = run(from_iterable(items, demand).pipe(*operators, ops.settle(seen.extend)), **options)
    assert demand.in_flight == 0
    return report, seen


# -- work ------------------------------------------------------------------------------------------------


def test_the_function_runs_in_as_many_processes_as_asked_for():
    _, seen = go(range(60), ops.dispatch(whose, processes=2))
    pids = {m.data for m in seen}
    assert len(pids) <= 2
    assert os.getpid() not in pids


@pytest.mark.parametrize("options", [{}, {"ordered": True}, {"by": "key"}])
def test_results_are_those_of_threads(options):
    report, seen = go(
        range(100), ops.partition_by(lambda n: n % 3), ops.dispatch(square, processes=2, **options)
    )
    assert report.ok == 100
    assert sorted(m.data for m in seen) == [n * n for n in range(100)]
    if "ordered" in options:
        assert [m.data for m in seen] == [n * n for n in range(100)]
    if "by" in options:
        for key in range(3):
            assert [m.data for m in seen if m.key == key] == [n * n for n in range(key, 100, 3)]


def test_arrays_come_back_as_they_would_from_threads():
    items = [(f"a{n}", np.full((50, 100), n, "<f4")) for n in range(20)]
    _, seen = go(items, ops.dispatch(total, processes=2, ordered=True))
    for n, message in enumerate(seen):
        name, doubled, summed = message.data
        assert (name, doubled.dtype, doubled.shape, summed) == (f"a{n}", "<f4", (50, 100), n * 5_000)
        assert (doubled == 2 * n).all()


def test_an_error_of_the_function_fails_its_message_only():
    report, seen = go([1, "x", 3], ops.dispatch(square, processes=1, stage="square"))
    assert (report.ok, report.failed) == (2, 1)
    [failure] = [m.failure for m in seen if m.failure]
    assert (failure.stage, type(failure.error), failure.attempts) == ("square", TypeError, 1)


def test_a_transient_error_is_tried_again(tmp_path):
    report, seen = go([(str(tmp_path), n) for n in range(6)], ops.dispatch(flaky, processes=2, retry=FAST))
    assert (report.ok, {m.attempts for m in seen}) == (6, {2})


def test_a_killed_process_has_its_message_tried_again_and_is_replaced(tmp_path):
    report, seen = go(
        [(str(tmp_path), n) for n in range(8)], ops.dispatch(die_once, processes=2, retry=FAST, ordered=True)
    )
    assert report.ok == 8
    assert [(m.data, m.attempts) for m in seen] == [(n, 1 + n % 2) for n in range(8)]


def test_a_message_that_kills_each_process_fails_and_the_others_do_not():
    report, seen = go(range(10), ops.dispatch(die_always, processes=2, stage="work"))
    assert (report.ok, report.failed) == (8, 2)
    errors = {m.data: m.failure.error for m in seen if m.failure}
    assert set(errors) == {0, 5}
    assert all(type(error) is ProcessDiedError for error in errors.values())
    assert "ended by signal 9 while it worked on a message" in str(errors[5])


def test_processes_are_resized_while_the_chain_runs():
    size = Workers(1)

    def watch(n):
        if n == 20:
            size.resize(3)
        if n == 60:
            size.resize(1)
        return n

    report, seen = go(range(120), ops.map(watch), ops.dispatch(wait_a_little, processes=size), demand=8)
    assert (report.ok, sorted(m.data for m in seen)) == (120, list(range(120)))


def test_a_hot_key_spills_beside_processes():
    items = [b"h%03d" % n for n in range(80)]
    report, seen = go(
        items,
        ops.partition_by(lambda data: data[:1]),
        ops.dispatch(wait_a_little, processes=2, by="key", spill=Spill(share=2)),
        demand=8,
    )
    assert (report.ok, [m.data for m in seen]) == (80, items)


# -- ends ------------------------------------------------------------------------------------------------


def test_what_hangs_at_the_deadline_of_a_drain_is_killed(tmp_path):
    stop = Stop()

    def when_both_hang():
        until(lambda: len(list(tmp_path.iterdir())) == 2)
        stop.drain(0.2)

    watcher = threading.Thread(target=when_both_hang)
    watcher.start()
    report, _ = go([str(tmp_path)] * 9, ops.dispatch(begin_and_hang, processes=2), stop=stop)
    watcher.join()
    assert (report.left, report.handed_back) == (2, report.delivered - 2)
    assert not any(is_alive(int(path.name)) for path in tmp_path.iterdir())


def test_a_chain_that_breaks_leaves_no_process():
    def source():
        yield from range(20)
        raise OSError("source broke")

    with pytest.raises(OSError, match="source broke"):
        go(source(), ops.dispatch(wait_a_little, processes=2))


def test_a_chain_without_messages_starts_no_process(monkeypatch):
    monkeypatch.setattr(ChildProcess, "_start", lambda self: pytest.fail("started"))
    assert go([], ops.dispatch(square, processes=2))[0].ok == 0


def test_no_room_for_shared_memory_breaks_the_chain_and_blames_no_message(monkeypatch):
    def full(size):
        raise ProcessError(f"no room for {size} bytes of shared memory")

    monkeypatch.setattr(shared, "_reserved", full)
    with pytest.raises(StreamzarrError, match="a worker thread ended with ProcessError: no room"):
        go([b"x" * 100_000], ops.dispatch(square, processes=1))


def test_a_function_without_an_import_path_is_refused():
    with pytest.raises(ConfigError, match="expected a function at the top of a module"):
        ops.dispatch(lambda n: n, processes=2)
