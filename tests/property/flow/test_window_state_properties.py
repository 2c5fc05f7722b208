"""Windows in a store under random schedules of messages, rebalances and crashes: each message once."""

import json
import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamzarr.flow import Demand, Stop, WindowState, from_topic, ops, run, windows
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

PARTITIONS = 2
END = 10**6


class Killed(Exception):
    """The worker is dead: whatever it still tries changes nothing."""


class Life:
    def __init__(self):
        self.alive = True
        self.left = None  # points to pass until the end

    def point(self):
        if self.left is not None:
            self.left -= 1
            self.alive &= self.left > 0
        if not self.alive:
            raise Killed


class MortalState(WindowState):
    def __init__(self, life, *args, **options):
        super().__init__(*args, **options)
        self.life = life

    def _put(self, *args):
        self.life.point()
        etag = super()._put(*args)
        self.life.point()
        return etag


class World:
    """A topic, a store and a sink that outlive the workers."""

    def __init__(self, kind, steps):
        self.kind, self.steps = kind, steps
        self.clock = FakeClock()
        self.broker = FakeBroker(runtime=self.clock)
        self.broker.create_topic("ticks", partitions=PARTITIONS)
        self.url = f"memory://{uuid.uuid4().hex}"
        self.sent = [[] for _ in range(PARTITIONS)]
        self.delivered = []

    def send(self, partition, at):
        tick = (at, f"{partition}-{len(self.sent[partition])}")
        self.sent[partition].append(tick)
        self.broker.append("ticks", partition, json.dumps([partition, *tick]).encode())

    def step(self, consumer, life):
        """Do the next step of the schedule; tell whether there was one."""
        if not self.steps:
            return False
        what, partition, number = self.steps.pop(0)
        owned = {each.partition for each in consumer.assignment()}
        if what == "send":
            base = max((at for at, _ in self.sent[partition]), default=0)
            self.send(partition, max(0, base + number))
        elif what == "crash":
            life.left = number
        elif what == "assigned" and partition not in owned:
            consumer.rebalance("assigned", TopicPartition("ticks", partition))
        elif what in ("revoked", "lost") and partition in owned:
            consumer.rebalance(what, TopicPartition("ticks", partition))
        return True

    def work(self):
        """One life of a worker; tell whether it came to the end of the schedule."""
        life, stop = Life(), Stop(self.clock)
        state = MortalState(life, self.url, every=0.1, runtime=self.clock)
        turns = 0

        def look():
            nonlocal turns
            turns += 1
            if turns % 3 == 0 and not self.step(self.broker.consumers[-1], life) and self.done():
                stop.drain(5.0)
            if turns > 3000:
                raise AssertionError("the results do not come")

        def sink(messages):
            for message in messages:
                life.point()
                self.delivered.append(message.data)
                life.point()

        chain = from_topic(
            self.broker,
            "ticks",
            group="g",
            demand=Demand(4),
            committer=state,
            stop=stop,
            on_turn=look,
            poll_timeout=0.05,
        ).pipe(
            ops.map(json.loads),
            ops.partition_by(lambda tick: tick[0]),
            ops.reduce(
                lambda ids, tick: [*ids, tick[2]],
                initial=list,
                time=lambda tick: tick[1],
                disorder="3ns",
                idle=None,
                state=state,
                **self.kind,
            ),
            ops.settle(sink),
        )
        try:
            run(chain, runtime=self.clock)
        except Killed:
            return False
        return True

    def done(self):
        """Tell whether each window has its result; when the schedule is over, send what closes them."""
        consumer = self.broker.consumers[-1]
        missing = {0, 1} - {each.partition for each in consumer.assignment()}
        if missing:
            consumer.rebalance("assigned", *(TopicPartition("ticks", partition) for partition in missing))
            return False
        if not any(at == END for at, _ in self.sent[0]):
            for partition in range(PARTITIONS):
                self.send(partition, END)
        return {name for name, _ in self.results()} >= set(self.expected())

    def expected(self):
        found = {}
        for partition, ticks in enumerate(self.sent):
            if "merge" in self.kind:
                for name, ids in sessions(ticks):
                    found[(partition, name)] = ids
                continue
            for at, number in ticks:
                for window in self.kind["window"].windows(at):
                    if window.stop < END:
                        found.setdefault((partition, window.start), []).append(number)
        return {name: sorted(ids) for name, ids in found.items()}

    def results(self):
        return [
            ((result.key, result.window.start), sorted(result.value))
            for result in self.delivered
            if result.firing == "final"
        ]


def sessions(ticks, gap=3):
    groups = []
    for at, number in sorted(ticks):
        if at == END:
            continue
        if not groups or at - groups[-1][1] >= gap:
            groups.append([at, at, []])
        groups[-1][1] = at
        groups[-1][2].append(number)
    return [(first, ids) for first, _, ids in groups]


KINDS = [
    {"window": windows.Fixed("4ns"), "trigger": windows.Every(2)},
    {"window": windows.Sliding("6ns", "3ns"), "trigger": windows.After("1s")},
    {"window": windows.Session("3ns"), "merge": lambda one, other: one + other},
]
PARTITION = st.integers(0, PARTITIONS - 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), PARTITION, st.integers(-3, 4)),
        st.tuples(st.just("send"), PARTITION, st.integers(-3, 4)),
        st.tuples(st.just("send"), PARTITION, st.integers(-3, 4)),
        st.tuples(st.sampled_from(["revoked", "lost", "assigned"]), PARTITION, st.just(0)),
        st.tuples(st.just("crash"), st.just(0), st.integers(1, 12)),
    ),
    min_size=40,
    max_size=100,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.sampled_from(KINDS), STEPS)
def test_each_window_has_one_value_and_it_holds_each_message_once(kind, steps):
    world = World(kind, list(steps))
    while not world.work():
        pass
    by_name = {}
    for result in world.delivered:
        name = (result.key, result.window, result.pane)
        assert by_name.setdefault(name, result) == result, "one name has two values"
    finals = {}
    for name, value in world.results():
        assert finals.setdefault(name, value) == value
    expected = world.expected()
    assert {name: finals.get(name) for name in expected} == expected
