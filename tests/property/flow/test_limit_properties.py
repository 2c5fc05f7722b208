"""The limit of dead letters against its rule said plainly, over any outcomes."""

import math

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.flow.limit import SWEEP, Breaker, DeadLetterLimit
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
        refusal = breaker.failed(len(past))
        assert (refusal is not None) == (too_long or too_many)
        if refusal is None:
            past.append(True)


@given(st.integers(0, 5), st.data())
def test_in_a_row_is_by_neighbours_in_whatever_order_they_fail(most, data):
    failing = data.draw(st.lists(st.integers(0, 60), unique=True))
    breaker, letters = Breaker(DeadLetterLimit(in_a_row=most)), set()
    for number in failing:
        beside = {number}
        while grown := {n + d for n in beside for d in (-1, 1)} & letters - beside:
            beside |= grown
        refused = breaker.failed(number) is not None
        assert refused == (len(beside) > most)
        if not refused:
            letters.add(number)


@given(st.integers(1, 5), st.integers(0, 40))
def test_what_was_forgotten_is_beside_nothing_that_is_still_to_come(most, window):
    forgetful, mindful = (Breaker(DeadLetterLimit(in_a_row=most)) for _ in range(2))
    numbers = [n for n in range(4000) if n % 7]
    for number in numbers:
        oldest = max(0, number - window)
        assert (forgetful.failed(number, oldest) is None) == (mindful.failed(number) is None)
    assert len(forgetful._failed) < 2 * SWEEP + window < len(numbers)


@given(limits, outcomes, st.integers(0, 30))
def test_many_that_are_done_at_once_count_as_many(limit, steps, count):
    together, apart = Breaker(limit), Breaker(limit)
    for number, bad in enumerate(steps):
        for breaker in (together, apart):
            breaker.failed(number) if bad else breaker.done()
    if count:
        together.done(count)
    for _ in range(count):
        apart.done()
    later = range(len(steps) + count, len(steps) + count + 20)
    assert [*map(together.failed, later)] == [*map(apart.failed, later)]


@given(limits, outcomes)
def test_on_trial_the_first_message_decides(limit, steps):
    breaker = Breaker(limit, on_trial=True)
    assert breaker.failed(0) is not None
    assert breaker.failed(1) is not None
    breaker.done()
    fresh = Breaker(limit)
    fresh.done()
    numbered = list(enumerate(steps))
    assert [breaker.failed(n) if bad else breaker.done() for n, bad in numbered] == [
        fresh.failed(n) if bad else fresh.done() for n, bad in numbered
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
    state, asked = "on", False  # on trial: remembered until it pauses again
    for step in steps:
        if step == "fail" and state != "paused":
            tries = tries if state == "trial" else 0
            paused = board.begin(where, Pause("x", 1.0, 8.0), 7, now)
            assert paused.tries == tries
            assert paused.next_try == now + min(8.0, 2.0**tries)
            state = "paused"
        elif step == "pass" and state == "trial":
            assert board.passed(where) is not None
            state, asked = "on", False
        elif step == "ask":
            board.go_on()
            found = board.due(now, [where])
            assert [trial for _, trial in found] == ([False] if state == "paused" else [])
            state, asked = ("on", False) if state == "paused" else (state, state == "trial")
        elif step == "wait":
            now += 8.0
            found = board.due(now, [where])
            assert [trial for _, trial in found] == ([not asked] if state == "paused" else [])
            if state == "paused":
                state, tries = ("on", 0) if asked else ("trial", tries + 1)
                asked = False
        assert [each.partition for each in board.paused] == ([where] if state == "paused" else [])
        assert board.trying == ([where] if state == "trial" else [])
