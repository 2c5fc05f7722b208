"""Open slots of a grid: what times there may be, and what is judged by which."""

import warnings

import numpy as np
import pytest

from streamzarr.feeds import ColumnSpec
from streamzarr.feeds.grid.fold import Arrivals, GridFold
from streamzarr.feeds.grid.spec import GAP_SLOTS, GridSpec, Output
from streamzarr.feeds.grid.values import Values
from streamzarr.feeds.times import SPAN

COLUMNS = {"t": ColumnSpec("t", "M8[ns]"), "x": ColumnSpec("x", "f8")}
NONE = np.iinfo(np.int64).min


def fold(**changes):
    given = {"step": 10, "key": None, "keys": 1, "lateness": 0, "ahead": 1000, "values": {}} | changes
    spec = GridSpec("t", **given)
    return GridFold(spec, spec.outputs(COLUMNS))


def arrivals(*times, timely=False):
    count = len(times)
    return Arrivals(
        np.array(times, np.int64),
        np.zeros(count, np.intp),
        np.arange(count),
        np.arange(count),
        np.full(count, timely),
        {"x": np.ones(count)},
    )


@pytest.mark.parametrize("far", [-SPAN, SPAN, -(2**63) + 1, 2**63 - 1])
def test_a_time_beyond_the_span_is_bad_and_no_other_is_judged_by_it(far):
    judged = fold(ahead=SPAN - 1).judge(arrivals(far, 5, far, 25, NONE))
    assert sorted(judged.bad) == [0, 2, 4]
    assert "not between 1824 and 2116" in judged.bad[0]
    assert "missing" in judged.bad[4]
    assert judged.latest == 25


def test_times_at_the_ends_of_the_span_are_judged_without_overflow():
    judged = fold(ahead=SPAN - 1, lateness=SPAN - 1, dense=False).judge(arrivals(1 - SPAN, -1, SPAN - 2))
    assert judged.bad == {}
    assert judged.latest == SPAN - 2


def test_a_run_without_any_time_that_counts():
    judged = fold().judge(arrivals(NONE, SPAN))
    assert sorted(judged.bad) == [0, 1]
    assert judged.latest is None


def test_a_gap_of_a_grid_is_bounded_and_one_of_bars_costs_nothing():
    far = GAP_SLOTS * 1000
    rows = arrivals(0, far + 1, far)
    assert [*fold(step=1000, ahead=10**15).judge(rows).bad] == [1]
    bars = fold(step=1, ahead=10**17, dense=False)
    rows = arrivals(0, 10**17)
    slots = [*bars.take(rows, bars.judge(rows))]
    assert sum(len(each["time"]) for each in slots) == 1
    rows = arrivals(10**17 + 1)
    [closed] = bars.take(rows, bars.judge(rows))
    assert closed["count"].tolist() == [[1]]


def test_a_time_that_is_about_that_of_its_record_may_be_any_gap_ahead_that_can_be_stored():
    rows = arrivals(0, 5000, 5010)
    assert [*fold().judge(rows).bad] == [1, 2]
    rows.timely[1] = True
    judged = fold().judge(rows)
    assert (judged.bad, judged.latest) == ({}, 5010)
    far = GAP_SLOTS * 10
    judged = fold().judge(arrivals(0, far + 1, far, timely=True))
    assert judged.bad == {1: "t is more than 0.671 s ahead of all before"}
    assert fold(dense=False).judge(arrivals(0, SPAN - 1, timely=True)).bad == {}


def test_what_is_beyond_the_clock_does_not_count_for_what_comes_behind():
    rows = arrivals(0, 500, 5)
    judged = fold(step=1, ahead=10**6).judge(rows, 100)
    assert judged.bad == {1: "t is more than 0.001 s ahead of the clock"}
    assert judged.latest == 5


@pytest.mark.parametrize("how", ["sum", "mean"])
def test_sums_beyond_the_largest_float_are_infinite_without_a_warning(how):
    values = np.array([1.7e308, 1.7e308, np.inf, -np.inf, -1.7e308, -1.7e308, np.inf, 1.0])
    output = Output("x", "x", how, np.dtype("f8"), np.nan, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held = Values(output, 1)
        held.grow(4)
        held.fold(np.array([0, 0, 1, 1, 2, 2, 3, 3]), values)
        found = held.result()
        again = Values.of(output, found, np.full((4, 1), 2))
        again.fold(np.array([0]), values[:1])
    np.testing.assert_array_equal(found[:, 0], [np.inf, np.nan, -np.inf, np.inf])
    np.testing.assert_array_equal(again.result()[:, 0], [np.inf, np.nan, -np.inf, np.inf])


def test_a_mean_near_the_largest_float_goes_on_without_a_warning():
    output = Output("x", "x", "mean", np.dtype("f8"), np.nan, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(Values.of(output, np.array([[1e308]]), np.array([[1]])).result()).all()
        assert np.isinf(Values.of(output, np.array([[1e308]]), np.array([[2]])).result()).all()
