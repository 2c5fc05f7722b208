"""Windows as pure state: kinds, moments, watermarks, triggers, lateness, bounds."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from streamzarr.errors import ConfigError, LateError, LimitExceededError
from streamzarr.flow.acknowledge import Claim, Hold
from streamzarr.flow.delivery import Delivery, Fate
from streamzarr.flow.demand.credits import Demand
from streamzarr.flow.windows import (
    After,
    Bound,
    Count,
    Every,
    Fixed,
    Global,
    Periodic,
    Session,
    Sliding,
    When,
    Window,
)
from streamzarr.flow.windows.bound import estimate
from streamzarr.flow.windows.moments import FIRST, LAST, duration, moment
from streamzarr.flow.windows.panes import Panes
from streamzarr.flow.windows.reduction import Reduction
from streamzarr.flow.windows.watermark import Watermarks

SECOND = 10**9


class Since(timedelta):
    """A difference as pandas has it."""

    nanoseconds = 7


class Stamp(datetime):
    """A time as pandas has it: with nanoseconds, which only its difference to another one tells."""

    def __sub__(self, other):
        difference = super().__sub__(other)
        return Since(difference.days, difference.seconds, difference.microseconds)


class NotATime(datetime):
    """As pandas.NaT: a datetime that equals nothing."""

    def __eq__(self, other):
        return False

    __hash__ = None


def total(window, **options):
    return Panes(Reduction(lambda total, value: total + value, 0, window, **options))


def fold(panes, moment, value, *, claim="p", key="k", now=0.0):
    for window in panes.reduction.window.windows(moment):
        panes.fold(claim, key, window, value, now)


def given(panes):
    """What the results say: window in seconds, value, firing."""
    return [
        (
            result.window.start / SECOND if result.window.start > FIRST else None,
            result.window.stop / SECOND if result.window.stop < LAST else None,
            result.value,
            result.firing,
        )
        for result, *_ in panes.take_all()
    ]


# -- time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (-5, -5),
        (1.25, 1_250_000_000),
        (np.float32(0.5), 500_000_000),
        (np.int64(7), 7),
        (np.datetime64("1970-01-02"), 86400 * SECOND),
        (np.datetime64("2021-01-08T00:00:00.278"), 1610064000278000000),
        (np.datetime64(123456789, "ns"), 123456789),
        (datetime(1970, 1, 1, 0, 0, 1, 5), SECOND + 5000),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), SECOND),
        (datetime(1970, 1, 1, 2, 0, 1, tzinfo=timezone(timedelta(hours=2))), SECOND),
        (Stamp(1970, 1, 1, tzinfo=UTC), 7),
        (datetime(2026, 7, 1, 2, tzinfo=ZoneInfo("Europe/Berlin")), 1782864000 * SECOND),
    ],
)
def test_moments_are_nanoseconds_whatever_they_come_as(value, expected):
    assert moment(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        NotATime(1, 1, 1),
        None,
        True,
        "12:00",
        float("nan"),
        float("inf"),
        1e300,
        2**62,
        -(2**62),
        np.datetime64("NaT"),
        object(),
    ],
)
def test_what_is_no_moment_is_refused(value):
    with pytest.raises(ValueError, match="the time of a message is"):
        moment(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("1min", 60), ("1.5 h", 5400), ("2d", 172800), (0.25, 0.25), ("250ms", 0.25)],
)
def test_durations(text, seconds):
    assert duration(text, "size") == seconds * SECOND
    assert duration(timedelta(seconds=seconds), "size") == seconds * SECOND


@pytest.mark.parametrize("value", ["1 fortnight", "", -1, float("nan"), None, True, 0, "0s"])
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ConfigError, match="the size is"):
        duration(value, "the size", least=1)


# -- kinds -------------------------------------------------------------------------------------------------


def test_fixed_windows_are_half_open_also_before_the_epoch():
    assert Fixed("10s").windows(10 * SECOND) == (Window(10 * SECOND, 20 * SECOND),)
    assert Fixed("10s").windows(10 * SECOND - 1) == (Window(0, 10 * SECOND),)
    assert Fixed("10s").windows(-1) == (Window(-10 * SECOND, 0),)
    assert Fixed("1h", offset="15min").windows(0) == (Window(-2700 * SECOND, 900 * SECOND),)


@pytest.mark.parametrize(("size", "every"), [(10, 3), (10, 5), (10, 10), (3, 10), (1, 1), (7, 2)])
def test_sliding_windows_are_all_that_hold_the_moment(size, every):
    kind = Sliding(f"{size}ns", f"{every}ns")
    for at in range(-25, 25):
        expected = [
            Window(start, start + size)
            for start in range(-every * 30, every * 30, every)
            if start <= at < start + size
        ]
        assert list(kind.windows(at)) == expected


def test_windows_that_cannot_be_are_refused():
    for make in (lambda: Fixed(0), lambda: Sliding("1h", "1ms"), lambda: Session(-1), lambda: Count(0)):
        with pytest.raises(ConfigError):
            make()
    with pytest.raises(ConfigError, match="expected initial=list"):
        Reduction(lambda total, value: total, [], Fixed(1))
    with pytest.raises(ConfigError, match="merge="):
        Reduction(lambda total, value: total, 0, Session(1))
    with pytest.raises(ConfigError, match="fail or early"):
        Bound(then="drop")


# -- results -----------------------------------------------------------------------------------------------


def test_a_fixed_window_gives_its_result_when_the_watermark_has_passed_it():
    panes = total(Fixed("1s"))
    for at, value in [(0.1, 1), (0.9, 2), (1.0, 4)]:
        fold(panes, int(at * SECOND), value)
    panes.advance(SECOND - 1)
    assert given(panes) == []
    panes.advance(SECOND)
    assert given(panes) == [(0, 1, 3, "final")]
    assert panes.accumulators == 1


def test_results_come_in_the_order_of_their_ends():
    panes = total(Sliding("2s", "1s"))
    for at in (3, 1, 2):
        fold(panes, at * SECOND, at)
    panes.advance(10 * SECOND)
    assert given(panes) == [(0, 2, 1, "final"), (1, 3, 3, "final"), (2, 4, 5, "final"), (3, 5, 3, "final")]
    assert (panes.accumulators, panes.nbytes) == (0, 0)


def test_a_message_behind_the_watermark_is_late_and_changes_nothing():
    panes = total(Fixed("1s"))
    panes.advance(SECOND)
    with pytest.raises(LateError, match="window 0 to 1000000000"):
        fold(panes, 5, 1)
    assert (panes.accumulators, given(panes)) == (0, [])


def test_late_messages_within_the_allowance_update_their_window_and_are_marked():
    panes = total(Fixed("1s"), lateness=2 * SECOND)
    fold(panes, 0, 1)
    panes.advance(SECOND)
    assert given(panes) == [(0, 1, 1, "final")]
    fold(panes, 1, 2)
    fold(panes, 2, 3)
    assert given(panes) == [(0, 1, 6, "late")]
    fold(panes, 3, 4, key="other")  # nobody had seen it
    panes.advance(3 * SECOND - 1)
    fold(panes, 4, 1)
    assert given(panes) == [(0, 1, 4, "late"), (0, 1, 7, "late")]
    panes.advance(3 * SECOND)
    with pytest.raises(LateError):
        fold(panes, 5, 1)
    assert (panes.accumulators, panes.nbytes, given(panes)) == (0, 0, [])


def test_sessions_end_after_a_silence():
    panes = total(Session("2s"), merge=lambda one, other: one + other)
    for at in (1, 2, 4, 10):
        fold(panes, at * SECOND, at)
    panes.advance(20 * SECOND)
    assert given(panes) == [(1, 4, 3, "final"), (4, 6, 4, "final"), (10, 12, 10, "final")]


def test_a_message_that_connects_two_sessions_makes_one_of_them():
    panes = total(Session("2s"), merge=lambda one, other: one + other)
    for at in (1, 4, 2.5):
        fold(panes, int(at * SECOND), at)
    assert panes.accumulators == 1
    panes.advance(20 * SECOND)
    assert given(panes) == [(1, 6, 7.5, "final")]


def test_a_session_that_grew_after_its_result_says_what_it_replaces():
    panes = total(Session("2s"), merge=lambda one, other: one + other, lateness=10 * SECOND)
    fold(panes, SECOND, 1)
    fold(panes, 4 * SECOND, 4)
    panes.advance(6 * SECOND)
    assert given(panes) == [(1, 3, 1, "final"), (4, 6, 4, "final")]
    fold(panes, int(2.5 * SECOND), 2)
    (late,) = panes.take_all()
    assert (late.result.value, late.result.firing, late.result.window) == (7, "late", (SECOND, 6 * SECOND))
    assert late.result.replaces == ((SECOND, 3 * SECOND), (4 * SECOND, 6 * SECOND))


def test_a_session_of_several_counts_and_owes_for_all_of_them():
    panes = total(Session("2s"), merge=lambda one, other: one + other)
    claim = Claim(None, 0, None)
    claim.window.deliver(0, 3)
    for offset, at in enumerate((4, 1, 2.5)):
        (window,) = panes.reduction.window.windows(int(at * SECOND))
        panes.fold(claim, "k", window, at).extend(claim, offset)
    claim.window.ack(0)
    panes.advance(20 * SECOND)
    (session,) = panes.take_all()
    assert (session.result.count, session.result.value) == (3, 7.5)
    assert claim.position == 0
    session.hold.release(Fate.OK)
    assert claim.position == 3


def test_a_session_that_late_messages_have_reopened_has_another_final_result():
    panes = total(Session("2s"), merge=lambda one, other: one + other, lateness=10 * SECOND)
    fold(panes, SECOND, 1)
    panes.advance(3 * SECOND)
    assert given(panes) == [(1, 3, 1, "final")]
    fold(panes, int(2.5 * SECOND), 2)
    panes.advance(4 * SECOND)
    assert given(panes) == []
    panes.advance(5 * SECOND)
    assert given(panes) == [(1, 4.5, 3, "final")]


def test_when_the_fold_raises_sessions_stay_apart():
    def add(total, value):
        if value == "bad":
            raise ValueError(value)
        return total + value

    panes = Panes(Reduction(add, 0, Session("2s"), merge=lambda one, other: one + other))
    fold(panes, SECOND, 1)
    fold(panes, 4 * SECOND, 4)
    with pytest.raises(ValueError, match="bad"):
        fold(panes, int(2.5 * SECOND), "bad")
    panes.advance(20 * SECOND)
    assert given(panes) == [(1, 3, 1, "final"), (4, 6, 4, "final")]


def test_count_windows_are_full_by_number_and_named_by_their_first_message():
    panes = Panes(Reduction(lambda seen, value: [*seen, value], list, Count(2)))
    for number, (key, value) in enumerate([("a", 1), ("b", 2), ("a", 3), ("a", 4)]):
        fold(panes, number, value, key=key)
    panes.advance(LAST - 1)  # time does not close them
    assert [(r.key, r.window.start, r.value) for r, *_ in panes.take_all()] == [("a", 0, [1, 3])]
    panes.finish()
    assert [(r.key, r.window.start, r.value) for r, *_ in panes.take_all()] == [("b", 1, [2]), ("a", 3, [4])]


def test_the_global_window_ends_with_the_source():
    panes = total(Global(), triggers=(Every(2),))
    for value in (1, 2, 3):
        fold(panes, value, value)
    panes.finish()
    assert given(panes) == [(None, None, 6, "final")]  # the early one had not been taken: it is part of it


def test_periodic_windows_follow_the_clock_that_is_handed_in():
    panes = total(Periodic("1s"))
    fold(panes, int(0.5 * SECOND), 1)
    panes.advance(SECOND)
    fold(panes, SECOND, 2)
    panes.advance(2 * SECOND)
    assert given(panes) == [(0, 1, 1, "final"), (1, 2, 2, "final")]


# -- triggers ----------------------------------------------------------------------------------------------


def test_every_n_messages_an_early_result_of_all_so_far():
    panes = total(Fixed("1s"), triggers=(Every(2),))
    seen = []
    for value in (1, 2, 3, 4, 5):
        fold(panes, 0, value)
        seen += given(panes)
    panes.advance(SECOND)
    assert seen + given(panes) == [(0, 1, 3, "early"), (0, 1, 10, "early"), (0, 1, 15, "final")]


def test_with_reset_each_result_holds_what_came_since_the_last():
    panes = total(Fixed("1s"), triggers=(Every(2, reset=True),))
    results = []
    for value in (1, 2, 3, 4, 5):
        fold(panes, 0, value)
        results += [each.result for each in panes.take_all()]
    panes.advance(SECOND)
    results += [each.result for each in panes.take_all()]
    assert [(r.value, r.count, r.firing, r.pane, r.partial) for r in results] == [
        (3, 2, "early", 0, True),
        (7, 2, "early", 1, True),
        (5, 1, "final", 2, True),
    ]


def test_after_a_delay_an_early_result():
    panes = total(Fixed("10s"), triggers=(After("3s"),))
    fold(panes, 0, 1, now=100.0)
    fold(panes, 0, 1, key="other", now=101.0)
    fold(panes, 0, 2, now=102.0)
    assert panes.due() == 103.0
    panes.tick(102.9)
    assert given(panes) == []
    panes.tick(103.0)
    assert given(panes) == [(0, 10, 3, "early")]
    assert panes.due() == 104.0
    panes.advance(10 * SECOND)
    assert panes.due() is None
    assert given(panes) == [(0, 10, 3, "final"), (0, 10, 1, "final")]


def test_when_a_predicate_says_so():
    panes = total(Fixed("1s"), triggers=(When(lambda total: total >= 5),))
    seen = []
    for value in (2, 2, 2):
        fold(panes, 0, value)
        seen += given(panes)
    assert seen == [(0, 1, 6, "early")]


@pytest.mark.parametrize("reset", [False, True])
def test_a_predicate_that_raises_fails_an_early_result_and_no_message(reset):
    panes = total(Fixed("1s"), triggers=(When(lambda total: 1 / (total - 3) > 1, reset=reset),))
    fold(panes, 0, 1)
    fold(panes, 0, 2)
    (failed,) = panes.take_all()
    assert isinstance(failed.error, ZeroDivisionError)
    assert (failed.result.firing, failed.result.value, failed.hold) == ("early", None, None)
    panes.advance(SECOND)
    assert given(panes) == [(0, 1, 3, "final")]


def test_a_size_that_cannot_be_told_fails_an_early_result_and_no_message():
    panes = total(Fixed("1s"), size_of=lambda value: 8 if value != 3 else 1 // 0)
    for value in (1, 2, 4):
        fold(panes, 0, value)
        panes.advance(SECOND * (value == 4))
    (result,) = panes.take_all()  # the error gave way to the final result
    assert (result.result.value, result.error) == (7, None)


def test_windows_that_make_room_again_have_other_numbers():
    panes = total(Fixed("1min"), bound=Bound(keys=1, then="early"))
    for at, key in enumerate("ababa"):
        fold(panes, at * SECOND, 1, key=key)
    panes.advance(60 * SECOND)
    names = [(each.result.key, each.result.pane) for each in panes.take_all()]
    assert len(names) == len(set(names)) == 5


def test_an_early_result_does_not_change_when_more_is_folded():
    def append(values, value):
        values.append(value)
        return values

    panes = Panes(Reduction(append, list, Fixed("1s"), triggers=(Every(1),)))
    fold(panes, 0, 1)
    (first,) = panes.take_all()
    fold(panes, 0, 2)
    assert first.result.value == [1]


def test_what_the_result_function_raises_is_handed_out_with_the_window():
    panes = total(Fixed("1s"), result=lambda total: 1 // total)
    fold(panes, 0, 0)
    panes.advance(SECOND)
    (failed,) = panes.take_all()
    assert isinstance(failed.error, ZeroDivisionError)
    assert (failed.result.key, failed.result.window, failed.result.value) == ("k", (0, SECOND), None)


# -- partitions --------------------------------------------------------------------------------------------


def test_parts_of_partitions_are_merged_only_if_it_is_said_how():
    apart, joined = total(Fixed("1s")), total(Fixed("1s"), merge=lambda one, other: one + other)
    for panes in (apart, joined):
        fold(panes, 0, 1, claim="p0")
        fold(panes, 0, 2, claim="p1")
        panes.advance(SECOND)
    assert given(apart) == [(0, 1, 1, "final"), (0, 1, 2, "final")]
    assert given(joined) == [(0, 1, 3, "final")]


@pytest.mark.parametrize("merge", [None, lambda one, other: one + other])
def test_what_is_abandoned_is_in_no_result_and_takes_no_room(merge):
    panes = total(Fixed("1s"), merge=merge)
    fold(panes, 0, 1, claim="p0")
    fold(panes, 0, 2, claim="p1")
    fold(panes, 0, 4, claim="p1", key="other")
    fold(panes, 2 * SECOND, 8, claim="p1")
    panes.advance(SECOND)  # two or three of them are waiting to be taken
    holds = panes.abandon(["p1"])
    assert given(panes) == [(0, 1, 1, "final")]
    assert len(holds) == 3
    assert (panes.accumulators, panes.nbytes) == (0, 0)


def test_the_watermark_is_the_least_of_the_partitions():
    marks = Watermarks(disorder=10)
    marks.observe("a", 100, 0.0)
    marks.observe("b", 50, 0.0)
    assert marks.read(0.0) == 40
    marks.observe("b", 70, 0.0)
    marks.observe("b", 60, 0.0)
    assert marks.read(0.0) == 60
    marks.close("b")
    assert marks.read(0.0) == 90


def test_an_idle_partition_is_left_out_and_comes_back_without_a_step_back():
    marks, panes = Watermarks(idle=5.0), total(Fixed("100ns"))
    for name, at in (("a", 110), ("b", 50)):
        panes.open(name)
        marks.observe(name, at, 0.0)
        fold(panes, at, at, claim=name)
    marks.observe("a", 220, 4.0)
    assert marks.read(4.9) == 50
    assert marks.due() == 5.0
    assert marks.read(5.0) == 220
    panes.advance(220)
    assert [given.result.value for given in panes.take_all()] == [50, 110]
    assert marks.observe("b", 60, 6.0)
    panes.advance(marks.read(6.0))  # it counts again
    assert panes.mark == 60
    for name in "ab":
        with pytest.raises(LateError):
            fold(panes, 150, 1, claim=name)  # but what was over stays over
    fold(panes, 200, 7, claim="b")
    panes.advance(300)
    assert [given.result.value for given in panes.take_all()] == [7]


def test_time_in_which_a_partition_could_not_be_read_is_no_silence():
    marks = Watermarks(idle=5.0)
    for name, at in (("a", 110), ("b", 50)):
        marks.observe(name, at, 0.0)
    marks.listen("a", 4.0, caught_up=True)
    marks.listen("b", 4.0, caught_up=False)
    assert marks.due() == 5.0  # of a
    assert marks.read(8.0) == 50
    marks.listen("b", 1.0, caught_up=True)
    assert marks.due() == 9.0
    assert marks.read(9.0) == 110


def test_what_a_partition_brings_that_is_new_and_far_behind_is_not_late():
    panes = total(Fixed("100ns"))
    panes.open("a")
    fold(panes, 1000, 1, claim="a")
    panes.advance(1100)
    panes.advance(FIRST)
    panes.open("b")
    fold(panes, 50, 2, claim="b")
    with pytest.raises(LateError):
        fold(panes, 50, 4, claim="a")
    panes.advance(100)
    assert [(given.result.value, given.result.firing) for given in panes.take_all()] == [
        (1, "final"),
        (2, "final"),
    ]


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_when_all_are_idle_the_farthest_counts_whoever_fell_silent_first(order):
    marks = Watermarks(idle=5.0)
    for now, name in enumerate(order):
        marks.observe(name, {"a": 100, "b": 50}[name], float(now))
    marks.read(5.5)
    assert marks.read(50.0) == 100


# -- bounds ------------------------------------------------------------------------------------------------


def test_at_the_bound_new_keys_fail_and_those_there_go_on():
    panes = total(Fixed("1s"), bound=Bound(keys=2))
    fold(panes, 0, 1, key="a")
    fold(panes, 0, 1, key="b")
    with pytest.raises(LimitExceededError, match="2 accumulators"):
        fold(panes, 0, 1, key="c")
    fold(panes, 0, 1, key="a")
    panes.advance(SECOND)
    assert [value for *_, value, _ in given(panes)] == [2, 1]
    fold(panes, SECOND, 1, key="c")


def test_at_the_bound_of_bytes_growth_fails():
    panes = Panes(
        Reduction(lambda seen, value: [*seen, value], list, Fixed("1s"), bound=Bound(nbytes="10kB"))
    )
    while panes.nbytes <= 10_000:
        fold(panes, 0, 1.5)
    with pytest.raises(LimitExceededError):
        fold(panes, 0, 1.5)
    assert 10_000 < panes.nbytes < 11_000


def test_at_the_bound_the_oldest_windows_are_given_early_and_marked():
    panes = total(Fixed("1s"), bound=Bound(keys=2, then="early"))
    for at, key in [(5, "a"), (1, "b"), (3, "c"), (1, "b")]:
        fold(panes, at * SECOND, 1, key=key)
    early = [each.result for each in panes.take_all()]
    assert [(r.key, r.firing, r.partial) for r in early] == [("b", "early", True), ("b", "early", True)]
    panes.advance(10 * SECOND)
    rest = [each.result for each in panes.take_all()]
    assert [(r.key, r.partial) for r in rest] == [("c", False), ("a", False)]


@pytest.mark.parametrize("kind", [Fixed("1s"), Global(), Count(100), Sliding("3s", "1s")])
def test_at_the_bound_nothing_is_lost_and_the_state_stays_small(kind):
    panes = total(kind, bound=Bound(keys=10, then="early"))
    seen = []
    for number in range(2000):
        fold(panes, number * 10**7, 1, key=number % 37)
        seen += [each.result for each in panes.take_all()]
        assert panes.accumulators <= 10
        assert len(panes._agenda._entries) < 200
    panes.finish()
    seen += [each.result for each in panes.take_all()]
    expected = sum(len(kind.windows(number * 10**7)) for number in range(2000))
    assert sum(result.value for result in seen) == expected
    assert (panes.accumulators, panes.nbytes) == (0, 0)


def test_sizes_are_estimated_in_constant_time():
    assert estimate(np.zeros(100)) >= 800
    assert estimate(["x" * 100] * 50) > 5000
    assert estimate({"a": [1.0] * 100}) > 800
    assert estimate({1, 2, 3}) > estimate(())


# -- holds -------------------------------------------------------------------------------------------------


def held(panes):
    claim = Claim(None, 0, None)
    claim.window.deliver(7)
    hold = panes.fold(claim, "k", Window(0, SECOND), 1)
    hold.extend(claim, 7)
    claim.window.ack(7)
    return claim


def test_the_position_waits_for_the_last_result_that_needs_the_record():
    panes = total(Fixed("1s"), lateness=SECOND, triggers=(Every(1),))
    claim = held(panes)
    (early,) = panes.take_all()
    assert early.hold is None
    panes.advance(SECOND)
    (final,) = panes.take_all()
    assert claim.position == 7
    final.hold.release(Fate.OK)
    assert claim.position == 7  # a late message would need the accumulator again
    panes.advance(2 * SECOND)
    assert claim.position == 8


def test_the_position_waits_for_a_result_that_is_on_its_way_when_the_allowance_ends():
    panes = total(Fixed("1s"), lateness=SECOND)
    claim = held(panes)
    panes.advance(SECOND)
    (final,) = panes.take_all()
    panes.advance(2 * SECOND)
    assert claim.position == 7
    final.hold.release(Fate.OK)
    assert claim.position == 8


def test_the_end_of_a_chain_lets_no_position_pass_an_open_window():
    claim, hold = Claim(None, 0, Demand(2)), Hold()
    for seq, offset in ((1, 7), (2, 8)):
        claim.deliver(Delivery(seq, [1], None, [offset]), offset + 1)
    claim.release(1, Fate.FOLDED, hold)
    claim.end()  # 8 is left behind
    assert claim.position == 7


def test_what_was_folded_for_a_lost_partition_leaves_the_hold_that_others_share():
    mine, lost = Claim(None, 0, Demand(2)), Claim(None, 0, Demand(2))
    hold = Hold()
    for claim in (mine, lost):
        claim.deliver(Delivery(1, [1], None, [7]), 8)
        claim.release(1, Fate.FOLDED, hold)
    lost.ours = False
    assert hold.ours
    assert [(gone.records, gone.fate) for gone in hold.forget([lost])] == [(1, Fate.HANDED_BACK)]
    assert mine.position == 7
    assert [(gone.records, gone.fate) for gone in hold.release(Fate.OK)] == [(1, Fate.OK)]
    assert mine.position == 8


def test_with_reset_a_window_of_late_messages_is_added_up_as_well():
    panes = total(Fixed("1s"), triggers=(Every(2, reset=True),), lateness=10 * SECOND)
    for value in (1, 2, 4):
        fold(panes, 0, value)
    panes.advance(SECOND)
    got = given(panes)
    for value in (8, 16):
        fold(panes, 0, value)
        got += given(panes)
    assert sum(value for _, _, value, _ in got) == 31


def test_timers_that_are_over_take_no_room_behind_one_that_runs():
    panes = total(Global(), triggers=(After("1h"), Every(2)))
    fold(panes, 0, 1, key="quiet")
    for _ in range(2000):
        fold(panes, 0, 1, key="busy")
        assert panes.due() == 3600.0
        list(panes.take_all())
    assert len(panes._timers) < 100
