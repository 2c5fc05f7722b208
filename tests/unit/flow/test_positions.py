"""Which positions are committed when a chain ends before everything is settled."""

import threading

import pytest

from streamzarr import flow
from streamzarr.errors import QueueError, StoreError
from streamzarr.flow import Demand, Stop, from_topic, ops, run, windows
from streamzarr.flow.acknowledge import SWEEP, Hold
from streamzarr.flow.chain import Chain
from streamzarr.flow.delivery import Fate
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker


@pytest.fixture
def broker():
    broker = FakeBroker()
    broker.create_topic("t")
    broker.append("t", 0, *[b"%d" % n for n in range(10)])
    return broker


def pairs():
    return ops.reduce(lambda total, value: (*total, int(value)), initial=(), window=windows.Count(2))


def test_a_result_that_is_handed_back_keeps_the_position_of_its_records(broker):
    """Nobody would read them again: they are in an accumulator that ended with the chain."""
    stop, stored, drained, turns = Stop(), [], threading.Event(), []

    def slow(result):
        stop.drain(20.0)  # one result is at work, the others have not begun
        assert drained.wait(20)
        return result

    def turn():
        turns.append(stop.requested)
        if sum(turns) > 2:  # what has not begun was handed back before the second one
            drained.set()

    chain = from_topic(broker, "t", group="g", demand=Demand(100), commit_every=0.0, on_turn=turn).pipe(
        pairs(),
        ops.dispatch(slow, workers=1),
        ops.settle(lambda messages: stored.extend(n for m in messages for n in m.data.value)),
    )
    report = run(chain, stop=stop)
    assert report.handed_back > 0
    position = broker.committed("g", "t").get(0, 0)
    assert set(range(position)) <= set(stored)


def test_a_reader_that_leaves_hands_back_what_it_has_in_hand(broker):
    chain = from_topic(broker, "t", group="g", demand=Demand(100), commit_every=0.0).pipe(pairs())
    for message in flow.iter(chain):
        if message.data.value == (2, 3):
            break
    assert broker.committed("g", "t") == {0: 2}


@pytest.mark.parametrize("breaks", [False, True], ids=["stopped", "broken"])
def test_positions_never_go_back_at_the_end(broker, breaks):
    stop, go, settled = Stop(), threading.Event(), []

    def work(value):
        if value == b"9":
            go.wait(20)
        return value

    def turn():
        if broker.committed("g", "t") == {0: 9}:
            if breaks:
                raise ValueError("broken")
            stop.now()

    chain = from_topic(broker, "t", group="g", demand=Demand(100), commit_every=0.0, on_turn=turn).pipe(
        ops.dispatch(work, workers=2), ops.settle(settled.extend)
    )
    try:
        if breaks:
            threading.Timer(0.2, go.set).start()  # the end waits for what runs
            with pytest.raises(ValueError, match="broken"):
                run(chain, stop=stop)
        else:
            assert run(chain, stop=stop).left == 1
    finally:
        go.set()
    assert broker.committed("g", "t") == {0: 9}
    assert [commit for (commit,) in map(dict.values, broker.commits)] == sorted(
        commit for (commit,) in map(dict.values, broker.commits)
    )


def test_stale_holds_behind_one_that_stays_are_swept(broker):
    """One window that stays open must not keep a trace of each that has closed since."""

    claim = Chain().claim(Demand(10), TopicPartition("t", 0), 0)
    open_one = Hold()
    open_one.extend(claim, 0)
    for offset in range(1, 10 * SWEEP):
        short = Hold()
        short.extend(claim, offset)
        short.release(Fate.OK)
    assert len(claim._holds) <= SWEEP + 1
    assert claim.position == 0


class Faulty:
    """A committer whose store is away for a while."""

    def __init__(self, errors):
        self.errors, self.kept = dict(errors), {}

    def _fail(self, where):
        if self.errors.get(where):
            raise self.errors[where].pop()

    def start(self, partitions):
        self._fail("start")
        return self.kept

    def commit(self, positions):
        self._fail("commit")
        self.kept.update(positions)

    def ended(self, partitions):
        self._fail("ended")


@pytest.mark.parametrize("where", ["start", "commit", "ended"])
@pytest.mark.parametrize("error", [StoreError, QueueError, ConnectionError, TimeoutError])
def test_transient_errors_of_a_committer_are_tried_again(broker, where, error):
    stop, stored = Stop(), []
    committer = Faulty({where: [error("away"), error("away")]})

    def store(messages):
        stored.extend(messages)
        if len(stored) == 10:
            stop.drain(10.0)

    chain = from_topic(broker, "t", group="g", demand=Demand(100), commit_every=0.0, committer=committer)
    assert run(chain.pipe(ops.settle(store)), stop=stop).ok == 10
    assert list(committer.kept.values()) == [10]
    assert broker.committed("g", "t") == {}
