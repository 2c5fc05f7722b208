"""Any poison, any outage, any rebalance: each message is stored or a letter in the end, and none is both."""

from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.errors import QueueError, StoreError
from streamzarr.flow import Control, DeadLetterLimit, Demand, Stop, from_topic, ops, run
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

PARTITIONS = [TopicPartition("jobs", number) for number in range(2)]
END = 60.0
"""By then somebody has looked at what pauses, and what was away is back."""

messages = st.lists(st.sampled_from(["ok", "ok", "poison"]), max_size=25)
events = st.lists(
    st.tuples(
        st.floats(0.0, 40.0),
        st.sampled_from(["outage", "mended", "move", "lost", "resume", "letters away", "commit fails"]),
        st.integers(0, 1),
    ),
    max_size=12,
)
limits = st.builds(
    DeadLetterLimit,
    in_a_row=st.none() | st.integers(0, 3),
    ratio=st.none() | st.sampled_from([0.0, 0.2, 0.5]),
    of=st.integers(1, 10),
    probe_after=st.sampled_from([0.5, 5.0]),
)


class World:
    """A chain over two partitions, and what happens to it."""

    def __init__(self, logs):
        self.clock = FakeClock()
        self.broker = FakeBroker(self.clock)
        self.broker.create_topic("jobs", 2)
        self.stop, self.control = Stop(self.clock), Control(runtime=self.clock)
        self.stored, self.letters = set(), set()
        self.away = self.letters_away = False
        self.sent = {}
        for number, log in enumerate(logs):
            values = [f"{number}/{place}/{kind}".encode() for place, kind in enumerate(log)]
            self.broker.append("jobs", number, *values)
            self.sent[number] = values

    def work(self, value):
        if self.away:
            raise StoreError("the store is away")
        if value.endswith(b"poison"):
            raise ValueError("poison")
        return value

    def store(self, messages):
        self.stored.update(message.data for message in messages)

    def bury(self, messages):
        if self.letters_away:
            self.letters_away = False
            raise QueueError("no letters now")
        for message in messages:
            assert isinstance(message.failure.error, ValueError), "an outage is no message's fault"
            self.letters.add(message.record.value)

    def happen(self, what, partition):
        [consumer] = self.broker.consumers
        where = PARTITIONS[partition]
        match what:
            case "outage":
                self.away = True
            case "mended":
                self.away = False
            case "move" | "lost" if where in consumer.assignment():
                consumer.rebalance("revoked" if what == "move" else "lost", where)
                consumer.rebalance("assigned", where)
            case "resume":
                self.control.resume_partitions()
            case "letters away":
                self.letters_away = True
            case "commit fails":
                self.broker.fail("commit", QueueError("no answer"))

    def run(self, limit):
        def turn():
            assert self.clock.now() < 600, (self.control.paused_partitions, self.broker.commits[-3:])
            if self.clock.now() > END:
                self.away = False
                self.control.resume_partitions()
                if all(self.done(number) for number in self.sent):
                    self.stop.drain(5.0)

        chain = from_topic(
            self.broker,
            "jobs",
            group="g",
            demand=Demand(7, runtime=self.clock),
            stop=self.stop,
            on_turn=turn,
            poll_timeout=0.5,
        ).pipe(ops.map(self.work), ops.settle(self.store, dead_letters=self.bury, limit=limit))
        return run(chain, stop=self.stop, control=self.control, runtime=self.clock)

    def done(self, number):
        return self.broker.committed("g", "jobs").get(number, 0) == len(self.sent[number])


@settings(max_examples=50)
@given(st.tuples(messages, messages), events, limits)
def test_each_message_is_stored_or_a_letter_and_none_is_both(logs, events, limit):
    world = World(logs)
    for seconds, what, partition in events:
        world.broker.at(seconds, lambda what=what, partition=partition: world.happen(what, partition))
    if limit.in_a_row == 0 or (limit.ratio is not None and limit.ratio * limit.of < 1):
        limit = DeadLetterLimit(in_a_row=1)  # else poison would hold its partition for ever
    world.run(limit)
    everything = {value for values in world.sent.values() for value in values}
    assert world.letters == {value for value in everything if value.endswith(b"poison")}
    assert world.stored == everything - world.letters
