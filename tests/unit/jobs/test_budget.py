import threading

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.jobs.block import Box
from streamzarr.jobs.budget import ByteBudget, bytes_of_box, held_by
from streamzarr.jobs.execute import layout_of
from streamzarr.jobs.wire import Stage


class Worker:
    """A thread that holds bytes of a budget until it is let go."""

    def __init__(self, budget, nbytes):
        self.begun, self._go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(budget, nbytes), daemon=True)
        self._thread.start()

    def _run(self, budget, nbytes):
        with budget.hold(nbytes):
            self.begun.set()
            self._go.wait(60)

    def end(self):
        self._go.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def until_queued(budget, count):
    deadline = threading.Event()
    for _ in range(10_000):
        if len(budget._queue) == count:
            return
        deadline.wait(0.001)
    raise AssertionError("nobody waits")


def test_no_more_is_held_than_the_budget_allows():
    budget, peak, lock = ByteBudget(100), [0], threading.Lock()

    def work(nbytes):
        for _ in range(50):
            with budget.hold(nbytes), lock:
                peak[0] = max(peak[0], budget.held)

    threads = [threading.Thread(target=work, args=(nbytes,)) for nbytes in (10, 30, 60, 100, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 0 < peak[0] <= 100
    assert budget.held == 0


def test_what_is_larger_than_the_budget_runs_alone():
    budget = ByteBudget(100)
    small = Worker(budget, 10)
    assert small.begun.wait(60)
    large = Worker(budget, 500)
    until_queued(budget, 1)
    assert not large.begun.is_set()
    small.end()
    assert large.begun.wait(60)
    late = Worker(budget, 1)
    until_queued(budget, 1)
    assert not late.begun.is_set()
    large.end()
    assert late.begun.wait(60)
    late.end()
    assert budget.held == 0


def test_large_work_is_not_overtaken_for_ever():
    budget = ByteBudget(100)
    first = Worker(budget, 60)
    assert first.begun.wait(60)
    large = Worker(budget, 90)
    until_queued(budget, 1)
    small = Worker(budget, 10)  # would fit, but came later
    until_queued(budget, 2)
    assert not small.begun.is_set()
    first.end()
    assert large.begun.wait(60)
    assert small.begun.wait(60)
    large.end()
    small.end()


def test_an_error_gives_back_what_was_held():
    budget = ByteBudget(100)
    with pytest.raises(GeneratorExit), budget.hold(80):
        raise GeneratorExit
    assert budget.held == 0


@pytest.mark.parametrize(
    ("source", "target", "operation", "more"),
    [
        ({"chunks": 1000}, {"chunks": 1000}, "copy", {}),
        ({"chunks": 10}, {"chunks": 1000}, "copy", {}),
        ({"chunks": 4000}, {"chunks": 1000}, "copy", {}),
        ({"chunks": [[1000, 3000]]}, {"chunks": 1000}, "copy", {}),
        ({"chunks": 1000}, {"chunks": 10, "shards": 1000}, "copy", {}),
        ({"chunks": 1000}, {"chunks": 250}, "downsample", {"factor": (4,), "method": "mean"}),
    ],
)
def test_a_task_is_charged_for_what_it_reads_and_writes(source, target, operation, more):
    a = sz.create_array("memory://", data=np.arange(4000.0), **source)
    b = sz.create_array("memory://", shape=(4000 if operation == "copy" else 1000,), dtype="f8", **target)
    stage = Stage(operation, "a", "b", layout_of(b), **more)
    largest = max(a.read_chunk_sizes[0])
    charged = bytes_of_box(held_by(stage, a, b), stage, a, Box.of([(0, (0,))]))
    # the block, encoded chunks, the result and its encoded form, each of 8 bytes a cell
    assert 8 * (1000 + largest) <= charged <= 8 * 6 * (1000 + largest)
