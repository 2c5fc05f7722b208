import pytest
import reactivex.operators as rx

from streamzarr.errors import ConfigError
from streamzarr.flow import Demand, Stop, from_iterable, from_pull, ops, run
from streamzarr.testing.clock import FakeClock


def groups(items, operator, *, demand=100, batch=64):
    seen = []
    chain = from_iterable(items, Demand(demand), batch=batch).pipe(
        operator, rx.do_action(lambda batch: seen.append([message.data for message in batch])), ops.settle()
    )
    run(chain)
    return seen


def test_regroups_by_size_and_lets_the_rest_go_at_the_end():
    assert groups(range(8), ops.batch(size=3), batch=2) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert groups(range(6), ops.batch(size=1)) == [[0], [1], [2], [3], [4], [5]]


def test_bytes_are_a_ceiling_except_for_one_giant():
    items = [bytes(n) for n in (40, 40, 40, 500, 60, 40, 1)]
    sizes = [[len(item) for item in group] for group in groups(items, ops.batch(bytes=100))]
    assert sizes == [[40, 40], [40], [500], [60, 40], [1]]


def test_bytes_and_size_whichever_comes_first():
    items = [bytes(n) for n in (1, 1, 1, 90, 9, 2)]
    sizes = [[len(item) for item in group] for group in groups(items, ops.batch(size=3, bytes="100B"))]
    assert sizes == [[1, 1, 1], [90, 9], [2]]


def test_a_batch_leaves_when_its_first_message_has_waited():
    clock = FakeClock()
    arrivals = {0.0: [1], 0.4: [2], 2.0: [3]}
    seen = []

    def pull(n):
        for when in sorted(arrivals):
            if when <= clock.now():
                return arrivals.pop(when)
        return [] if arrivals or clock.now() < 5.0 else None

    chain = from_pull(pull, Demand(10), idle=0.1).pipe(
        ops.batch(size=10, timeout=1.0),
        rx.do_action(lambda batch: seen.append((round(clock.now(), 1), [message.data for message in batch]))),
        ops.settle(),
    )
    run(chain, runtime=clock)
    assert seen == [(1.0, [1, 2]), (3.0, [3])]


def test_failed_messages_travel_in_their_place():
    seen = groups(["1", "x", "3"], lambda source: source.pipe(ops.map(int), ops.batch(size=2)))
    assert seen == [[1, "x"], [3]]


def test_after_a_dispatch_what_is_left_goes_when_nothing_more_can_come():
    chain = from_iterable(range(10), Demand(10)).pipe(
        ops.dispatch(lambda n: n, workers=2), ops.batch(size=4), ops.settle()
    )
    assert run(chain).ok == 10


def test_before_a_dispatch():
    chain = from_iterable(range(10), Demand(3)).pipe(
        ops.batch(size=4), ops.dispatch(lambda n: n, workers=2), ops.settle()
    )
    assert run(chain).ok == 10


def test_two_in_a_row():
    seen = groups(range(10), lambda source: source.pipe(ops.batch(size=4), ops.batch(size=6)), demand=7)
    assert [n for group in seen for n in group] == list(range(10))


def test_a_drain_lets_go_what_is_held():
    clock = FakeClock()
    stop = Stop(clock)
    answers = iter([[1, 2, 3]])

    def pull(n):
        items = next(answers, [])
        if not items:
            stop.drain(10.0)
        return items

    report = run(
        from_pull(pull, Demand(10)).pipe(ops.batch(size=100), ops.settle()), stop=stop, runtime=clock
    )
    assert (report.ok, report.left, report.handed_back) == (3, 0, 0)
    assert clock.now() < 1.0


@pytest.mark.parametrize("arguments", [{}, {"timeout": 1.0}, {"size": 0}, {"bytes": 0}, {"bytes": "big"}])
def test_bounds_are_checked(arguments):
    with pytest.raises(ConfigError):
        ops.batch(**arguments)
