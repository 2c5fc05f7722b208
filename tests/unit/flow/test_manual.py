"""Demand by hand: nothing enters that was not asked for, and no more is in flight than may be."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.flow import ManualDemand, Stop, from_pull, ops, run


def test_nothing_is_pulled_before_it_is_asked_for():
    asked, demand, stop = [], ManualDemand(100), Stop()
    settled, enough = [], threading.Event()

    def pull(count):
        asked.append(count)
        return [0] * count

    def sink(messages):
        settled.extend(messages)
        if len(settled) in (3, 10):
            enough.set()

    def consumer():
        for count in (3, 7):
            demand.request(count)
            assert enough.wait(30)
            enough.clear()
        stop.drain(30)

    thread = threading.Thread(target=consumer)
    thread.start()
    report = run(from_pull(pull, demand).pipe(ops.settle(sink)), stop=stop)
    thread.join()
    assert report.ok == 10
    assert asked == [3, 7]
    assert demand.requested == 0


def test_requests_add_up_and_wait_for_room():
    demand = ManualDemand(4)
    demand.request(3)
    demand.request(3)
    assert demand.room().messages == 4
    assert demand.take([0] * 6) == 4
    assert (demand.requested, demand.room().messages) == (2, 0)
    demand.settle(1, 0)
    assert demand.room().messages == 1
    demand.settle(3, 0)
    assert demand.room().messages == 2


def test_a_request_wakes_who_waits():
    demand = ManualDemand(4)
    assert not demand.wait(0)
    thread = threading.Thread(target=lambda: demand.request(1))
    thread.start()
    assert demand.wait(30)
    thread.join()


def test_a_closed_demand_lets_nothing_in():
    demand = ManualDemand(4)
    demand.request(2)
    demand.close()
    assert demand.room().messages == 0
    assert demand.take([0]) == 0


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from(["request", "take", "settle"]), st.integers(1, 6)), max_size=40),
)
def test_never_more_than_asked_for_nor_than_may_be_in_flight(max_demand, steps):
    demand, requested, taken, flying = ManualDemand(max_demand, max_bytes=20), 0, 0, 0
    for what, count in steps:
        if what == "request":
            demand.request(count)
            requested += count
        elif what == "take":
            room = demand.room().messages
            entered = demand.take([3] * min(count, room))
            assert entered <= room
            taken, flying = taken + entered, flying + entered
        elif flying:
            done = min(count, flying)
            demand.settle(done, 3 * done)
            flying -= done
        assert taken <= requested
        assert flying <= max_demand
        assert demand.requested == requested - taken
        assert 3 * flying <= 20
    while flying or demand.requested:  # nothing that was asked for is forgotten
        demand.settle(flying, 3 * flying)
        flying = demand.take([3] * demand.room().messages)
        taken += flying
        assert flying or not demand.requested
    assert taken == requested
