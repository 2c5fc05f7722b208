"""Arguments that do not go together, and sources that serve one run only."""

import numpy as np
import pytest

from streamzarr import flow
from streamzarr.errors import ConfigError
from streamzarr.flow import Demand, Rate, Stop, from_async_iterable, from_iterable, ops, run, windows
from streamzarr.testing.broker_fake import FakeBroker


async def numbers():
    yield 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Rate, "Rate: neither messages nor bytes is given, expected one"),
        (lambda: Demand(5, min_demand=5), "Demand: min_demand is 5, expected 0 to 4"),
        (ops.batch, "ops.batch: size, bytes or until is missing, or nothing would ever be complete"),
        (lambda: ops.combine(len, timeout=1), "ops.combine: size, bytes or until is missing"),
        (
            lambda: ops.reduce(max, initial=0, window=windows.Session(1)),
            "ops.reduce: Session windows need merge=",
        ),
        (lambda: ops.reduce(max, initial=[]), r"ops.reduce: initial=\[\] would be shared by all keys"),
        (lambda: flow.Spill(encode=len), "Spill: one of encode and decode is missing"),
        (lambda: ops.dispatch(len, workers=1, processes=1), r"ops.dispatch\(workers=, processes=\)"),
        (
            lambda: flow.from_topic(FakeBroker(), "t", group="g", demand=Demand(1), drain_timeout=20),
            "from_topic: drain_timeout=20, session_timeout=10.0: expected",
        ),
    ],
)
def test_arguments_that_do_not_go_together_are_told(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_what_makes_no_dispatcher_is_told():
    with pytest.raises(ConfigError, match=r"ops.dispatch: by made \[\], expected a dispatch.Dispatcher"):
        run(from_iterable([1], Demand(1)).pipe(ops.dispatch(len, by=list), ops.settle()))


def test_what_python_says_of_calls_stays_pythons():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'demand'"):
        from_iterable([])
    with pytest.raises(TypeError, match="unexpected keyword argument 'sise'"):
        ops.batch(sise=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'comit_every'"):
        flow.from_topic_columns(FakeBroker(), "t", group="g", demand=Demand(1), comit_every=1)


# -- runs ------------------------------------------------------------------------------------------------


def test_a_generator_that_a_run_has_used_up_is_told_by_the_next():
    chain = from_iterable((number for number in range(3)), Demand(2)).pipe(ops.settle())
    assert run(chain).ok == 3
    with pytest.raises(
        ConfigError, match=r"items is <generator .*an earlier run has taken all of it, expected"
    ):
        run(chain)


def test_an_iterator_of_which_a_stopped_run_has_left_some_goes_on():
    stop, items = Stop(), iter(range(100))
    chain = from_iterable(items, Demand(4)).pipe(ops.settle(lambda _: stop.drain(10)))
    first = run(chain, stop=stop).delivered
    assert 0 < first < 100
    assert run(chain).ok == 100 - first


def test_an_async_generator_serves_one_run():
    chain = from_async_iterable(numbers(), Demand(2)).pipe(ops.settle())
    assert run(chain).ok == 1
    with pytest.raises(ConfigError, match=r"items is <async_generator .*an earlier run has closed"):
        run(chain)


def test_durations_may_be_text():
    chain = from_iterable(range(3), Demand(10)).pipe(ops.batch(2, timeout="250ms"), ops.settle())
    assert run(chain).ok == 3


@pytest.mark.parametrize("operator", [ops.route, ops.broadcast])
def test_operators_of_a_branch_that_can_be_taken_only_once_are_refused(operator):
    once = iter([ops.map(str)])
    with pytest.raises(ConfigError, match="expected lists of operators by name"):
        operator(*([lambda message: "a"] if operator is ops.route else []), {"a": once})


@pytest.mark.parametrize("size", [np.array(1.5), np.arange(3), np.float64(2)])
def test_arrays_are_no_sizes(size):
    with pytest.raises(ConfigError, match="expected an integer of at least 1"):
        ops.batch(size)


def test_a_number_that_no_float_can_hold_is_too_large():
    with pytest.raises(ConfigError, match="expected a number of seconds, at least 0"):
        ops.Again(10**400)
    with pytest.raises(ConfigError, match="expected seconds, at least 0"):
        ops.batch(5, timeout=10**400)


@pytest.mark.parametrize("seconds", [np.int64(3), np.float32(3), np.uint8(3)])
def test_durations_may_be_numbers_of_numpy(seconds):
    assert windows.Fixed(seconds).windows(0) == windows.Fixed(3).windows(0)
