"""Early results: pure state."""

import pytest

from streamzarr.flow.windows import (
    After,
    Every,
    Fixed,
    Global,
    When,
)
from streamzarr.flow.windows.moments import SECOND
from streamzarr.flow.windows.panes import Panes
from streamzarr.flow.windows.reduction import Reduction
from tests.support.panes import fold, given, total


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
