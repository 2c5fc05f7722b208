"""How many workers a dispatch has, and in which order its results come."""

import threading
import time

import pytest

from streamzarr.errors import ConfigError, StoreError, StreamzarrError
from streamzarr.flow import Demand, Stop, Workers, from_iterable, ops, run
from streamzarr.flow.dispatch import broadcast, by_key
from streamzarr.queue.retry import RetryPolicy

FAST = RetryPolicy(attempts=4, base=0.01, jitter=0.0)


def alive(name):
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"streamzarr-{name}")]


def poll(condition, timeout=30.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "condition not reached"
        threading.Event().wait(0.002)


def go(items, *operators, demand=16, **options):
    seen = []
    demand = demand if isinstance(demand, Demand) else Demand(demand)
    report = run(from_iterable(items, demand).pipe(*operators, ops.settle(seen.extend)), **options)
    assert demand.in_flight == 0
    return report, seen


# -- ordered ---------------------------------------------------------------------------------------------


def test_ordered_results_leave_as_their_messages_came():
    first_may_end = threading.Event()

    def fn(n):
        if n == 0:
            assert first_may_end.wait(30)
        elif n == 7:
            first_may_end.set()
        return n

    _, seen = go(range(100), ops.dispatch(fn, workers=4, ordered=True))
    assert [m.data for m in seen] == list(range(100))


def test_ordered_failures_and_retries_keep_their_place():
    attempts = {}

    def fn(n):
        attempts[n] = attempts.get(n, 0) + 1
        if n % 5 == 0 and attempts[n] < 3:
            raise StoreError("503")
        if n % 7 == 0:
            raise ValueError(n)
        return n

    report, seen = go(
        [*map(str, range(50)), "x", "50"],
        ops.map(int, stage="parse"),
        ops.dispatch(fn, workers=3, ordered=True, retry=FAST),
        demand=8,
    )
    assert [m.data for m in seen] == [*range(50), "x", 50]
    assert {m.data for m in seen if m.failure} == {*range(0, 50, 7), "x"}
    assert (report.ok, report.failed) == (43, 9)


def test_ordered_a_drain_hands_back_what_waits_and_finishes_what_runs():
    stop, gate, begun = Stop(), threading.Event(), []

    def fn(n):
        begun.append(n)
        if len(begun) == 3:
            stop.drain(30.0)
            gate.set()
        assert gate.wait(30)
        return n

    report, seen = go(range(100), ops.dispatch(fn, workers=3, ordered=True), demand=20, stop=stop)
    assert [m.data for m in seen] == sorted(begun)
    assert (report.ok, report.left) == (len(begun), 0)
    assert report.handed_back == report.delivered - len(begun)


# -- resized live ----------------------------------------------------------------------------------------


def test_more_workers_begin_while_the_chain_runs():
    size, all_four = Workers(1), threading.Barrier(4)

    def fn(n):
        if n == 5:
            size.resize(4)
        if n >= 20:
            all_four.wait(30)

    report, _ = go(range(40), ops.dispatch(fn, workers=size, stage="grow"), demand=8)
    assert report.ok == 40
    assert not alive("grow")


def test_fewer_workers_lose_no_message():
    size, peaks, lock, running = Workers(8), [], threading.Lock(), [0]

    def fn(n):
        with lock:
            running[0] += 1
            peaks.append((n, running[0]))
        if n == 100:
            size.resize(1)
        threading.Event().wait(0.001)
        with lock:
            running[0] -= 1
        return n

    report, seen = go(range(400), ops.dispatch(fn, workers=size, stage="shrink"), demand=32)
    assert (report.ok, sorted(m.data for m in seen)) == (400, list(range(400)))
    assert max(count for n, count in peaks if n > 200) == 1
    assert not alive("shrink")


def test_resizing_up_and_down_all_the_time_loses_nothing():
    size, ended = Workers(1), threading.Event()

    def change():
        step = 0
        while not ended.is_set():
            step += 1
            size.resize(1 + step * 7 % 6)
            ended.wait(0.0005)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        report, seen = go(
            range(3_000), ops.dispatch(lambda n: n, workers=size, ordered=True, stage="shake"), demand=32
        )
    finally:
        ended.set()
        changer.join()
    assert [m.data for m in seen] == list(range(3_000))
    assert report.ok == 3_000
    assert not alive("shake")


def test_one_size_serves_two_dispatches():
    size = Workers(2)
    go(range(20), ops.dispatch(lambda n: n, workers=size), ops.dispatch(lambda n: n, workers=size))
    assert size._wakers == ()


# -- dispatchers -----------------------------------------------------------------------------------------


def test_a_dispatcher_of_ones_own_choice():
    running, most = {}, {}

    def fn(n):
        running[n % 3] = running.get(n % 3, 0) + 1
        most[n % 3] = max(most.get(n % 3, 0), running[n % 3])
        threading.Event().wait(0.001)
        running[n % 3] -= 1
        return n

    report, _ = go(
        range(120), ops.dispatch(fn, workers=6, by=lambda: by_key(lambda item: item.message.data, 3))
    )
    assert (report.ok, most) == (120, {0: 1, 1: 1, 2: 1})


def test_a_dispatcher_that_gives_a_message_to_several_breaks_the_chain():
    gate = threading.Event()
    demand = Demand(4)
    chain = from_iterable(range(4), demand).pipe(
        ops.dispatch(lambda n: gate.wait(0.01), workers=2, by=broadcast, stage="two"), ops.settle()
    )
    with pytest.raises(StreamzarrError, match="to several workers, expected one"):
        run(chain)
    assert demand.in_flight == 0
    poll(lambda: not alive("two"))


def test_arguments_that_do_not_go_together_are_refused():
    with pytest.raises(ConfigError, match="expected one of them"):
        ops.dispatch(print, workers=1, processes=1)
