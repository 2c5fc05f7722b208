"""Windows over partitions: watermarks, and positions that wait for results; pure state."""

import pytest

from streamzarr.errors import LateError
from streamzarr.flow.acknowledge import Claim, Hold
from streamzarr.flow.delivery import Delivery, Fate
from streamzarr.flow.demand.credits import Demand
from streamzarr.flow.windows import (
    Every,
    Fixed,
    Window,
)
from streamzarr.flow.windows.moments import FIRST, SECOND
from streamzarr.flow.windows.watermark import Watermarks
from tests.support.panes import fold, given, total


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
    assert (panes.shelf.accumulators, panes.shelf.nbytes) == (0, 0)


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
