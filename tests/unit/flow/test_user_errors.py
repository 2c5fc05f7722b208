"""Everything that a user's function can throw is its message's failure; Ctrl-C alone ends the program."""

import asyncio
import signal
import threading

import pytest

from streamzarr.errors import StreamzarrError, TransformError
from streamzarr.flow import Demand, Spill, Stop, from_iterable, from_pull, from_topic, ops, run
from streamzarr.flow.demand.credits import Demand as Credits
from streamzarr.flow.dispatch import by_key
from streamzarr.queue.retry import RetryPolicy
from streamzarr.testing.broker_fake import FakeBroker


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


def unhashable(message):
    return message.replace(key=[message.data] if message.data == 2 else message.data)


BY_KEY = {
    "batch": lambda: ops.batch(2, by="key"),
    "combine": lambda: ops.combine(sum, size=2, by="key"),
    "dispatch": lambda: ops.dispatch(abs, by="key"),
    "spill": lambda: ops.dispatch(abs, by="key", spill=Spill()),
}


@pytest.mark.parametrize("operator", BY_KEY.values(), ids=BY_KEY.keys())
@pytest.mark.parametrize(
    "keys",
    [ops.map_messages(unhashable), ops.partition_by(lambda value: [value] if value == 2 else value)],
    ids=["map_messages", "partition_by"],
)
def test_a_key_that_cannot_be_hashed_fails_its_message_alone(operator, keys):
    report, seen = go(keys, operator())
    assert (report.ok, report.failed) == (4, 1)
    [failure] = [message.failure for message in seen if message.failure]
    assert type(failure.error) is TypeError


def test_what_is_no_message_fails_the_message_that_it_was_made_of():
    report, seen = go(ops.map_messages(lambda m: m.data if m.data == 2 else m, stage="changed"))
    assert (report.ok, report.failed) == (4, 1)
    [failure] = [message.failure for message in seen if message.failure]
    assert type(failure.error) is TransformError
    assert str(failure.error) == "changed returned int, expected a Message"


@pytest.mark.parametrize("ordered", [False, True])
def test_a_key_that_cannot_be_told_fails_its_message_alone(ordered):
    def key(item):
        return {0: "a", 1: "b", 3: "a", 4: []}[item.message.data]

    report, seen = go(ops.dispatch(lambda value: str(value), by=lambda: by_key(key), ordered=ordered))
    assert (report.ok, report.failed) == (3, 2)
    errors = {message.data: type(message.failure.error) for message in seen if message.failure}
    assert errors == {2: KeyError, 4: TypeError}
    if ordered:
        assert [str(message.data) for message in seen] == list("01234")


def test_what_spill_encodes_into_no_bytes_fails_its_message_at_once():
    def hold(value):
        started.wait(60)
        return value

    started, failures = threading.Event(), []
    spill = Spill(share=1, encode=str, decode=int)
    chain = from_iterable(range(1, 6), Demand(8)).pipe(
        ops.partition_by(lambda value: "one"),
        ops.dispatch(hold, by="key", spill=spill),
        ops.settle(
            lambda messages: started.set(), dead_letters=lambda m: failures.extend(m) or started.set()
        ),
    )
    report = run(chain)
    assert (report.ok, report.failed) == (1, 4)
    assert {type(message.failure.error) for message in failures} == {TransformError}
    assert str(failures[0].failure.error) == "dispatch: Spill(encode=) returned str, expected bytes"


@pytest.mark.parametrize("where", ["sink", "on_turn", "on_rebalance", "pull", "at the end"])
def test_a_stop_iteration_breaks_the_chain_by_its_name_and_everything_is_released(where):
    def stop_iteration(*_):
        raise StopIteration("no more")

    broker, demand, stop = FakeBroker(), Demand(8), Stop()
    broker.create_topic("t")
    broker.append("t", 0, b"1", b"2")
    calls = {where: stop_iteration}
    chain = from_topic(
        broker,
        "t",
        group="g",
        demand=demand,
        on_turn=calls.get("on_turn"),
        on_rebalance=calls.get("on_rebalance"),
    )
    if where == "pull":
        chain = from_pull(stop_iteration, demand)
    if where == "at the end":
        chain = from_iterable([1, 2], demand).pipe(ops.batch(5))
    sink = stop_iteration if where in ("sink", "at the end") else None
    with pytest.raises(StreamzarrError, match="the chain was broken by StopIteration: no more") as caught:
        run(chain.pipe(ops.settle(sink)), stop=stop)
    assert type(caught.value.__cause__) is StopIteration
    assert demand.in_flight == 0
    assert all(consumer.closed for consumer in broker.consumers)
