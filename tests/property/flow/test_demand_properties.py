"""The arithmetic of demand against what it promises, over all schedules."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamzarr.flow import Demand, LagDemand
from streamzarr.flow.demand.balance import Bounds, refill, split
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock


@st.composite
def bounds(draw):
    max_demand = draw(st.integers(1, 50))
    return Bounds(max_demand, draw(st.integers(0, max_demand - 1)), draw(st.none() | st.integers(1, 100)))


@given(bounds(), st.integers(0, 500))
def test_split_loses_nothing_and_lets_demand_return_after_each_batch(bounds, count):
    sizes = split(count, bounds)
    assert sum(sizes) == count
    assert all(0 < size <= bounds.max_demand - bounds.min_demand for size in sizes)


@given(bounds(), st.integers(0, 60), st.integers(0, 60))
def test_refill_never_promises_more_than_max(bounds, credit, in_flight):
    new = refill(credit, in_flight, bounds)
    assert new >= 0
    assert new + in_flight <= max(bounds.max_demand, in_flight)
    if in_flight == 0 and credit == 0:
        assert new == bounds.max_demand  # an idle chain can always go on


class DemandMachine(RuleBasedStateMachine):
    """A source that pulls as told, and a settler that settles in any order."""

    def __init__(self):
        super().__init__()
        self.flying = []
        self.demand = None

    @precondition(lambda self: self.demand is None)
    @rule(bounds=bounds())
    def start(self, bounds):
        self.bounds = bounds
        self.demand = Demand(bounds.max_demand, bounds.min_demand, bounds.max_bytes)

    @precondition(lambda self: self.demand is not None)
    @rule(sizes=st.lists(st.integers(0, 120), max_size=60))
    def pull(self, sizes):
        room = self.demand.room()
        assert room.messages <= self.bounds.max_demand - len(self.flying)
        taken = self.demand.take(sizes)
        self.flying += sizes[:taken]
        if room.messages and room.nbytes is None and sizes:
            assert taken, "room said yes, take said no"
        if not self.flying and sizes:
            raise AssertionError("an idle chain was refused its first message")

    @precondition(lambda self: self.demand is not None and self.flying)
    @rule(data=st.data())
    def settle(self, data):
        chosen = data.draw(st.integers(1, len(self.flying)))
        sizes = [self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1))) for _ in range(chosen)]
        self.demand.settle(len(sizes), sum(sizes))

    @invariant()
    def bounds_hold(self):
        if self.demand is None:
            return
        assert self.demand.in_flight == len(self.flying) <= self.bounds.max_demand
        assert self.demand.in_flight_bytes == sum(self.flying)
        if self.bounds.max_bytes is not None and len(self.flying) > 1:
            assert sum(self.flying) <= self.bounds.max_bytes

    @invariant()
    def credit_returns(self):
        if self.demand is not None and len(self.flying) <= self.bounds.min_demand:
            room = self.demand.room()
            assert room.messages or room.nbytes == 0


class LagMachine(RuleBasedStateMachine):
    """A paced producer, and a group that commits now and then."""

    MAX = 12

    def __init__(self):
        super().__init__()
        self.clock = FakeClock(50.0)
        self.broker = FakeBroker(self.clock)
        self.broker.create_topic("jobs", 2)
        self.demand = LagDemand(self.broker, "jobs", "workers", max_lag=self.MAX, runtime=self.clock)
        self.sending = 0

    def lag(self):
        info, committed = self.broker.describe("jobs"), self.broker.committed("workers", "jobs")
        return sum(info.end[p] - committed.get(p, 0) for p in info.end)

    @rule(wanted=st.integers(1, 20))
    def take(self, wanted):
        self.demand.room()
        self.sending += self.demand.take([0] * wanted)

    @precondition(lambda self: self.sending)
    @rule(data=st.data())
    def send(self, data):
        count = data.draw(st.integers(1, self.sending))
        for _ in range(count):
            self.broker.append("jobs", data.draw(st.integers(0, 1)), b"x")
        if data.draw(st.booleans()):  # the broker shows them before the producer knows
            self.clock.advance(0.2)
            self.demand.room()
        self.sending -= count
        self.demand.settle(count, 0)

    @rule(partition=st.integers(0, 1), share=st.floats(0, 1))
    def commit(self, partition, share):
        end = self.broker.describe("jobs").end[partition]
        begin = self.broker.committed("workers", "jobs").get(partition, 0)
        self.broker.set_committed(
            "workers", TopicPartition("jobs", partition), begin + round((end - begin) * share)
        )

    @rule(seconds=st.floats(0.01, 20.0))
    def pass_time(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def never_more_than_max_lag(self):
        assert self.lag() + self.sending <= self.MAX

    def teardown(self):
        """Whatever happened: when the group catches up, sending goes on."""
        self.demand.settle(self.sending, 0)
        for partition, end in self.broker.describe("jobs").end.items():
            self.broker.set_committed("workers", TopicPartition("jobs", partition), end)
        self.clock.advance(0.2)
        self.demand.room()
        assert self.MAX // 2 < self.demand.take([0] * 100) <= self.MAX


TestDemandMachine = DemandMachine.TestCase
TestLagMachine = LagMachine.TestCase
TestDemandMachine.settings = TestLagMachine.settings = settings(max_examples=60, deadline=None)
