"""Results that are merged, batched and folded again."""

import pytest
import reactivex

from streamzarr.errors import TransformError
from streamzarr.flow import Demand, from_iterable, from_pull, ops, run, windows
from streamzarr.flow.windows.moments import SECOND
from streamzarr.testing.clock import FakeClock
from tests.support.reducing import keyed, results, total


def test_results_can_be_batched_and_folded_again():
    items = [(n / 10, 1, n % 3) for n in range(100)]
    seen, report = results(
        items,
        keyed(lambda item: item[2]),
        total(windows.Fixed("1s")),
        ops.batch(size=4),
        ops.map_messages(lambda message: message.replace(key=None)),
        ops.reduce(
            lambda total, result: total + result.value,
            initial=0,
            window=windows.Fixed("5s"),
            time=lambda result: result.window.start,
        ),
    )
    assert [message.data.value for message in seen] == [50, 50]
    assert (report.delivered, report.ok) == (100, 100)


@pytest.mark.parametrize("demand", [2, 100])
def test_results_of_all_keys_are_merged_when_the_last_of_the_window_has_come(demand):
    items = [(n / 10, 1, n % 3) for n in range(25)]
    seen, report = results(
        items,
        keyed(lambda item: item[2]),
        total(windows.Fixed("1s"), trigger=windows.Every(2)),
        ops.departition(lambda seen, result: {*seen, result.key}, initial=set, result=len),
        demand=Demand(demand),
    )
    assert [(m.data.window.start // SECOND, m.data.value, m.data.count) for m in seen] == [
        (0, 3, 10),
        (1, 3, 10),
        (2, 3, 5),
    ]
    assert (report.delivered, report.ok, report.held) == (25, 25, 0)


def test_late_results_are_merged_into_another_one():
    seen, _ = results(
        [(0.0, 1, "a"), (0.0, 2, "b"), (1.0, 4, "a"), (0.5, 8, "a"), (5.0, 16, "a")],
        keyed(lambda item: item[2]),
        total(windows.Fixed("1s"), lateness="1s"),
        ops.departition(lambda merged, result: merged + result.value, initial=0),
        batch=1,
    )
    assert [(m.data.window.start // SECOND, m.data.value, m.data.firing) for m in seen][:3] == [
        (0, 3, "final"),
        (0, 9, "late"),
        (1, 4, "final"),
    ]


def test_what_cannot_be_merged_fails():
    seen, report = results([1], ops.departition(lambda merged, result: merged, initial=0))
    assert isinstance(seen[0].failure.error, TransformError)
    seen, report = results(
        [(0.0, 1)],
        total(windows.Fixed("1s")),
        ops.departition(lambda merged, result: merged, initial=0, result=lambda merged: 1 / 0),
    )
    assert isinstance(seen[0].failure.error, ZeroDivisionError)
    assert report.failed == 1


@pytest.mark.parametrize("second", [1.0, 0.5])
def test_a_merged_value_whose_size_raises_fails_its_message_and_is_not_kept(second):
    def size_of(value):
        if value == (1,):
            raise AttributeError("no size")
        return 8

    seen, report = results(
        [(0.0, 1, "a"), (0.5, 2, "b"), (second, 4, "c")],
        keyed(lambda item: item[2]),
        total(windows.Fixed("1s")),
        ops.departition(lambda merged, result: (*merged, result.value), initial=tuple, size_of=size_of),
    )
    assert (report.delivered, report.ok, report.failed, report.held) == (3, 2, 1, 0)
    assert [str(m.failure.error) for m in seen if m.failure] == ["no size"]
    assert sorted(value for m in seen if not m.failure for value in m.data.value) == [2, 4]


def test_what_two_merged_sources_have_in_a_window_is_one_result():
    pulls = iter([[(0.5, 8)], *[[]] * 20, [(2.0, 16)], None])
    ways = [
        from_iterable([(0.0, 1), (1.0, 2), (2.0, 4)], Demand(9), batch=1),
        from_pull(lambda count: next(pulls), Demand(9), idle=0.01),
    ]
    seen = []
    chain = reactivex.merge(*(way.pipe(total(windows.Fixed("1s"))) for way in ways)).pipe(
        ops.departition(lambda merged, result: merged + result.value, initial=0), ops.settle(seen.extend)
    )
    assert run(chain, runtime=FakeClock()).ok == 5
    assert [(message.data.value, message.data.firing) for message in seen] == [
        (9, "final"),
        (2, "final"),
        (20, "final"),
    ]
