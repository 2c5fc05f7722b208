"""A topic source against a model of a group, under random rebalances, completions, faults and stops.

The invariant of the whole library: a committed offset has been settled, and so has every one below it.
"""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamzarr.errors import QueueError
from streamzarr.flow import Demand, Stop, from_topic, ops, run
from streamzarr.flow.graph import staged
from streamzarr.flow.stage import Stage
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

PARTITIONS = [TopicPartition("jobs", number) for number in range(3)]

steps = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 2), st.integers(1, 5)),
    st.tuples(st.just("begin"), st.integers(1, 4)),
    st.tuples(st.just("end"), st.integers(0, 10)),
    st.tuples(st.just("end"), st.integers(0, 10)),
    st.tuples(st.just("revoked"), st.integers(0, 2)),
    st.tuples(st.just("lost"), st.integers(0, 2)),
    st.tuples(st.just("fenced"), st.integers(0, 2)),
    st.tuples(st.just("assigned"), st.integers(0, 2)),
    st.tuples(st.just("fault"), st.sampled_from(["commit", "poll", "sink"])),
    st.tuples(st.just("time"), st.floats(0.01, 8.0)),
)


class World:
    """The chain under test and what the model knows about it; `steps` happen one at each turn."""

    def __init__(self, steps, max_demand, max_bytes):
        self.clock = FakeClock(100.0)
        self.broker = FakeBroker(self.clock)
        self.broker.create_topic("jobs", 3)
        self.stop = Stop(self.clock)
        self.demand = Demand(max_demand, max_bytes=max_bytes)
        self.steps = iter(steps)
        self.settled = {partition: set() for partition in PARTITIONS}
        self.sink_faults = 0
        self.desk = None
        self.turns = 0

    @property
    def consumer(self):
        return self.broker.consumers[-1]

    def turn(self):
        self.check()
        self.turns += 1
        step = next(self.steps, None)
        if step is not None:
            getattr(self, step[0])(*step[1:])
        elif not self.finished():
            assert self.turns < 3000, "stuck"
            self.settle_down()
        elif not self.stop.requested:
            self.stop.drain(10.0)

    def append(self, partition, count):
        self.broker.append("jobs", partition, *[b"x" * (10 * count)] * count)

    def begin(self, count):
        if self.desk:
            self.desk.begin(count)

    def end(self, index):
        if self.desk:
            self.desk.end(index)

    def revoked(self, number):
        if PARTITIONS[number] in self.consumer.assignment():
            self.consumer.rebalance("revoked", PARTITIONS[number])

    def lost(self, number):
        if PARTITIONS[number] in self.consumer.assignment():
            self.consumer.rebalance("lost", PARTITIONS[number])

    def fenced(self, number):
        self.consumer.fenced.add(PARTITIONS[number])

    def assigned(self, number):
        if PARTITIONS[number] not in self.consumer.assignment() and not self.consumer._events:
            self.consumer.rebalance("assigned", PARTITIONS[number])

    def fault(self, where):
        if where == "sink":
            self.sink_faults = 2
        else:
            self.broker.fail(where, QueueError("away"))

    def time(self, seconds):
        self.clock.advance(seconds)

    def settle_down(self):
        """Let peace return: every partition is ours, all work ends."""
        self.consumer.fenced.clear()
        for number in range(3):
            self.assigned(number)
        if self.desk:
            self.desk.begin(100)
            self.desk.end(0)

    def finished(self):
        info = self.broker.describe("jobs")
        return self.committed() == {p: end for p, end in info.end.items() if end}

    def committed(self):
        return self.broker.committed("workers", "jobs")

    def sink(self, messages):
        if self.sink_faults:
            self.sink_faults -= 1
            raise QueueError("away")
        for message in messages:
            partition = TopicPartition("jobs", message.record.partition)
            assert partition in self.consumer.assignment(), "stored for a partition that is not ours"
            self.settled[partition].add(message.record.offset)

    def check(self):
        for number, position in self.committed().items():
            missing = set(range(position)) - self.settled[PARTITIONS[number]]
            assert not missing, f"committed {position} of partition {number}, but {missing} are not settled"
        assert self.demand.in_flight <= self.demand.bounds.max_demand


class Desk(Stage):
    """Work that begins and ends when a step says so."""

    def __init__(self, chain, observer, world):
        super().__init__(chain, observer)
        self.queue, self.begun, self.ended = [], [], []
        world.desk = self

    def receive(self, messages):
        self.queue.extend(messages)
        self.working += len(messages)

    def begin(self, count):
        self.begun += self.queue[:count]
        del self.queue[:count]

    def end(self, index):
        if self.begun:
            self.ended.append(self.begun.pop(index % len(self.begun)))

    def turn(self):
        ended, self.ended = self.ended, []
        self.working -= len(ended)
        self.emit(ended)

    def withdraw(self, belongs):
        given_up = [message for message in self.queue if belongs(message)]
        self.queue = [message for message in self.queue if not belongs(message)]
        self.working -= len(given_up)
        return given_up


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    script=st.lists(steps, max_size=60),
    max_demand=st.integers(1, 12),
    max_bytes=st.none() | st.integers(20, 200),
    commit_every=st.sampled_from([0.0, 0.3]),
    with_batch=st.booleans(),
)
def test_nothing_is_committed_before_it_is_settled_and_nothing_is_skipped(
    script, max_demand, max_bytes, commit_every, with_batch
):
    world = World(script, max_demand, max_bytes)
    chain = from_topic(
        world.broker,
        "jobs",
        group="workers",
        demand=world.demand,
        commit_every=commit_every,
        drain_timeout=2.0,
        on_turn=world.turn,
    )
    if with_batch:
        chain = chain.pipe(ops.batch(size=5, timeout=1.0))
    chain = chain.pipe(staged(lambda chain, observer: Desk(chain, observer, world)), ops.settle(world.sink))
    report = run(chain, stop=world.stop, runtime=world.clock)
    world.check()
    assert report.delivered == report.ok + report.handed_back + report.left
    assert world.finished(), "some record was skipped"
    assert all(
        world.settled[PARTITIONS[number]] == set(range(end))
        for number, end in world.broker.describe("jobs").end.items()
    )
    assert (world.demand.in_flight, world.demand.in_flight_bytes) == (0, 0)
