"""A chain from a topic to a sink, driven turn by turn on a fake clock."""

from streamzarr.flow import Demand, Stop, from_topic, ops, run
from streamzarr.flow.graph import staged
from streamzarr.flow.stage import Stage
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

P0, P1 = TopicPartition("jobs", 0), TopicPartition("jobs", 1)


class Desk(Stage):
    """Holds messages until the test says that their work has begun, and that it has ended."""

    def __init__(self, chain, observer, test):
        super().__init__(chain, observer)
        self.queue, self.begun, self.ended = [], [], []
        self._test = test

    def receive(self, messages):
        self._test.desk = self
        self.queue.extend(messages)
        self.working += len(messages)

    def begin(self, *values):
        for value in values:
            [message] = [m for m in self.queue if m.data == value]
            self.queue.remove(message)
            self.begun.append(message)

    def end(self, *values):
        for value in values:
            message = next(m for m in self.begun if m.data == value)
            self.begun.remove(message)
            self.ended.append(message)

    def turn(self):
        ended, self.ended = self.ended, []
        self.working -= len(ended)
        self.emit(ended)

    def withdraw(self, belongs):
        given_up = [m for m in self.queue if belongs(m)]
        self.queue = [m for m in self.queue if not belongs(m)]
        self.working -= len(given_up)
        return given_up


class Bench:
    """A chain from a topic to a sink that the test drives one step per turn.

    `script` is a generator: it runs up to its next ``yield`` at each turn; when it ends, the chain stops.
    """

    def __init__(self, partitions=2):
        self.clock = FakeClock(100.0)
        self.broker = FakeBroker(self.clock)
        self.broker.create_topic("jobs", partitions)
        self.stop = Stop(self.clock)
        self.demand = Demand(100)
        self.desk = None
        self.settled = []
        self.rebalances = []

    @property
    def consumer(self):
        return self.broker.consumers[-1]

    def committed(self):
        return self.broker.committed("workers", "jobs")

    def run(self, script, *, desk=True, sink=None, drain=0.0, **options):
        steps = script(self)

        def turn():
            if next(steps, "end") == "end" and not self.stop.requested:
                self.stop.drain(drain)

        def store(messages):
            if sink is not None:
                sink(messages)
            self.settled.extend(m.data for m in messages)

        options = {"commit_every": 0.0, "drain_timeout": 5.0} | options
        chain = from_topic(
            self.broker,
            "jobs",
            group="workers",
            demand=self.demand,
            on_turn=turn,
            on_rebalance=lambda what, partitions: self.rebalances.append((what, *partitions)),
            **options,
        )
        if desk:
            chain = chain.pipe(staged(lambda chain, observer: Desk(chain, observer, self)))
        report = run(chain.pipe(ops.settle(store)), stop=self.stop, runtime=self.clock)
        assert self.demand.in_flight == 0
        assert self.consumer.closed
        return report


def until(condition, turns=200):
    """Let turns pass until `condition()` holds."""
    for _ in range(turns):
        if condition():
            return
        yield
    raise AssertionError("condition not reached")
