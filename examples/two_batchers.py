"""Ticks from a topic go two ways: into an archive in large batches, and jumps to whoever watches at once.

Runs on the embedded broker, or on Kafka: ``python examples/two_batchers.py kafka://localhost:9092``
"""

import random
import sys
import tempfile

import streamzarr as sz
from streamzarr.queue.letters import DeadLetterQueue

COUNT = 2000


class Ticks(sz.Pipeline):
    """Archives prices by symbol; tells of jumps; what is no tick becomes a dead letter."""

    processors = sz.Processors(concurrency=2, partition_by=lambda message: message.key)
    batchers = {
        "archive": sz.Batcher(size=500, timeout=0.2),
        "jumps": sz.Batcher(size=1),
    }

    def make_context(self):
        return {"last": {}, "archive": {}, "jumps": []}

    def handle_message(self, message, context):
        symbol, price = message.key.decode(), float(message.value)
        before = context["last"].get(symbol, price)  # of one key there is one at a time
        context["last"][symbol] = price
        batcher = "jumps" if abs(price - before) > 5 else "archive"
        return message.replace(data=price, batcher=batcher, batch_key=symbol)

    def handle_batch(self, batcher, messages, info, context):
        prices = [message.data for message in messages]
        if batcher == "jumps":
            context["jumps"] += [(info.key, price) for price in prices]
        else:
            context["archive"].setdefault(info.key, []).extend(prices)
        return messages


def main(url):
    """Write ticks, run the pipeline until all are acknowledged, and look at what it has made of them."""
    run = random.randrange(1 << 32)
    topic, dead, group = f"ticks-{run:x}", f"ticks-{run:x}.dead", f"archive-{run:x}"
    with sz.open_broker(url) as broker:
        broker.create_topic(topic, 2)
        broker.create_topic(dead)
        records = [sz.queue.NewRecord(b"%d" % (n % 50), key=(b"EUR", b"BTC")[n % 2]) for n in range(COUNT)]
        records[700] = sz.queue.NewRecord(b"not a price", key=b"EUR")
        with broker.producer() as producer:
            producer.send(topic, records)
        context = Ticks().make_context()
        source = sz.TopicSource(broker, topics=[topic], group=group)
        with Ticks.start(source=source, dead_letters=dead, context=context) as pipeline:
            while sum(broker.committed(group, topic).values()) < COUNT:
                pipeline.barrier(timeout=1)
        letters = DeadLetterQueue(broker, dead).ls()
        stored = sum(map(len, context["archive"].values())) + len(context["jumps"])
        print(f"{stored} prices stored, {len(context['jumps'])} of them jumps; dead letters: {len(letters)}")
        assert stored + len(letters) == COUNT
        print("nothing is missing")
        for name in (topic, dead):
            broker.delete_topic(name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/queue.db")
