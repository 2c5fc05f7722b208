"""No faster than a rate, turn by turn on a fake clock."""

import threading

import pytest
import reactivex.operators as rx

from streamzarr.flow import Demand, Rate, Stop, from_iterable, from_pull, ops, run
from streamzarr.flow.message import Barrier, Batch
from streamzarr.testing.clock import FakeClock


def timed(clock, seen):
    """Return a sink that notes when each message came through."""
    return lambda messages: seen.extend((round(clock.now(), 3), m.data) for m in messages)


def go(items, *operators, clock, demand=10, batch=64, **options):
    seen, demand = [], demand if isinstance(demand, Demand) else Demand(demand)
    chain = from_iterable(items, demand, batch=batch).pipe(*operators, ops.settle(timed(clock, seen)))
    report = run(chain, runtime=clock, **options)
    assert demand.in_flight == demand.in_flight_bytes == 0
    return report, seen


def test_messages_pass_at_the_rate_in_order_on_the_chains_clock():
    clock = FakeClock()
    begun = clock.now()
    report, seen = go(range(10), ops.rate_limit(Rate(messages=2, burst=0.5)), clock=clock)
    assert report.ok == 10
    assert [n for _, n in seen] == list(range(10))
    assert [at - begun for at, _ in seen] == pytest.approx([n * 0.5 for n in range(10)], abs=0.01)


def test_bytes_count_as_well():
    clock = FakeClock()
    begun = clock.now()
    _, seen = go([bytes(100)] * 5, ops.rate_limit(Rate(bytes=100, burst=1.0)), clock=clock)
    assert [at - begun for at, _ in seen] == pytest.approx([0, 1, 2, 3, 4], abs=0.01)


def test_what_waits_holds_the_source():
    clock, taken = FakeClock(), []

    def source():
        for n in range(20):
            taken.append((n, clock.now()))
            yield n

    begun = clock.now()
    go(source(), ops.rate_limit(Rate(messages=1, burst=1.0)), clock=clock, demand=Demand(3))
    assert all(at - begun >= n - 3 for n, at in taken)


def test_the_rate_is_changed_while_the_chain_runs():
    clock, rate = FakeClock(), Rate(messages=1, burst=0.001)
    begun = clock.now()

    def faster(message):
        if message.data == 4:
            rate.set(messages=100)

    _, seen = go(range(10), ops.rate_limit(rate), ops.tap(faster), clock=clock)
    assert [at - begun for at, _ in seen][:5] == pytest.approx([0, 1, 2, 3, 4], abs=0.01)
    assert seen[-1][0] - begun == pytest.approx(4.05, abs=0.02)


def test_a_change_from_another_thread_wakes_the_chain():
    rate = Rate(messages=0.01)
    first = threading.Event()
    changer = threading.Thread(target=lambda: first.wait(30) and rate.set())
    changer.start()
    report = run(
        from_iterable(range(50), Demand(10)).pipe(
            ops.rate_limit(rate), ops.tap(lambda message: first.set()), ops.settle()
        )
    )
    changer.join()
    assert report.ok == 50
    assert rate._wakers == ()


def test_failed_messages_take_nothing_of_the_rate():
    clock = FakeClock()
    begun = clock.now()
    report, seen = go(
        ["x", "y", "1", "z", "2"], ops.map(int), ops.rate_limit(Rate(messages=1, burst=1.0)), clock=clock
    )
    assert (report.ok, report.failed) == (2, 3)
    assert [(round(at - begun), data) for at, data in seen] == [(0, "x"), (0, "y"), (0, 1), (0, "z"), (1, 2)]


def test_two_stages_keep_one_rate_together():
    clock, rate = FakeClock(), Rate(messages=1, burst=1.0)
    begun = clock.now()
    report, seen = go(
        range(6),
        ops.route(
            lambda m: "even" if m.data % 2 == 0 else "odd",
            {"even": [ops.rate_limit(rate)], "odd": [ops.rate_limit(rate)]},
        ),
        clock=clock,
    )
    assert report.ok == 6
    assert seen[-1][0] - begun == pytest.approx(5, abs=0.05)


def test_a_drain_hands_back_what_has_not_passed():
    clock, stop = FakeClock(), Stop()
    report, seen = go(
        range(10),
        ops.rate_limit(Rate(messages=1, burst=1.0)),
        ops.tap(lambda message: message.data == 2 and stop.drain(60.0)),
        clock=clock,
        stop=stop,
    )
    assert [n for _, n in seen] == [0, 1, 2]
    assert (report.ok, report.handed_back, report.left) == (3, report.delivered - 3, 0)


def test_a_barrier_waits_for_its_turn():
    clock, passed = FakeClock(), []
    begun = clock.now()
    barrier = Barrier(lambda: passed.append(round(clock.now() - begun, 2)))

    def behind_the_third(batch):
        return Batch(batch.messages, barrier) if batch.messages[-1].data == 2 else batch

    go(
        range(6),
        rx.map(behind_the_third),
        ops.rate_limit(Rate(messages=1, burst=1.0)),
        clock=clock,
        batch=3,
    )
    assert passed == [2.0]


def test_the_last_messages_wait_for_their_turn_when_the_source_has_ended():
    clock, given = FakeClock(), [[0, 1, 2]]
    seen = []
    begun = clock.now()
    chain = from_pull(lambda n: given.pop() if given else None, Demand(10)).pipe(
        ops.rate_limit(Rate(messages=1, burst=1.0)), ops.settle(timed(clock, seen))
    )
    assert run(chain, runtime=clock).ok == 3
    assert [round(at - begun) for at, _ in seen] == [0, 1, 2]
