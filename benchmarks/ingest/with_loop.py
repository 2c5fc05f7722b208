"""The least that can be done: a loop around ``consume`` that counts bytes."""

from confluent_kafka import Consumer, Message
from ingest.trial import Trial, Watch
from ingest.workloads import W4


def main() -> None:
    trial = Trial.given()
    watch, nbytes = Watch(trial), 0
    batch = 100 if trial.workload is W4 else 1000
    consumer = Consumer(trial.client)
    consumer.subscribe([trial.topic])
    while watch.left:
        messages = consumer.consume(min(batch, watch.left), 1.0)
        if any(map(Message.error, messages)):
            raise RuntimeError(next(filter(None, map(Message.error, messages))).str())
        nbytes += len(b"".join(map(Message.value, messages)))
        watch.took(len(messages))
    watch.end()
    consumer.close()
    watch.tell(trial.messages * trial.workload.rows)


if __name__ == "__main__":
    main()
