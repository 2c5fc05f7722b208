"""Chains with windows in a store that come to their end in order, or give a partition up in order."""

import json

import pytest
import reactivex.operators as rx

from streamzarr.flow import Demand, Rate, Stop, WindowState, from_topic, ops, run, windows
from streamzarr.flow.windows.plain import Plain
from streamzarr.flow.windows.snapshot import Snapshot
from streamzarr.queue.base import TopicPartition
from streamzarr.stores import open_store
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

TICKS = TopicPartition("ticks", 0)


class World:
    """A topic of one partition, a store and a clock that outlive the workers."""

    def __init__(self, url):
        self.url, self.clock = url, FakeClock()
        self.broker = FakeBroker(runtime=self.clock)
        self.broker.create_topic("ticks")

    def send(self, *values):
        self.broker.append("ticks", 0, *(json.dumps(value).encode() for value in values))

    def work(self, sink, *before, behind=(), look=lambda: None, stop=None):
        """Run a worker to its end; records are lists of ticks: when, and what."""
        state = WindowState(self.url, every=0.1, runtime=self.clock)
        source = from_topic(
            self.broker,
            "ticks",
            group="g",
            demand=Demand(9),
            committer=state,
            on_turn=look,
            poll_timeout=0.05,
        )
        chain = source.pipe(
            ops.map(json.loads),
            ops.split(list),
            *before,
            ops.reduce(
                lambda found, tick: [*found, tick[1]],
                initial=list,
                window=windows.Fixed("1s"),
                time=lambda tick: float(tick[0]),
                state=state,
            ),
            ops.settle(sink),
            *behind,
        )
        return run(chain, stop=stop or Stop(self.clock), runtime=self.clock)

    def results(self, enough):
        """Run a worker until it has given so many results, or more; return their values."""
        found, stop = [], Stop(self.clock)

        def sink(messages):
            found.extend(message.data.value for message in messages)
            if len(found) >= enough:
                stop.drain(5.0)

        self.work(sink, stop=stop)
        return found

    def snapshot(self):
        return Snapshot.loads(open_store(self.url).get("ticks/0"), Plain(), "here")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "state")


def one_a_minute():
    """What holds back all pieces but the first of each minute."""
    return ops.rate_limit(Rate(messages=1 / 60))


def test_a_record_of_which_a_piece_was_handed_back_is_whole_in_the_next_life(world):
    folded, stop = [], Stop(world.clock)
    world.send([(0.0, "a"), (0.0, "b")])
    report = world.work(
        lambda messages: None,
        one_a_minute(),
        ops.tap(folded.append),
        look=lambda: stop.drain(5.0) if folded else None,
        stop=stop,
    )
    assert (len(folded), report.handed_back) == (1, 1)
    world.send([(1.0, "c")])
    assert world.results(1) == [["a", "b"]]


def test_a_result_is_settled_for_good_though_a_record_is_folded_in_part_at_the_end(world):
    results, folded, stop = [], [], Stop(world.clock)

    def sink(messages):
        results.extend(message.data.value for message in messages)
        world.send([(1.0, "c"), (1.0, "slow 1"), (1.0, "slow 2")])

    world.send([(0.0, "a")], [(1.0, "b")])
    branches = {"slow": [one_a_minute()], "quick": []}
    report = world.work(
        sink,
        ops.route(lambda message: "slow" if "slow" in message.data[1] else "quick", branches),
        ops.tap(folded.append),
        look=lambda: stop.drain(5.0) if len(folded) == 4 else None,
        stop=stop,
    )
    assert (results, report.handed_back) == ([["a"]], 1)
    assert (world.snapshot().outbox, world.snapshot().position) == ((), 2)
    world.send([(2.0, "e")])
    assert world.results(1) == [["b", "c", "slow 1", "slow 2"]]


def test_a_result_on_its_way_is_settled_before_its_partition_is_given_up(world):
    found, stop = [], Stop(world.clock)

    def sink(messages):
        found.extend(message.data.value for message in messages)
        if len(found) == 1:
            world.broker.consumers[0].rebalance("revoked", TICKS)
            return [ops.Again(1.0)]
        return None

    def look():
        if world.broker.consumers and found and TICKS not in world.broker.consumers[0].assignment():
            stop.drain(5.0)

    world.send([(0.0, "a")], [(1.0, "b")])
    world.work(sink, look=look, stop=stop)
    assert found == [["a"], ["a"]]  # put off once
    assert world.snapshot().outbox == ()
    world.send([(2.0, "c")])
    assert world.results(1) == [["b"]]


def test_what_is_settled_does_not_come_again_when_the_sink_breaks_later(world):
    found = []

    def sink(messages):
        if found:
            raise ValueError("broken")
        found.extend(message.data.value for message in messages)
        world.send([(2.0, "c")])

    world.send([(0.0, "a")], [(1.0, "b")])
    with pytest.raises(ValueError, match="broken"):
        world.work(sink)
    assert found == [["a"]]
    assert world.results(1) == [["b"]]


def test_what_is_settled_does_not_come_again_when_nobody_watches_any_more(world):
    found = []
    world.send([(0.0, "a")], [(1.0, "b")])
    world.work(found.extend, behind=[rx.take(1)])
    assert [message.data.value for message in found] == [["a"]]
    world.send([(2.0, "c")])
    assert world.results(1) == [["b"]]


def test_a_result_on_its_way_does_not_reach_the_sink_when_its_partition_is_lost(world):
    asked, stop = [], Stop(world.clock)

    def sink(messages):
        asked.extend(message.data.value for message in messages)
        world.broker.consumers[0].rebalance("lost", TICKS)
        return [ops.Again(1.0)]

    def look():
        if asked and world.clock.now() > 5.0:
            stop.drain(5.0)

    world.send([(0.0, "a")], [(1.0, "b")])
    world.work(sink, look=look, stop=stop)
    assert asked == [["a"]]
    assert len(world.snapshot().outbox) == 1
    world.send([(2.0, "c")])
    assert world.results(2) == [["a"], ["b"]]
