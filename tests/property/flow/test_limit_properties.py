"""The limit of dead letters against its rule said plainly, over any outcomes."""

import math

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.flow.limit import Breaker, DeadLetterLimit
from streamzarr.flow.pausing import Pause, PauseBoard
from streamzarr.queue.base import TopicPartition

limits = st.builds(
    DeadLetterLimit,
    in_a_row=st.none() | st.integers(0, 5),
    ratio=st.none() | st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
    of=st.integers(1, 12),
)
outcomes = st.lists(st.booleans(), max_size=60)


def in_a_row(past):
    return len(past) - max((at for at, bad in enumerate(past) if not bad), default=-1) - 1


@given(limits, outcomes)
def test_a_letter_is_refused_exactly_when_it_would_break_a_limit(limit, steps):
    breaker, past = Breaker(limit), []
    for bad in steps:
        if not bad:
            breaker.done()
            past.append(False)
            continue
        too_long = limit.in_a_row is not None and in_a_row([*past, True]) > limit.in_a_row
        too_many = limit.ratio is not None and sum([*past, True][-limit.of :]) > limit.ratio * limit.of + 1e-9
        refusal = breaker.failed()
        assert (refusal is not None) == (too_long or too_many)
        if refusal is None:
            past.append(True)


@given(limits, outcomes, st.integers(0, 30))
def test_many_that_are_done_at_once_count_as_many(limit, steps, count):
    together, apart = Breaker(limit), Breaker(limit)
    for bad in steps:
        for breaker in (together, apart):
            breaker.failed() if bad else breaker.done()
    if count:
        together.done(count)
    for _ in range(count):
        apart.done()
    assert [together.failed() for _ in range(20)] == [apart.failed() for _ in range(20)]


@given(limits, outcomes)
def test_on_trial_the_first_message_decides(limit, steps):
    breaker = Breaker(limit, on_trial=True)
    assert breaker.failed() is not None
    assert breaker.failed() is not None
    breaker.done()
    fresh = Breaker(limit)
    fresh.done()
    assert [breaker.failed() if bad else breaker.done() for bad in steps] == [
        fresh.failed() if bad else fresh.done() for bad in steps
    ]


@given(st.floats(0.01, 100), st.floats(0.01, 1000), st.integers(0, 2000))
def test_pauses_grow_up_to_the_longest(first, longest, tries):
    pause = Pause("x", first, longest)
    assert first <= pause.seconds(tries) <= max(first, longest)
    assert pause.seconds(tries) <= pause.seconds(tries + 1)
    assert math.isinf(Pause("x", math.inf, longest).seconds(tries))


@given(st.lists(st.sampled_from(["fail", "pass", "ask", "wait"]), max_size=40))
def test_a_partition_pauses_is_on_trial_or_goes_on(steps):
    board, where, now, tries = PauseBoard(), TopicPartition("t", 0), 0.0, 0
    state = "on"
    for step in steps:
        if step == "fail" and state != "paused":
            tries = tries if state == "trial" else 0
            paused = board.begin(where, Pause("x", 1.0, 8.0), 7, now)
            assert paused.tries == tries
            assert paused.next_try == now + min(8.0, 2.0**tries)
            state = "paused"
        elif step == "pass" and state == "trial":
            assert board.passed(where) is not None
            state = "on"
        elif step == "ask":
            board.go_on()
            found = board.due(now)
            assert [trial for _, trial in found] == ([False] if state == "paused" else [])
            state = "on" if state == "paused" else state
        elif step == "wait":
            now += 8.0
            found = board.due(now)
            assert [trial for _, trial in found] == ([True] if state == "paused" else [])
            if state == "paused":
                state, tries = "trial", tries + 1
        assert [each.partition for each in board.paused] == ([where] if state == "paused" else [])
        assert board.trying == ([where] if state == "trial" else [])
