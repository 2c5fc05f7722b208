"""What keeps its order, and what goes on beside it."""

import threading

import pytest

from streamzarr import flow
from streamzarr.errors import StoreError
from streamzarr.pipeline import Batcher, Pipeline, Processors, TopicSource
from streamzarr.queue.base import NewRecord
from streamzarr.queue.retry import RetryPolicy
from streamzarr.testing.broker_fake import FakeBroker

FAST = RetryPolicy(attempts=5, base=0.001, jitter=0.0)


class Ordered(Pipeline):
    """Stores (key, number) in batches; every seventh message is tried again once or twice."""

    processors = Processors(concurrency=4, partition_by=lambda message: message.data[0])
    batchers = {"default": Batcher(size=5, concurrency=3)}
    retry = FAST

    def make_context(self):
        return Store()

    def handle_message(self, message, context):
        context.stumble(message.data)
        return message

    def handle_batch(self, batcher, messages, info, context):
        context.stumble(tuple(message.data for message in messages))
        context.store(messages)
        return messages


class Store:
    def __init__(self):
        self.lock = threading.Lock()
        self.tries, self.stored = {}, []

    def stumble(self, what):
        with self.lock:
            self.tries[what] = self.tries.get(what, 0) + 1
            if hash(what) % 7 == 3 and self.tries[what] < 3:
                raise StoreError("away")

    def store(self, messages):
        with self.lock:
            self.stored += [message.data for message in messages]

    def of(self, key):
        return [number for name, number in self.stored if name == key]


def items(keys, count):
    return [(key, number) for number in range(count) for key in keys]


def test_messages_of_a_key_keep_their_order_through_all_layers_and_retries():
    store = Store()
    every = items("abcdefgh", 40)
    report = Ordered.run(source=lambda demand: flow.from_iterable(every, demand), context=store)
    assert report.ok == len(every)
    for key in "abcdefgh":
        assert store.of(key) == list(range(40))


def test_records_of_a_partition_keep_their_order():
    broker, store, stop = FakeBroker(), Store(), threading.Event()
    broker.create_topic("ticks", partitions=3)
    for partition in range(3):
        broker.append("ticks", partition, *(b"%d" % number for number in range(50)))

    class ByPartition(Ordered):
        def handle_message(self, message, context):
            return super().handle_message(message.with_data((message.partition, int(message.value))), context)

        def handle_batch(self, batcher, messages, info, context):
            messages = super().handle_batch(batcher, messages, info, context)
            if len(context.stored) == 150:
                stop.set()
            return messages

    pipeline = ByPartition.start(
        source=TopicSource(broker, topics=["ticks"], group="g"),
        ordering="partition",
        processors=Processors(concurrency=4),
        context=store,
    )
    assert stop.wait(20)
    pipeline.stop()
    for partition in range(3):
        assert store.of(partition) == list(range(50))
    assert broker.committed("g", "ticks") == {0: 50, 1: 50, 2: 50}


def test_the_records_own_key_counts_where_no_function_gives_another():
    broker, store = FakeBroker(), []
    broker.create_topic("ticks")
    broker._append("ticks", [NewRecord(b"%d" % n, key=b"k%d" % (n % 5), partition=0) for n in range(100)])
    done = threading.Event()

    class ByKey(Pipeline):
        def handle_message(self, message, context):
            context.append((message.key, int(message.value)))
            if len(context) == 100:
                done.set()
            return message

    pipeline = ByKey.start(
        source=TopicSource(broker, topics=["ticks"], group="g"), ordering="key", context=store
    )
    assert done.wait(20)
    pipeline.stop()
    for key in {key for key, _ in store}:
        numbers = [number for name, number in store if name == key]
        assert numbers == sorted(numbers)


def test_a_key_that_waits_for_another_attempt_does_not_hold_up_the_others():
    """Eight keys on sixteen lanes: at least one other lane goes on."""
    others = threading.Event()

    class Waiting(Ordered):
        batchers = {}

        def handle_message(self, message, context):
            if message.data == (0, 0) and not others.is_set():
                raise StoreError("away")
            if message.data == (1, 9):
                others.set()
            return message

    every = items([0, 1], 10)
    policy = RetryPolicy(attempts=10_000, base=0.001, max_delay=0.01)
    report = Waiting.run(source=lambda demand: flow.from_iterable(every, demand), retry=policy)
    assert report.ok == 20


def test_without_order_a_message_that_waits_holds_up_none():
    others = threading.Event()

    class Waiting(Pipeline):
        processors = Processors(concurrency=1)
        retry = RetryPolicy(attempts=10_000, base=0.001, max_delay=0.01)

        def handle_message(self, message, context):
            if message.data == 0 and not others.is_set():
                raise StoreError("away")
            if message.data == 99:
                others.set()
            return message

    assert Waiting.run(source=lambda demand: flow.from_iterable(range(100), demand)).ok == 100


def test_batches_of_one_key_are_never_handled_at_the_same_time_those_of_others_are():
    inside, most, together = set(), [], threading.Barrier(2)

    class Keyed(Pipeline):
        batchers = {"default": Batcher(size=1, concurrency=4)}

        def handle_message(self, message, context):
            return message.replace(batch_key=message.data % 2)

        def handle_batch(self, batcher, messages, info, context):
            assert info.key not in inside
            inside.add(info.key)
            together.wait(20)  # both keys are at work, or nobody gets on
            most.append(len(inside))
            together.wait(20)
            inside.discard(info.key)
            together.wait(20)
            return messages

    assert Keyed.run(source=lambda demand: flow.from_iterable(range(20), demand)).ok == 20
    assert set(most) == {2}


@pytest.mark.parametrize("ordering", ["none", None])
def test_batches_without_a_key_are_handled_side_by_side(ordering):
    together = threading.Barrier(3)

    class Beside(Pipeline):
        batchers = {"default": Batcher(size=1, concurrency=3)}

        def handle_batch(self, batcher, messages, info, context):
            together.wait(20)
            return messages

    source = lambda demand: flow.from_iterable(range(9), demand)  # noqa: E731
    assert Beside.run(source=source, ordering=ordering).ok == 9


def test_a_key_that_cannot_be_found_fails_its_message():
    report = Ordered.run(source=lambda demand: flow.from_iterable([("a", 1), 7], demand), on_failure="skip")
    assert (report.ok, report.failed) == (1, 1)
