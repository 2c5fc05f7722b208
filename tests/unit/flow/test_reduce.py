"""Windows in running chains: credit, results, timers, failures."""

import pytest
import reactivex.operators as rx

from streamzarr.errors import ConfigError, LimitExceededError
from streamzarr.flow import Demand, from_iterable, from_pull, ops, run, windows
from streamzarr.flow.windows.moments import SECOND
from streamzarr.testing.clock import FakeClock
from tests.support.reducing import keyed, results, total, values


def test_each_key_and_window_gives_one_result_and_the_rest_comes_at_the_end():
    items = [(0.0, 1, "a"), (0.5, 2, "b"), (0.9, 4, "a"), (1.0, 8, "a"), (2.5, 16, "b")]
    seen, report = results(items, keyed(lambda item: item[2]), total(windows.Fixed("1s")))
    assert values(seen) == [
        ("a", 0, 5, "final"),
        ("b", 0, 2, "final"),
        ("a", 1, 8, "final"),
        ("b", 2, 16, "final"),
    ]
    assert (report.delivered, report.ok, report.held) == (5, 5, 0)


@pytest.mark.parametrize("demand", [1, 2, 1000])
def test_windows_are_not_cut_by_demand(demand):
    items = [(n / 100, 1) for n in range(1000)]
    seen, report = results(items, total(windows.Fixed("5s")), demand=Demand(demand, min_demand=0))
    assert [message.data.value for message in seen] == [500, 500]
    assert report.ok == 1000


def test_credit_returns_when_a_message_is_folded_and_the_accumulators_are_charged():
    demand = Demand(10, max_bytes="1MB")
    held = []

    def look(batch):
        if len(batch):
            held.append((demand.in_flight, demand.in_flight_bytes))

    chain = from_iterable(
        [(n, bytes(100)) for n in range(100)], demand, batch=5, size_of=lambda item: 100
    ).pipe(
        ops.reduce(
            lambda seen, item: [*seen, item[1]],
            initial=list,
            window=windows.Fixed("1h"),
            time=lambda item: float(item[0]),
        ),
        rx.do_action(look),
        ops.settle(),
    )
    assert run(chain).ok == 100
    ((in_flight, nbytes),) = held
    assert in_flight == 0  # the result is no record
    assert 10_000 < nbytes < 60_000
    assert (demand.in_flight, demand.in_flight_bytes) == (0, 0)
    assert demand.peak <= 10


def test_accumulators_may_take_a_quarter_of_the_bytes_and_others_go_on():
    demand = Demand(10, max_bytes="100kB")
    seen, report = results(
        [(0.0, bytes(1000), n % 100) for n in range(300)],
        keyed(lambda item: item[2]),
        ops.reduce(
            lambda seen, item: [*seen, item[1]], initial=list, window=windows.Fixed("1s"), time=lambda i: i[0]
        ),
        demand=demand,
    )
    refused = [message for message in seen if message.failure is not None]
    assert {type(message.failure.error) for message in refused} == {LimitExceededError}
    assert sum(message.data.count for message in seen if message.failure is None) + len(refused) == 300
    assert demand.peak_bytes < 60_000
    assert report.failed == len(refused)


def test_a_message_of_several_windows_is_folded_into_each():
    seen, report = results([(n, 1) for n in (0.5, 1.5, 2.5)], total(windows.Sliding("2s", "1s")))
    assert [value[1:3] for value in values(seen)] == [(-1, 1), (0, 2), (1, 2), (2, 1)]
    assert (report.delivered, report.ok) == (3, 3)


def test_a_message_that_is_in_no_window_is_skipped():
    seen, report = results([(0.5, 1), (1.5, 2)], total(windows.Sliding("1s", "2s")))
    assert [value[1:3] for value in values(seen)] == [(0, 1)]
    assert (report.ok, report.skipped) == (1, 1)


def test_a_message_that_connects_sessions_leaves_no_record_behind():
    items = [(n, 1) for n in (1.0, 4.0, 7.0, 2.5, 5.5, 30.0, 33.0, 31.5)]
    seen, report = results(
        items, total(windows.Session("2s"), disorder="10s", merge=lambda one, other: one + other)
    )
    assert [message.data.value for message in seen] == [5, 3]
    assert (report.delivered, report.ok, report.held) == (8, 8, 0)


def test_bad_data_fails_its_message_and_the_window_goes_on():
    items = [(0.0, 1), ("noon", 2), (0.2, "two"), (0.3, 4)]
    seen, report = results(items, total(windows.Fixed("1s")))
    failures = [type(message.failure.error) for message in seen if message.failure]
    assert failures == [ValueError, TypeError]
    assert values(seen[-1:]) == [(None, 0, 5, "final")]
    assert (report.ok, report.failed) == (2, 2)


def test_a_key_that_cannot_be_one_fails_its_message():
    seen, report = results([(0.0, 1)], keyed(lambda item: [1]), total(windows.Fixed("1s")))
    assert isinstance(seen[0].failure.error, TypeError)
    assert report.failed == 1


def test_when_the_result_cannot_be_made_its_records_fail_with_it():
    seen, report = results([(0.0, 0), (0.1, 0)], total(windows.Fixed("1s"), result=lambda total: 1 // total))
    assert isinstance(seen[0].failure.error, ZeroDivisionError)
    assert (seen[0].data.window, report.failed) == ((0, SECOND), 2)


def test_failed_messages_pass():
    seen, _ = results(["x", "1"], ops.map(int), ops.reduce(lambda total, n: total + n, initial=0))
    assert isinstance(seen[0].failure.error, ValueError)
    assert seen[1].data.value == 1


def test_early_results_are_exact_whatever_the_batch():
    for batch in (1, 7, 64):
        seen, _ = results([(0.0, 1)] * 10, total(windows.Fixed("1s"), trigger=windows.Every(3)), batch=batch)
        assert [(m.data.value, m.data.firing) for m in seen] == [
            (3, "early"),
            (6, "early"),
            (9, "early"),
            (10, "final"),
        ]


def pulling(arrivals, until):
    """A source of what arrives at certain seconds of a fake clock."""
    clock = FakeClock()

    def pull(count):
        for when in sorted(arrivals):
            if when <= clock.now():
                return arrivals.pop(when)
        return [] if arrivals or clock.now() < until else None

    return clock, pull


def timed(arrivals, operator, *, until=10.0):
    clock, pull = pulling(arrivals, until)
    seen = []

    def note(messages):
        seen.extend((round(clock.now(), 1), message.data.value, message.data.firing) for message in messages)

    run(from_pull(pull, Demand(10), idle=0.1).pipe(operator, ops.settle(note)), runtime=clock)
    return seen


def test_a_timer_gives_an_early_result_though_nothing_comes():
    seen = timed(
        {0.0: [(0.0, 1)], 1.0: [(0.1, 2)]}, total(windows.Fixed("1h"), trigger=windows.After("3s"), idle=None)
    )
    assert seen == [(3.0, 3, "early"), (10.1, 3, "final")]


def test_many_results_leave_in_portions_and_markers_behind_them():
    demand = Demand(10, min_demand=0)
    sizes = []
    chain = from_iterable([(0.0, n) for n in range(95)], demand).pipe(
        keyed(lambda item: item[1]),
        total(windows.Fixed("1s")),
        rx.do_action(lambda batch: sizes.append(len(batch))),
        ops.settle(),
    )
    assert run(chain).ok == 95
    assert sum(sizes) == 95
    assert max(sizes) <= 10


def test_options_that_cannot_be_are_refused():
    for options in ({"late": ""}, {"lateness": "soon"}, {"idle": 0}, {"initial": []}):
        with pytest.raises(ConfigError):
            ops.reduce(lambda total, item: total, **{"initial": 0, **options})


def test_windows_of_a_number_of_pieces_have_names_of_their_own():
    split = ops.split(list)
    chunks = ops.reduce(lambda items, item: [*items, item], initial=list, window=windows.Count(2))
    seen, _ = results([[1, 2, 3, 4, 5], [6]], split, chunks)
    assert [message.data.value for message in seen] == [[1, 2], [3, 4], [5, 6]]
    assert len({message.data.window for message in seen}) == 3


def test_periodic_windows_do_not_mind_a_clock_that_is_set_back():
    class SetBack(FakeClock):
        def wall_ns(self):
            return int(1e18 if self.now() < 1.5 else 1e17)

    clock, seen = SetBack(), []

    def items():
        for n in range(5):
            yield n
            clock.advance(1.0)

    chain = from_iterable(items(), Demand(10), batch=1).pipe(
        ops.reduce(lambda total, n: total + 1, initial=0, window=windows.Periodic("1s")),
        ops.settle(seen.extend),
    )
    assert run(chain, runtime=clock).ok == 5
    assert [message.data.value for message in seen] == [1] * 5


def test_windows_wait_while_another_chain_holds_all_bytes_of_a_demand_that_is_shared():
    clock, demand, items, turns = FakeClock(), Demand(4, max_bytes=100_000), [(0.0, 1), (61.0, 2)], []

    def turn():
        turns.append(demand.in_flight)
        if len(turns) == 4:
            assert demand.take([100_000]) == 1  # the other chain's; nothing of ours is in flight
        if len(turns) == 8:
            demand.settle(1, 100_000)

    def pull(n):
        if items and len(turns) not in range(1, 10):
            return [items.pop(0)]
        return [] if len(turns) < 12 else None

    seen = []
    chain = from_pull(pull, demand, idle=0.01, on_turn=turn).pipe(
        total(windows.Fixed("1min")), ops.settle(lambda messages: seen.extend(m.data.value for m in messages))
    )
    run(chain, runtime=clock)
    assert (sum(seen), demand.in_flight, demand.in_flight_bytes) == (3, 0, 0)
