"""A topic with windows, and workers on a clock of their own that follow a schedule of mishaps."""

import json
import uuid
from contextlib import suppress

from streamzarr.flow import Demand, Rate, Stop, from_topic, ops, run
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock
from tests.support.mortal import MortalState

PARTITIONS = 2
PIECES = "ab"
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
        self.check()

    def check(self):
        if not self.alive:
            raise Killed


class World:
    """A topic, a store and a sink that outlive the workers.

    Without `kept` the windows are not in the store, so messages are read again. In a `hard` world the sink
    puts results off, and records come in pieces.
    """

    def __init__(self, kind, steps, *, hard=False, kept=True):
        self.kind, self.steps, self.hard, self.kept = kind, steps, hard, kept
        self.over = False
        self.clock = FakeClock()
        self.broker = FakeBroker(runtime=self.clock)
        self.broker.create_topic("ticks", partitions=PARTITIONS)
        self.url = f"memory://{uuid.uuid4().hex}"
        self.sent = [[] for _ in range(PARTITIONS)]
        self.delivered = []
        self.asked = set()

    def send(self, partition, at):
        tick = (at, f"{partition}-{len(self.sent[partition])}")
        self.sent[partition].append(tick)
        self.broker.append("ticks", partition, json.dumps([partition, *tick]).encode())

    def step(self, consumer, life, stop):
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
        elif what == "stop":
            stop.drain(5.0)
        elif what == "assigned" and partition not in owned:
            consumer.rebalance("assigned", TopicPartition("ticks", partition))
        elif what in ("revoked", "lost") and partition in owned:
            consumer.rebalance(what, TopicPartition("ticks", partition))
        return True

    def work(self):
        """One life of a worker; tell whether all there is has come to the sink."""
        life, stop = Life(), Stop(self.clock)
        state = MortalState(life, self.url, every=0.1, runtime=self.clock) if self.kept else None
        self.broker.faults["commit"] = life.check
        turns = 0

        def look():
            nonlocal turns
            turns += 1
            if not self.kept:
                life.point()
            if turns % 3 == 0 and not stop.requested:
                self.over = not self.step(self.broker.consumers[-1], life, stop) and self.done()
                if self.over:
                    stop.drain(5.0)
            if turns > 3000:
                raise AssertionError("the results do not come")

        def sink(messages):
            return [self.take(message.data, life) for message in messages]

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
            *self.before(),
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
        with suppress(Killed):
            run(chain, runtime=self.clock)
        return self.over

    def before(self):
        """What stands before the windows: in a hard world records come in pieces, slowly and by twos."""
        if not self.hard:
            return []
        return [
            ops.split(lambda tick: [[*tick[:2], tick[2] + piece] for piece in PIECES]),
            ops.rate_limit(Rate(messages=40)),
            ops.batch(2, timeout=0.2),
        ]

    def take(self, result, life):
        """Take a result, as the sink; in a hard world not at once."""
        name = (result.key, result.window, result.pane)
        if self.hard and hash(name) % 3 == 0 and name not in self.asked:
            self.asked.add(name)
            return ops.Again(0.1)
        life.point()
        self.delivered.append(result)
        life.point()
        return ops.DONE

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
                    found[(partition, name)] = self.pieces(ids)
                continue
            for at, number in ticks:
                for window in self.kind["window"].windows(at):
                    if window.stop < END:
                        found.setdefault((partition, window.start), []).extend(self.pieces([number]))
        return {name: sorted(ids) for name, ids in found.items()}

    def pieces(self, ids):
        return [number + piece for number in ids for piece in PIECES] if self.hard else ids

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
