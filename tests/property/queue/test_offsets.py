"""OffsetWindow against the definition of the watermark, on random schedules."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamzarr.queue.offsets import OffsetWindow


class WindowModel(RuleBasedStateMachine):
    """The model keeps every offset ever delivered, run by run, and applies the definition literally."""

    def __init__(self):
        super().__init__()
        self.window = OffsetWindow()
        self.runs = {}  # first offset -> the offsets of the run's records, ascending
        self.acked = set()
        self.next = None  # where reading goes on

    @rule(gap=st.integers(0, 5))
    def deliver_one(self, gap):
        offset = (self.next or 0) + gap
        self.window.deliver(offset)
        self.runs[offset] = [offset]
        self.next = offset + 1

    @rule(gap=st.integers(0, 5), gaps_within=st.lists(st.integers(0, 3), max_size=6))
    def deliver_run(self, gap, gaps_within):
        offsets = [(self.next or 0) + gap]
        for each in gaps_within:
            offsets.append(offsets[-1] + 1 + each)
        self.window.deliver(offsets[0], offsets[-1] + 1)
        self.runs[offsets[0]] = offsets
        self.next = offsets[-1] + 1

    @rule(position=st.integers(0, 400))
    def advance(self, position):
        self.window.advance(position)
        self.next = max(position, self.next or 0)

    def _open(self):
        return [first for first in self.runs if first not in self.acked]

    def _unsettled(self):
        return [offset for first in self._open() for offset in self.runs[first]]

    @precondition(lambda self: self._open())
    @rule(data=st.data())
    def ack(self, data):
        first = data.draw(st.sampled_from(self._open()))
        self.window.ack(first)
        self.acked.add(first)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def a_second_ack_or_one_of_no_run_is_refused(self, data):
        offset = data.draw(st.integers(-1, self.next + 2))
        if offset in self._open():
            return
        with pytest.raises(ValueError, match=str(offset)):
            self.window.ack(offset)

    @precondition(lambda self: self.runs)
    @rule(back=st.integers(0, 5), length=st.integers(1, 9))
    def delivery_backwards_is_refused(self, back, length):
        first = max(each for run in self.runs.values() for each in run) - back
        with pytest.raises(ValueError, match="expected"):
            self.window.deliver(first, first + length)

    @rule(gap=st.integers(0, 5), length=st.integers(-3, 0))
    def an_empty_run_is_refused(self, gap, length):
        first = (self.next or 0) + gap
        with pytest.raises(ValueError, match=f"expected a stop of {first + 1}"):
            self.window.deliver(first, first + length)

    @invariant()
    def watermark_is_the_first_unsettled_or_the_next(self):
        unsettled = self._unsettled()
        assert self.window.watermark == (min(unsettled) if unsettled else self.next)
        assert self.window.in_flight == len(self._open())

    @invariant()
    def memory_is_the_runs_that_a_crash_would_deliver_again(self):
        watermark = self.window.watermark
        assert self.window.span == sum(first >= (watermark or 0) for first in self.runs)


TestWindowModel = WindowModel.TestCase
TestWindowModel.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@given(st.permutations(range(40)))
def test_any_order_of_acks_ends_with_everything_committable(order):
    window = OffsetWindow(start=0)
    for offset in range(40):
        window.deliver(offset)
    last = 0
    for offset in order:
        window.ack(offset)
        assert window.watermark >= last
        last = window.watermark
    assert (window.watermark, window.in_flight, window.span) == (40, 0, 0)


@given(st.integers(1, 10**15), st.integers(1, 10**15))
def test_a_run_costs_the_same_however_long_it_is(first, length):
    window = OffsetWindow()
    window.deliver(first, first + length)
    assert (window.watermark, window.in_flight, window.span) == (first, 1, 1)
    window.ack(first)
    assert (window.watermark, window.in_flight, window.span) == (first + length, 0, 0)


def test_start_is_the_watermark_until_something_is_delivered():
    assert OffsetWindow().watermark is None
    assert OffsetWindow(start=7).watermark == 7
