"""Ours, as a pipeline: a message for each record, and a batch handler."""

import threading

from trial import Sink, Trial, decode

import streamzarr as sz


class Readings(sz.Pipeline):
    """Decodes, and hands over batches; `context` is the sink, and what is set when it is full."""

    processors = sz.Processors(concurrency=1, max_demand=5000)

    def handle_message(self, message, context):
        return message.with_data(decode(message.value))

    def handle_batch(self, batcher, messages, info, context):
        sink, full = context
        sink.take([message.data for message in messages])
        if sink.full:
            full.set()
        return messages


def main() -> None:
    trial = Trial.given()
    sink, full = Sink(trial), threading.Event()
    source = sz.TopicSource(f"kafka://{trial.servers}", topics=[trial.topic], group=trial.group)
    batchers = {"default": sz.Batcher(size=trial.batch, timeout=0.2)}
    running = Readings.start(source=source, batchers=batchers, context=(sink, full))
    while not full.wait(1.0):
        if running.ended:
            running.wait()
    running.stop(drain=30.0)
    sink.tell()


if __name__ == "__main__":
    main()
