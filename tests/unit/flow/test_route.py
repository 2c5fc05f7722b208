"""Branches: each waits, flushes and drains by itself, and what comes out is joined."""

import threading
from collections import Counter

import pytest
import reactivex.operators as rx

from streamzarr.errors import ConfigError
from streamzarr.flow import Demand, Stop, from_iterable, from_pull, ops, run, windows
from streamzarr.flow.graph import staged
from streamzarr.flow.message import Barrier, Flush
from streamzarr.flow.stage import Stage
from streamzarr.testing.clock import FakeClock


def parity(message):
    return "odd" if message.data % 2 else "even"


def test_messages_go_through_the_branch_that_is_named_and_are_joined():
    seen = []
    chain = from_iterable(range(6), Demand(10)).pipe(
        ops.route(parity, {"odd": [ops.map(lambda n: -n)], "even": []}), ops.settle(seen.extend)
    )
    assert run(chain).ok == 6
    assert sorted(message.data for message in seen) == [-5, -3, -1, 0, 2, 4]


@pytest.mark.parametrize("chosen", ["nowhere", None, ["odd"]])
def test_a_name_that_is_no_branch_fails_the_message(chosen):
    seen = []
    chain = from_iterable([1], Demand(10)).pipe(
        ops.route(lambda message: chosen, {"odd": [], "even": []}), ops.settle(seen.extend)
    )
    assert run(chain).failed == 1
    assert f"chose {chosen!r}, expected one of 'odd', 'even'" in str(seen[0].failure.error)


def test_a_function_that_raises_fails_its_message_only():
    chain = from_iterable([1, 0], Demand(10)).pipe(
        ops.route(lambda message: str(1 // message.data), {"1": []}), ops.settle()
    )
    report = run(chain)
    assert (report.ok, report.failed) == (1, 1)


def test_what_has_failed_enters_no_branch():
    entered = []
    chain = from_iterable(["1", "x"], Demand(10)).pipe(
        ops.map(int),
        ops.route(lambda message: "all", {"all": [ops.map(entered.append)]}),
        ops.settle(),
    )
    assert run(chain).failed == 1
    assert entered == [1]


def test_a_selector_of_no_branch_is_refused():
    with pytest.raises(ConfigError, match=r"selectors are for \['b'\], expected names of \['a'\]"):
        ops.broadcast({"a": []}, {"b": bool})


def test_a_busy_branch_does_not_hold_back_what_waits_in_its_sibling():
    """All credit is out: half is at work in one branch, half waits in the other's batch, without a timer."""
    batched, seen = threading.Event(), []

    def slow(n):
        assert batched.wait(20), "the other branch's batch waited for this one's work"
        return n

    def note(batch):
        if batch.messages:
            seen.append(len(batch))
            batched.set()

    chain = from_iterable(range(10), Demand(10, min_demand=0)).pipe(
        ops.route(
            parity,
            {"odd": [ops.dispatch(slow, workers=1)], "even": [ops.batch(50), rx.do_action(note)]},
        ),
        ops.settle(),
    )
    assert run(chain).ok == 10
    assert seen == [5]


def test_a_batch_behind_a_busy_stage_waits_for_it():
    seen, go = [], threading.Event()
    chain = from_iterable(range(10), Demand(10, min_demand=0)).pipe(
        ops.dispatch(lambda n: go.wait(0.02) or n, workers=2),
        ops.batch(50),
        rx.do_action(lambda batch: seen.append(len(batch))),
        ops.settle(),
    )
    assert run(chain).ok == 10
    assert seen == [10]


def test_branches_may_be_nested_and_end_where_they_like():
    odd, rest = [], []
    chain = from_iterable(range(20), Demand(5)).pipe(
        ops.route(
            parity,
            {
                "odd": [ops.settle(lambda messages: odd.extend(m.data for m in messages)), rx.filter(bool)],
                "even": [
                    ops.route(
                        lambda message: str(message.data % 4), {"0": [ops.batch(3)], "2": [ops.map(str)]}
                    ),
                    ops.settle(lambda messages: rest.extend(m.data for m in messages)),
                ],
            },
        ),
    )
    assert run(chain).ok == 20
    assert sorted(odd) == list(range(1, 20, 2))
    assert sorted(map(int, rest)) == list(range(0, 20, 2))


def test_broadcast_settles_a_message_when_all_its_copies_are():
    demand, seen = Demand(4), Counter()
    chain = from_iterable(range(50), demand).pipe(
        ops.broadcast({"a": [ops.batch(3)], "b": [ops.dispatch(lambda n: n, workers=2)], "c": []}),
        ops.settle(lambda messages: seen.update(m.data for m in messages)),
    )
    report = run(chain)
    assert (report.ok, report.delivered) == (50, 50)
    assert set(seen.values()) == {3}
    assert demand.peak <= 4
    assert demand.in_flight == 0


def test_broadcast_by_selectors_skips_what_nobody_wants():
    seen = []
    chain = from_iterable(range(6), Demand(10)).pipe(
        ops.broadcast(
            {"odd": [], "big": [ops.map(lambda n: n * 100)]},
            {"odd": lambda m: m.data % 2 == 1, "big": lambda m: m.data > 3},
        ),
        ops.settle(lambda messages: seen.extend(m.data for m in messages)),
    )
    report = run(chain)
    assert sorted(seen) == [1, 3, 5, 400, 500]
    assert (report.ok, report.skipped) == (4, 2)


def test_of_copies_that_fail_only_the_first_is_a_dead_letter():
    letters, stored = [], []
    chain = from_iterable([0, 1], Demand(10)).pipe(
        ops.broadcast(
            {
                "a": [ops.map(lambda n: 1 // n, stage="a")],
                "b": [ops.map(lambda n: 2 // n, stage="b")],
                "c": [],
            }
        ),
        ops.settle(stored.extend, dead_letters=letters.extend),
    )
    report = run(chain)
    assert (report.ok, report.failed) == (1, 1)
    assert [(letter.data, letter.failure.stage) for letter in letters] == [(0, "a")]
    assert sorted(message.data for message in stored) == [0, 1, 1, 2]


def test_an_error_in_a_branch_breaks_the_chain_and_releases_everything():
    demand = Demand(4)
    chain = from_iterable(range(10), demand).pipe(
        ops.route(parity, {"odd": [rx.map(lambda batch: 1 / 0)], "even": []}), ops.settle()
    )
    with pytest.raises(ZeroDivisionError):
        run(chain)
    assert demand.in_flight == 0


def test_a_chain_with_branches_can_be_run_again():
    chain = from_iterable(range(10), Demand(4)).pipe(
        ops.route(parity, {"odd": [ops.batch(2)], "even": [ops.dispatch(lambda n: n)]}), ops.settle()
    )
    assert [run(chain).ok for _ in range(3)] == [10, 10, 10]


def test_a_stop_drains_every_branch():
    stop, begun = Stop(), threading.Event()

    def work(n):
        begun.set()
        stop.drain(20.0)
        return n

    chain = from_pull(lambda n: list(range(n)), Demand(10)).pipe(
        ops.route(parity, {"odd": [ops.dispatch(work)], "even": [ops.batch(100)]}), ops.settle()
    )
    report = run(chain, stop=stop)
    assert report.left == 0
    assert report.delivered == report.ok + report.handed_back
    assert report.ok >= 1


# -- markers ---------------------------------------------------------------------------------------------


class Inject(Stage):
    """Sends a marker behind the first messages it gets."""

    def __init__(self, chain, observer, marker):
        super().__init__(chain, observer)
        self.marker = marker

    def receive(self, messages):
        self.emit(messages)
        if self.marker is not None:
            marker, self.marker = self.marker, None
            self.emit_marker(marker)


@pytest.mark.parametrize(("kind", "passes_at"), [(Flush, 0.0), (Barrier, 3.0)])
def test_a_marker_passes_behind_all_that_came_before_it_in_every_branch(kind, passes_at):
    clock, settled, at = FakeClock(), [], []
    marker = kind(on_passed=lambda: at.append((round(clock.now()), sorted(settled))))
    arrivals = [list(range(4))]

    def pull(n):
        return arrivals.pop(0) if arrivals else ([] if clock.now() < 5 else None)

    chain = from_pull(pull, Demand(100), idle=0.1).pipe(
        staged(lambda chain, observer: Inject(chain, observer, marker)),
        ops.route(parity, {"odd": [ops.map(str)], "even": [ops.batch(100, timeout=3.0), ops.map(str)]}),
        ops.settle(lambda messages: settled.extend(m.data for m in messages)),
    )
    assert run(chain, runtime=clock).ok == 4
    assert at == [(passes_at, ["0", "1", "2", "3"])]


def test_a_marker_does_not_overtake_what_is_at_work():
    settled, at, go = [], [], threading.Event()
    marker = Barrier(on_passed=lambda: at.append(sorted(settled)))

    def work(n):
        if n < 4:
            assert go.wait(20)
        return n

    arrivals = [list(range(4)), [4, 5]]

    def pull(n):
        if arrivals:
            return arrivals.pop(0)
        go.set()
        return None

    chain = from_pull(pull, Demand(100)).pipe(
        staged(lambda chain, observer: Inject(chain, observer, marker)),
        ops.dispatch(work, workers=8),
        ops.settle(lambda messages: settled.extend(m.data for m in messages)),
    )
    assert run(chain).ok == 6
    assert at == [[0, 1, 2, 3]]


# -- windows in branches ---------------------------------------------------------------------------------


def counting():
    return ops.reduce(
        lambda count, item: count + 1, initial=0, window=windows.Fixed("10s"), time=lambda item: item[0]
    )


def merged(items, branches, *, then=()):
    """Count items by branch and window, merge the counts; return them as they come, with when they came."""
    seen, read = [], 0

    def reading():
        nonlocal read
        for read, item in enumerate(items):  # noqa: B007
            yield item

    chain = from_iterable(reading(), Demand(10), batch=1).pipe(
        ops.route(lambda message: message.data[1], branches),
        *then,
        ops.departition(lambda total, result: total + result.value, initial=0),
        ops.settle(lambda ms: seen.extend((m.data.window.start // 10**9, m.data, read) for m in ms)),
    )
    report = run(chain)
    assert report.failed == 0
    return [(start, result.value, result.firing) for start, result, _ in seen], [at for *_, at in seen]


def test_windows_of_all_branches_are_merged_once_each_and_while_the_source_goes_on():
    items = [(float(n), "ab"[n % 2]) for n in range(1000)]
    found, at = merged(items, {"a": [counting()], "b": [counting()]})
    assert found == [(start, 10, "final") for start in range(0, 1000, 10)]
    assert at[50] < 600, "they came only at the end"


@pytest.mark.parametrize("other", [[counting()], [], [ops.drop_if(lambda item: True)]])
def test_a_branch_that_has_nothing_does_not_hold_back_the_windows_of_another(other):
    found, at = merged([(float(n), "a") for n in range(1000)], {"a": [counting()], "b": other})
    assert found == [(start, 10, "final") for start in range(0, 1000, 10)]
    assert at[50] < 600, "they came only at the end"


def test_a_branch_that_has_fallen_silent_holds_back_its_open_window_and_nothing_before_it():
    items = [(float(n), "b" if n < 55 and n % 2 else "a") for n in range(100)]
    found, at = merged(items, {"a": [counting()], "b": [counting()]})
    assert found == [(start, 10, "final") for start in range(0, 100, 10)]
    assert at[4] < 60
    assert at[5] == 99, "the window of the silent branch is open until the end"


def test_windows_of_branches_inside_a_branch_are_merged_once_each():
    inner = ops.route(lambda message: f"{message.data[0] % 2}", {"0.0": [counting()], "1.0": [counting()]})
    found, at = merged([(float(n), "ab"[n // 2 % 2]) for n in range(400)], {"a": [inner], "b": [counting()]})
    assert found == [(start, 10, "final") for start in range(0, 400, 10)]
    assert at[20] < 300


def test_what_windows_before_the_branches_have_passed_goes_on_when_it_is_out_of_each():
    seen = []
    chain = from_iterable([float(n) for n in range(400)], Demand(10), batch=1).pipe(
        ops.partition_by(lambda at: int(at) % 2),
        ops.reduce(lambda n, at: n + 1, initial=0, window=windows.Fixed("10s"), time=lambda at: at),
        ops.route(lambda message: str(message.key), {"0": [], "1": [ops.dispatch(lambda result: result)]}),
        ops.departition(lambda total, result: total + result.value, initial=0),
        ops.settle(seen.extend),
    )
    assert run(chain).failed == 0
    assert [(m.data.value, m.data.firing) for m in seen] == [(10, "final")] * 40


def test_a_marker_of_one_branch_is_not_taken_for_a_later_one():
    out = []

    class Own(Stage):
        """Sends a marker of its own behind each message."""

        def receive(self, messages):
            self.emit(messages)
            self.emit_marker(Barrier())

    chain = from_iterable([0] * 500, Demand(10), batch=1).pipe(
        ops.route(lambda message: "a", {"a": [staged(Own)], "b": []}),
        staged(lambda chain, observer: Spy(chain, observer, out)),
        ops.settle(),
    )
    run(chain)
    assert out == []


class Spy(Stage):
    """Keeps the markers that come by."""

    def __init__(self, chain, observer, seen):
        super().__init__(chain, observer)
        self.seen = seen

    def receive(self, messages):
        self.emit(messages)

    def mark(self, marker):
        self.seen.append(marker)
        self.emit_marker(marker)
