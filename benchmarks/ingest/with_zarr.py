"""A loop written by hand with zarr-python: chunk by chunk, with the offsets committed behind each."""

from confluent_kafka import Consumer, Message
from ingest.sink import open_sink
from ingest.trial import Trial, Watch


def main() -> None:
    trial = Trial.given()
    watch, sink = Watch(trial), open_sink(trial, threads=4)
    consumer = Consumer(trial.client)
    consumer.subscribe([trial.topic])
    while watch.left:
        messages = consumer.consume(min(1000, watch.left, sink.room), 1.0)
        if any(map(Message.error, messages)):
            raise RuntimeError(next(filter(None, map(Message.error, messages))).str())
        if messages and sink.take(list(map(Message.value, messages)), list(map(Message.offset, messages))):
            consumer.commit(asynchronous=False)
        watch.took(len(messages))
    if sink.flush():
        consumer.commit(asynchronous=False)
    watch.end()
    consumer.close()
    watch.tell(*sink.found())


if __name__ == "__main__":
    main()
