"""Chains that settle nothing, or twice, are told so before anything is pulled."""

import pytest
import reactivex
import reactivex.operators as rx

from streamzarr import flow
from streamzarr.errors import ConfigError
from streamzarr.flow import (
    Demand,
    Stop,
    from_iterable,
    from_pull,
    from_topic,
    from_topic_columns,
    ops,
    run,
    windows,
)
from streamzarr.flow.graph import staged
from streamzarr.flow.stage import Stage
from streamzarr.testing.broker_fake import FakeBroker

MISSING = r"is ops\.settle\(\) missing\?"
TWICE = "settled a second time: what comes out of an ops.settle"


@pytest.fixture
def broker():
    broker = FakeBroker()
    broker.create_topic("numbers")
    broker.append("numbers", 0, b"1", b"2")
    return broker


class Untouched:
    """Items of which none may be asked for."""

    def __iter__(self):
        raise AssertionError("something was pulled")


def untouched():
    return from_iterable(Untouched(), Demand(4))


class Own(Stage):
    """A stage of a user's that settles."""

    settles = True

    def receive(self, messages):
        self.chain.settle(messages)
        self.emit(messages)


class Unsaid(Own):
    """One that does not say so."""

    settles = False


def counted(total, data):
    return total + 1


@pytest.mark.parametrize("source", [from_topic, from_topic_columns])
@pytest.mark.parametrize(
    "operators",
    [
        [],
        [ops.map(len)],
        [ops.batch(10), rx.do_action(print)],
        [ops.reduce(counted, initial=0, window=windows.Count(2))],
        [staged(Unsaid)],
    ],
)
def test_a_topic_without_settle_does_not_wait_for_ever(broker, source, operators):
    chain = source(broker, "numbers", group="g", demand=Demand(100))
    with pytest.raises(ConfigError, match=f"comes out of the chain: {MISSING}"):
        run(chain.pipe(*operators))
    assert broker.committed("g", "numbers") == {}


@pytest.mark.parametrize(
    "chain",
    [
        untouched(),
        untouched().pipe(ops.map(len), ops.dispatch(len)),
        untouched().pipe(rx.map(lambda batch: batch)),
        untouched().pipe(ops.route(lambda message: "a", {"a": [], "b": [ops.map(len)]})),
        untouched().pipe(ops.join_asof(untouched(), by=len)),
    ],
)
def test_it_is_told_of_every_source_before_anything_is_pulled(chain):
    with pytest.raises(ConfigError, match=f"comes out of the chain: {MISSING}"):
        run(chain)


@pytest.mark.parametrize(
    "chain",
    [
        untouched().pipe(ops.route(lambda message: "a", {"a": [ops.settle()], "b": [ops.map(len)]})),
        untouched().pipe(ops.broadcast({"a": [ops.settle()], "b": []})),
        reactivex.merge(untouched().pipe(ops.settle()), untouched().pipe(ops.map(len))),
        reactivex.merge(untouched().pipe(ops.settle()), untouched()),
        reactivex.merge(untouched().pipe(ops.settle()), untouched().pipe(ops.broadcast({"a": []}))),
    ],
)
def test_one_end_that_is_open_is_enough(chain):
    with pytest.raises(ConfigError, match=f"comes out of an end of the chain: {MISSING}"):
        run(chain)


@pytest.mark.parametrize(
    "operators",
    [
        [ops.settle(), ops.settle()],
        [ops.settle(), ops.map(len), rx.do_action(print), ops.settle()],
        [ops.route(lambda message: "a", {"a": [ops.settle()], "b": []}), ops.settle()],
        [ops.broadcast({"a": [ops.settle()], "b": [ops.settle()]}), ops.settle()],
        [staged(Own), ops.settle()],
    ],
)
def test_what_would_be_settled_twice_is_told_before_anything_is_pulled(operators):
    with pytest.raises(ConfigError, match=f"{TWICE}.*in every branch and source, or once, behind"):
        run(untouched().pipe(*operators))


def test_a_reader_beside_a_branch_that_settles_is_told():
    chain = untouched().pipe(ops.route(lambda message: "a", {"a": [ops.settle()], "b": []}))
    with pytest.raises(ConfigError, match=TWICE):
        list(flow.iter(chain))


NUMBERS = [from_iterable(range(10), Demand(4)), from_iterable(range(10, 30), Demand(3))]


@pytest.mark.parametrize(
    "chain",
    [
        NUMBERS[0].pipe(ops.settle(), ops.map(str), rx.do_action(bool)),
        NUMBERS[0].pipe(staged(Own)),
        NUMBERS[0].pipe(rx.share(), ops.settle()),
        NUMBERS[0].pipe(ops.broadcast({"a": [ops.settle()], "b": [staged(Own)]})),
        reactivex.merge(NUMBERS[0].pipe(ops.broadcast({"a": []}))).pipe(ops.settle()),
        reactivex.defer(lambda scheduler: NUMBERS[0]).pipe(ops.settle()),
    ],
)
def test_what_settles_wherever_it_stands_is_left_alone(chain):
    assert run(chain).ok == 10


@pytest.mark.parametrize("operators", [[], [ops.map(str)], [ops.settle()], [ops.settle(), ops.map(str)]])
def test_readers_settle_where_nothing_else_does(operators):
    assert len(list(flow.iter(NUMBERS[0].pipe(*operators)))) == 10


def test_a_chain_that_is_subscribed_to_without_run_is_told_by_on_error():
    errors = []
    untouched().subscribe(on_error=errors.append)
    assert "missing" in str(errors[0])


def test_failed_messages_that_pass_by_branches_which_settle_are_told():
    chain = from_iterable(["1", "x"], Demand(4)).pipe(
        ops.map(int), ops.route(lambda message: "all", {"all": [ops.settle()]})
    )
    with pytest.raises(ConfigError, match="failed and passed by branches"):
        run(chain)


# -- sources that stock operators merge ------------------------------------------------------------------


def test_batches_of_merged_sources_leave_when_both_have_no_credit():
    assert run(reactivex.merge(*NUMBERS).pipe(ops.batch(100), ops.settle())).ok == 30


def test_windows_of_merged_sources_stay_open_until_the_last_has_ended():
    endless, stop = iter([[1], [1], [1], None]), Stop()
    slow = from_pull(lambda count: next(endless), Demand(5), idle=0.01)
    seen = []
    chain = reactivex.merge(NUMBERS[0].pipe(ops.map(str)), slow, NUMBERS[1]).pipe(
        ops.reduce(counted, initial=0, window=windows.Global(), merge=lambda one, other: one + other),
        ops.settle(lambda messages: seen.extend(message.data.value for message in messages)),
    )
    assert run(chain, stop=stop).ok == 33
    assert seen == [33]


def test_a_source_that_comes_later_is_refused():
    with pytest.raises(ConfigError, match=r"connected when its chain was running.*by reactivex\.merge"):
        run(reactivex.concat(*NUMBERS).pipe(ops.settle()))


def test_many_branches_one_after_the_other_are_looked_at_once_each():
    chain = NUMBERS[0]
    for _ in range(40):  # 3 to the power of 40 ways
        chain = chain.pipe(ops.route(lambda message: "a", {name: [ops.map(int)] for name in "abc"}))
    assert run(chain.pipe(ops.settle())).ok == 10
