"""OffsetWindow against the definition of the watermark, on random schedules."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamzarr.queue.offsets import OffsetWindow


class WindowModel(RuleBasedStateMachine):
    """The model keeps every offset ever delivered and applies the definition literally."""

    def __init__(self):
        super().__init__()
        self.window = OffsetWindow()
        self.delivered = []
        self.acked = set()
        self.next = None  # where reading goes on

    @rule(gap=st.integers(0, 5))
    def deliver(self, gap):
        offset = (self.next or 0) + gap
        self.window.deliver(offset)
        self.delivered.append(offset)
        self.next = offset + 1

    @rule(position=st.integers(0, 400))
    def advance(self, position):
        self.window.advance(position)
        self.next = max(position, self.next or 0)

    def _open(self):
        return [offset for offset in self.delivered if offset not in self.acked]

    @precondition(lambda self: self._open())
    @rule(data=st.data())
    def ack(self, data):
        offset = data.draw(st.sampled_from(self._open()))
        self.window.ack(offset)
        self.acked.add(offset)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def a_second_ack_or_one_never_delivered_is_refused(self, data):
        offset = data.draw(st.integers(-1, self.delivered[-1] + 2))
        if offset in self._open():
            return
        with pytest.raises(ValueError, match=str(offset)):
            self.window.ack(offset)

    @precondition(lambda self: self.delivered)
    @rule(back=st.integers(0, 5))
    def delivery_backwards_is_refused(self, back):
        with pytest.raises(ValueError, match="expected"):
            self.window.deliver(self.delivered[-1] - back)

    @invariant()
    def watermark_is_the_first_unsettled_or_the_next(self):
        still_open = self._open()
        assert self.window.watermark == (still_open[0] if still_open else self.next)
        assert self.window.in_flight == len(still_open)

    @invariant()
    def memory_is_what_a_crash_would_deliver_again(self):
        watermark = self.window.watermark
        assert self.window.span == sum(offset >= (watermark or 0) for offset in self.delivered)


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


def test_start_is_the_watermark_until_something_is_delivered():
    assert OffsetWindow().watermark is None
    assert OffsetWindow(start=7).watermark == 7
