"""What a pipeline costs: per message and per batch, and how long a message takes at half load.

    python benchmarks/pipeline.py [--messages 100000] [--broker kafka://localhost:9092]

Overhead: handlers that do nothing, an iterable as the source. Throughput: from a topic that is full. Latency:
from a record's time to its batch handler, at half of that throughput, by ``rate``. Beside it stands a plain
loop of confluent-kafka's consumer or the embedded one, which is what any pipeline has to go through.
"""

import argparse
import random
import statistics
import tempfile
import threading
import time

import streamzarr as sz
from streamzarr import flow


class Empty(sz.Pipeline):
    """Does nothing."""

    batchers = {"default": sz.Batcher(size=500, timeout=0.05, concurrency=2)}
    processors = sz.Processors(concurrency=2, max_demand=5000)


class Unbatched(sz.Pipeline):
    """Does nothing, one by one."""

    processors = sz.Processors(concurrency=2, max_demand=5000)


class Timed(Empty):
    """Notes how old messages are when their batch is handled."""

    def handle_batch(self, batcher, messages, info, context):
        now = time.time() * 1000
        context.extend(now - message.timestamp for message in messages)
        return messages


def best(measure, times=3):
    return min(measure() for _ in range(times))


def overhead(pipeline, count):
    begun = time.perf_counter()
    report = pipeline.run(source=lambda demand: flow.from_iterable(range(count), demand))
    assert report.ok == count
    return (time.perf_counter() - begun) / count * 1e6


def fill(broker, topic, count):
    with broker.producer() as producer:
        for start in range(0, count, 10_000):
            producer.send(topic, [sz.queue.NewRecord(b"x" * 100)] * min(10_000, count - start))


def plain_loop(broker, topic, group, count):
    begun, seen = time.perf_counter(), 0
    with broker.consumer([topic], group) as consumer:
        while seen < count:
            seen += len(consumer.poll(5000, 0.1))
    return count / (time.perf_counter() - begun)


def throughput(broker, topic, group, count):
    begun = time.perf_counter()
    with Empty.start(source=sz.TopicSource(broker, topics=[topic], group=group)) as pipeline:
        while sum(broker.committed(group, topic).values()) < count:
            pipeline.barrier(timeout=0.2)
    return count / (time.perf_counter() - begun)


def latency(broker, topic, group, per_second, seconds):
    ages = []
    source = sz.TopicSource(broker, topics=[topic], group=group)
    with Timed.start(source=source, context=ages), broker.producer() as producer:
        time.sleep(3.0)  # joining the group is not what is measured
        every = 0.02
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            producer.send(topic, [sz.queue.NewRecord(b"x" * 100)] * max(1, int(per_second * every)))
            producer.flush()
            time.sleep(every)
        time.sleep(1.0)
    cuts = statistics.quantiles(ages, n=100)
    return cuts[49], cuts[98], len(ages)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--broker", default="")
    given = parser.parse_args()
    count = given.messages
    print(f"threads: {threading.active_count()}, messages: {count}")
    print(f"overhead, no batcher:   {best(lambda: overhead(Unbatched, count)):6.2f} µs a message")
    print(f"overhead, batches of 500: {best(lambda: overhead(Empty, count)):4.2f} µs a message")
    with tempfile.TemporaryDirectory() as folder:
        broker = sz.open_broker(given.broker or f"sqlite:///{folder}/queue.db")
        with broker:
            run = f"pipe-bench-{random.randrange(1 << 32):x}"
            full, live = f"{run}-full", f"{run}-live"
            for topic in (full, live):
                broker.create_topic(topic, 2)
            fill(broker, full, count)
            loop = plain_loop(broker, full, f"{run}-loop", count)
            through = throughput(broker, full, f"{run}-through", count)
            print(f"throughput: {through:,.0f} messages/s, of {loop:,.0f} of a plain loop")
            p50, p99, seen = latency(broker, live, f"{run}-live", through / 2, seconds=5.0)
            print(f"latency at half load: p50 {p50:.0f} ms, p99 {p99:.0f} ms ({seen} messages)")
            for topic in (full, live):
                broker.delete_topic(topic)


if __name__ == "__main__":
    main()
