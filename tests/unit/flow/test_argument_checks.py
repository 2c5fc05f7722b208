"""The checks of what is given to the flow, and how it is shown."""

import functools
import math

import numpy as np
import pytest

from streamzarr.flow import Demand, Stop, ops
from streamzarr.flow.arguments import checked, function, integer, shown
from tests.support.asynchronous import SYNC, Awaited, awaited, numbers


def test_each_parameter_needs_a_check_when_a_function_is_defined():
    with pytest.raises(
        TypeError, match=r"ops.pick: checks of \['count'\] for a function of \(count, other\)"
    ):
        checked("ops.pick", count=integer(1))(lambda count, other: count)


def test_functions_are_known_by_how_they_are_called():
    assert function(functools.partial(int, base=2)) is function(str.upper) is function(Awaited) is None
    assert (
        function(functools.partial(awaited, 1)) == function(Awaited().__call__) == function(numbers) == SYNC
    )


def test_numbers_of_numpy_are_numbers():
    assert Demand(np.int64(3), max_bytes=np.int64(9)).bounds.max_demand == 3
    assert ops.Again(after=np.float64(0.5)).after == 0.5


def test_what_is_shown_is_short_and_holds_no_password():
    assert shown("kafka://me:hunter2@b1:9092") == "'kafka://***@b1:9092'"
    assert len(shown("x" * 10_000)) < 200
    assert len(shown(list(range(10_000)))) < 200


def test_who_stops_a_chain_may_wait_for_ever():
    stop = Stop()
    stop.drain(math.inf)
    assert (stop.requested, stop.remaining()) == (True, math.inf)
