"""What windows give, and when: pure state."""

import pytest

from streamzarr.errors import LateError
from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.delivery import Fate
from streamzarr.flow.windows import (
    Count,
    Every,
    Fixed,
    Global,
    Periodic,
    Session,
    Sliding,
)
from streamzarr.flow.windows.moments import LAST, SECOND
from streamzarr.flow.windows.panes import Panes
from streamzarr.flow.windows.reduction import Reduction
from tests.support.panes import fold, given, total


def test_a_fixed_window_gives_its_result_when_the_watermark_has_passed_it():
    panes = total(Fixed("1s"))
    for at, value in [(0.1, 1), (0.9, 2), (1.0, 4)]:
        fold(panes, int(at * SECOND), value)
    panes.advance(SECOND - 1)
    assert given(panes) == []
    panes.advance(SECOND)
    assert given(panes) == [(0, 1, 3, "final")]
    assert panes.shelf.accumulators == 1


def test_results_come_in_the_order_of_their_ends():
    panes = total(Sliding("2s", "1s"))
    for at in (3, 1, 2):
        fold(panes, at * SECOND, at)
    panes.advance(10 * SECOND)
    assert given(panes) == [(0, 2, 1, "final"), (1, 3, 3, "final"), (2, 4, 5, "final"), (3, 5, 3, "final")]
    assert (panes.shelf.accumulators, panes.shelf.nbytes) == (0, 0)


def test_a_message_behind_the_watermark_is_late_and_changes_nothing():
    panes = total(Fixed("1s"))
    panes.advance(SECOND)
    with pytest.raises(LateError, match="window 0 to 1000000000"):
        fold(panes, 5, 1)
    assert (panes.shelf.accumulators, given(panes)) == (0, [])


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
    assert (panes.shelf.accumulators, panes.shelf.nbytes, given(panes)) == (0, 0, [])


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
    assert panes.shelf.accumulators == 1
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
