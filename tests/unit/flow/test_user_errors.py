"""Everything that a user's function can throw is its message's failure; Ctrl-C alone ends the program."""

import asyncio
import signal
import threading

import pytest

from streamzarr.flow import Demand, from_iterable, ops, run
from streamzarr.flow.demand import Demand as Credits
from streamzarr.queue.retry import RetryPolicy


class Foreign(BaseException):
    pass


class Mute(Exception):
    transient = property(lambda self: 1 / 0)

    def __str__(self):
        raise GeneratorExit

    __repr__ = __str__


THROWN = [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit, SystemExit, Foreign, Mute, RecursionError]


def bad_at_2(thrown):
    def fn(value):
        if value == 2:
            raise thrown()
        return value

    return fn


def bad_message(thrown):
    def fn(message):
        bad_at_2(thrown)(message.data)
        return message

    return fn


OPERATORS = {
    "map": lambda thrown: ops.map(bad_at_2(thrown)),
    "map_messages": lambda thrown: ops.map_messages(bad_message(thrown)),
    "drop_if": lambda thrown: ops.drop_if(lambda value: bad_at_2(thrown)(value) is None),
    "dispatch": lambda thrown: ops.dispatch(
        bad_at_2(thrown), workers=2, retry=RetryPolicy(attempts=3, base=0.0)
    ),
}


@pytest.fixture
def ctrl_c():
    """Python's own handler of SIGINT, whatever the test runner has."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def go(*operators):
    """Run a chain on a thread, where no Ctrl-C arrives, and return its report and messages."""
    seen, ended = [], []
    demand = Demand(8)
    chain = from_iterable(range(5), demand).pipe(*operators, ops.settle(seen.extend))
    thread = threading.Thread(target=lambda: ended.append(run(chain)))
    thread.start()
    thread.join(60)
    assert ended, "the chain broke, or hangs"
    assert demand.in_flight == 0
    return ended[0], seen


@pytest.mark.parametrize("thrown", THROWN)
@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())
def test_whatever_a_function_throws_fails_its_message_alone(operator, thrown):
    report, seen = go(operator(thrown))
    assert (report.ok, report.failed) == (4, 1)
    [failure] = [message.failure for message in seen if message.failure]
    assert type(failure.error) is thrown


@pytest.mark.parametrize("thrown", THROWN)
def test_whatever_a_function_on_batches_throws_fails_its_batch_alone(thrown):
    def late(values):
        yield from map(bad_at_2(thrown), values)

    for fn in (lambda values: [bad_at_2(thrown)(value) for value in values], late):
        report, _ = go(ops.batch(1), ops.map_batch(fn))
        assert (report.ok, report.failed) == (4, 1)


@pytest.mark.parametrize("thrown", THROWN)
def test_whatever_a_sink_throws_breaks_the_chain_in_order(thrown):
    def sink(messages):
        raise thrown()

    demand = Credits(8)
    caught = []

    def go():
        try:
            run(from_iterable(range(5), demand).pipe(ops.settle(sink)))
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join(60)
    assert [type(error) for error in caught] == [thrown]
    assert demand.in_flight == 0


@pytest.mark.parametrize(
    "operator", [ops.map(bad_at_2(KeyboardInterrupt)), ops.drop_if(bad_at_2(KeyboardInterrupt))]
)
def test_ctrl_c_in_a_function_on_the_main_thread_ends_the_run(ctrl_c, operator):
    demand = Demand(8)
    with pytest.raises(KeyboardInterrupt):
        run(from_iterable(range(5), demand).pipe(operator, ops.settle()))
    assert demand.in_flight == 0
    # and the next chain of this thread runs as ever
    assert run(from_iterable(range(5), demand).pipe(ops.settle())).ok == 5


def test_a_real_ctrl_c_ends_a_run_on_the_main_thread(ctrl_c):
    def fn(value):
        if value == 2:
            signal.raise_signal(signal.SIGINT)
        return value

    demand = Demand(8)
    with pytest.raises(KeyboardInterrupt):
        run(from_iterable(range(5), demand).pipe(ops.map(fn), ops.settle()))
    assert demand.in_flight == 0


def test_a_keyboard_interrupt_of_ones_own_on_a_worker_thread_is_bad_data(ctrl_c):
    seen = []
    chain = from_iterable(range(5), Demand(8)).pipe(
        ops.dispatch(bad_at_2(KeyboardInterrupt), workers=2), ops.settle(seen.extend)
    )
    report = run(chain)
    assert (report.ok, report.failed) == (4, 1)
