import math

import pytest

from streamzarr.runtime import Deadline
from tests.support.clockwork import Clockwork


@pytest.fixture
def runtime():
    return Clockwork()


def test_time_runs_out_and_is_never_negative(runtime):
    deadline = Deadline(runtime, 2.0)
    assert (deadline.left, deadline.passed) == (2.0, False)
    runtime.time += 1.5
    assert (deadline.left, deadline.passed) == (0.5, False)
    runtime.time += 0.5
    assert (deadline.left, deadline.passed) == (0.0, True)
    runtime.time += 9.0
    assert deadline.left == 0.0


@pytest.mark.parametrize("seconds", [None, math.inf])
def test_one_that_never_comes(runtime, seconds):
    deadline = Deadline(runtime, seconds)
    runtime.time += 1e9
    assert (deadline.left, deadline.passed) == (math.inf, False)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_without_time_there_is_one_try(runtime, seconds):
    assert list(Deadline(runtime, seconds).tries(every=0.1)) == [0.0]
    assert runtime.pauses == []


def test_tries_are_evenly_spaced_and_the_last_is_at_the_end(runtime):
    assert list(Deadline(runtime, 1.0).tries(every=0.375)) == [1.0, 0.625, 0.25, 0.0]
    assert runtime.pauses == [0.375, 0.375, 0.25]


def test_a_try_that_takes_long_is_followed_by_one_more(runtime):
    seen = []
    for left in Deadline(runtime, 1.0).tries(every=0.25):
        seen.append(left)
        runtime.time += 0.6
    assert seen == [1.0, pytest.approx(0.15)]


def test_tries_end_when_the_caller_has_what_it_wants(runtime):
    for left in Deadline(runtime, 1.0).tries(every=0.5):
        if left < 1.0:
            break
    assert runtime.pauses == [0.5]
