"""Partitions of a real Kafka that pause rather than lose what fails."""

import math

import pytest

from streamzarr.flow import Control, DeadLetterLimit, Demand, Stop, from_topic, ops, run
from streamzarr.queue import DeadLetter, DeadLetterQueue, NewRecord
from streamzarr.queue.retry import RetryPolicy

pytestmark = pytest.mark.kafka

POISON = 10


class Bench:
    """A chain from a topic to a list, with letters on a topic of their own; `turn` says when it ends."""

    def __init__(self, broker, topic, group):
        self.broker, self.topic, self.group = broker, topic, group
        self.dead = f"{topic}.dead"
        broker.create_topic(self.dead)
        self.letters = DeadLetterQueue(broker, self.dead)
        self.stored, self.stop, self.control = [], Stop(), Control()
        self.failures = 0

    def send(self, *values):
        with self.broker.producer() as producer:
            producer.send(self.topic, [NewRecord(value, partition=0) for value in values])

    def bury(self, messages):
        records = [
            DeadLetter.of(m.record, error=m.failure.error, stage=m.failure.stage).to_record()
            for m in messages
        ]
        try:
            with self.broker.producer() as producer:
                producer.send(self.dead, records)
        except Exception:
            self.failures += 1
            raise

    def run(self, limit, turn, **options):
        def look():
            if turn():
                self.stop.drain(10.0)

        chain = from_topic(
            self.broker, self.topic, group=self.group, demand=Demand(100), stop=self.stop, on_turn=look
        ).pipe(
            ops.map(float),
            ops.settle(
                lambda messages: self.stored.extend(m.data for m in messages),
                dead_letters=self.bury,
                limit=limit,
                **options,
            ),
        )
        return run(chain, stop=self.stop, control=self.control)

    def committed(self):
        return self.broker.committed(self.group, self.topic).get(0)


@pytest.fixture
def bench(broker, topic, group):
    return Bench(broker, topic, group)


def test_ten_poison_messages_with_a_limit_of_two_lose_nothing(bench):
    bench.send(b"1", *(b"poison %d" % n for n in range(POISON)), b"2")
    report = bench.run(
        DeadLetterLimit(in_a_row=2, probe_after=0.1, probe_longest=0.2),
        lambda: any(each.tries >= 3 for each in bench.control.paused_partitions),
    )
    assert [letter.value for _, letter in bench.letters.read()] == [b"poison 0", b"poison 1"]
    assert report.paused[0].position == 3
    assert bench.committed() == 3

    def turn():  # somebody has looked, and lets them all become letters
        bench.control.resume_partitions()
        return bench.committed() == POISON + 2

    bench.stop = Stop()
    bench.run(DeadLetterLimit(in_a_row=2, probe_after=math.inf), turn)
    assert [letter.value for _, letter in bench.letters.read()] == [b"poison %d" % n for n in range(POISON)]
    assert set(bench.stored) == {1.0, 2.0}


def test_a_topic_of_dead_letters_that_is_gone_for_a_while_holds_up_and_loses_nothing(bench):
    bench.send(b"1", b"poison", b"2", b"3")
    bench.broker.delete_topic(bench.dead)

    def turn():
        if bench.failures == 2:
            bench.broker.create_topic(bench.dead, exist_ok=True)
        return bench.committed() == 4

    bench.run(
        DeadLetterLimit(), turn, retry=RetryPolicy(attempts=100, base=0.05), is_transient=lambda error: True
    )
    assert [letter.value for _, letter in bench.letters.read()] == [b"poison"]
    assert set(bench.stored) == {1.0, 2.0, 3.0}
    assert bench.failures >= 2
