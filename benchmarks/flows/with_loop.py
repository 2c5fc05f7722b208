"""The least that can be done: a loop around ``consume``."""

import time

from confluent_kafka import Consumer, Message
from trial import CLIENT, COMMIT_EVERY, Sink, Trial, decode


def main() -> None:
    trial = Trial.given()
    sink = Sink(trial)
    consumer = Consumer(
        {
            **CLIENT,
            "bootstrap.servers": trial.servers,
            "group.id": trial.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([trial.topic])
    commit_at = time.monotonic() + COMMIT_EVERY
    while not sink.full:
        messages = consumer.consume(trial.batch, 1.0)
        if any(map(Message.error, messages)):
            raise RuntimeError(next(filter(None, map(Message.error, messages))).str())
        if messages:
            sink.take([decode(message.value()) for message in messages])
        if messages and (sink.full or time.monotonic() >= commit_at):
            consumer.commit(asynchronous=False)
            commit_at = time.monotonic() + COMMIT_EVERY
    consumer.close()
    sink.tell()


if __name__ == "__main__":
    main()
