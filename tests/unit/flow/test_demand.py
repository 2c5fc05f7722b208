import threading

import pytest

from streamzarr.errors import ConfigError
from streamzarr.flow import Demand
from streamzarr.flow.demand.balance import Balance, Bounds, admit, refill, release, split
from streamzarr.options import parse_bytes
from streamzarr.runtime.system import SystemBell as Bell
from streamzarr.testing.clock import FakeClock


def test_asks_again_only_when_outstanding_messages_fall_to_min_demand():
    demand = Demand(max_demand=10, min_demand=4)
    assert demand.take([0] * 10) == 10
    demand.settle(5, 0)
    assert demand.room().messages == 0  # 5 are outstanding
    demand.settle(1, 0)
    assert demand.room().messages == 6


def test_min_demand_is_half_when_absent():
    assert Demand(1000).bounds.min_demand == 500
    assert Demand(1).bounds.min_demand == 0


def test_one_pull_takes_no_more_than_what_brings_demand_back():
    demand = Demand(max_demand=1000, min_demand=600)
    assert demand.room().messages == 400


def test_bytes_bound_what_enters():
    demand = Demand(100, max_bytes=1000)
    assert demand.take([400, 400, 400]) == 2
    assert demand.in_flight_bytes == 800
    assert demand.room().nbytes == 200
    assert demand.take([400]) == 0
    assert demand.take([200]) == 1
    assert demand.room().messages == 0


def test_a_message_bigger_than_max_bytes_travels_alone():
    demand = Demand(100, max_bytes=1000)
    assert demand.take([1, 5000]) == 1
    assert demand.take([5000]) == 0
    demand.settle(1, 1)
    assert demand.take([5000, 1]) == 1
    assert demand.take([0]) == 0
    assert demand.room().messages == 0
    demand.settle(1, 5000)
    assert demand.room().messages > 0


def test_settling_what_is_not_in_flight_is_an_error():
    demand = Demand(10)
    demand.take([5])
    with pytest.raises(ValueError, match="2 messages of 5 bytes settled, but 1 of 5"):
        demand.settle(2, 5)
    with pytest.raises(ValueError, match="1 messages of 6 bytes settled, but 1 of 5"):
        demand.settle(1, 6)
    assert demand.in_flight == 1


def test_peak_is_remembered():
    demand = Demand(10)
    demand.take([3, 4])
    demand.settle(2, 7)
    demand.take([1])
    assert (demand.peak, demand.peak_bytes) == (2, 7)


def test_closed_lets_nothing_in_but_takes_credit_back():
    demand = Demand(10)
    demand.take([1])
    demand.close()
    assert demand.closed
    assert demand.room().messages == 0
    assert demand.take([1]) == 0
    demand.settle(1, 1)
    assert demand.in_flight == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_demand": 0}, "max_demand is 0"),
        ({"max_demand": 5, "min_demand": 5}, "min_demand is 5, expected 0 to 4"),
        ({"max_demand": 5, "min_demand": -1}, "min_demand is -1"),
        ({"max_demand": 5, "max_bytes": 0}, "max_bytes is 0"),
        ({"max_demand": 5, "max_bytes": "much"}, "max_bytes is 'much'"),
    ],
)
def test_bounds_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Demand(**arguments)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("256MB", 256_000_000),
        ("1KiB", 1024),
        ("1kB", 1000),
        ("0.5 GiB", 1 << 29),
        ("7", 7),
        ("7B", 7),
        ("2T", 2 * 10**12),
    ],
)
def test_sizes_are_written_with_units(text, nbytes):
    assert parse_bytes(text) == nbytes


@pytest.mark.parametrize("text", ["", "-1MB", "1 XB", "MB", "1e3", "1MB2"])
def test_other_sizes_are_refused(text):
    with pytest.raises(ConfigError):
        parse_bytes(text)


def test_wait_returns_when_another_thread_settles():
    demand = Demand(1)
    demand.take([0])
    timer = threading.Timer(0.05, demand.settle, (1, 0))
    timer.start()
    assert demand.wait(timeout=10.0)
    timer.join()


def test_wait_returns_when_woken_or_closed():
    for wake in ("wake", "close"):
        demand = Demand(1)
        demand.take([0])
        timer = threading.Timer(0.05, getattr(demand, wake))
        timer.start()
        assert not demand.wait(timeout=10.0)
        timer.join()


def test_wait_ends_at_its_timeout():
    clock = FakeClock()
    demand = Demand(1, runtime=clock)
    demand.take([0])
    assert not demand.wait(timeout=3.0)
    assert clock.now() == 3.0


def test_threads_that_share_a_demand_never_exceed_it():
    demand = Demand(7, max_bytes=70)
    peaks = []

    def work():
        for _ in range(300):
            while not (count := demand.take([10, 10, 10])):
                demand.wait(1.0)
            peaks.append(demand.in_flight)
            demand.settle(count, 10 * count)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert max(peaks) <= 7
    assert demand.peak <= 7
    assert demand.peak_bytes <= 70
    assert (demand.in_flight, demand.in_flight_bytes) == (0, 0)


def test_pure_arithmetic_by_hand():
    bounds = Bounds(max_demand=10, min_demand=5)
    assert refill(0, 10, bounds) == 0
    assert refill(0, 15, bounds) == 0  # others have raised the lag
    assert refill(5, 0, bounds) == 10
    assert split(0, bounds) == []
    assert split(7, bounds) == [5, 2]
    assert admit(Balance(credit=3), [1, 2, 3, 4], bounds) == (Balance(0, 3, 6), 3)
    assert release(Balance(0, 3, 6), 3, 6, bounds) == Balance(10, 0, 0)


def test_a_ring_before_the_wait_is_not_lost():
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.rung
    assert bell.wait(60.0)
    assert not bell.rung
    assert not bell.wait(0.0)


def test_no_ring_is_lost_between_threads():
    """A ringer that finds the bell rung has changed the state before the owner looks at it."""
    bell, work = Bell(), []
    total = 20_000

    def ringer():
        for _ in range(total):
            work.append(1)
            bell.ring()

    threads = [threading.Thread(target=ringer) for _ in range(3)]
    for thread in threads:
        thread.start()
    seen = 0
    while seen < 3 * total:
        assert bell.wait(30.0), "slept through a ring"
        while work:
            work.pop()
            seen += 1
    for thread in threads:
        thread.join()
