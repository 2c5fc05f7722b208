"""Arroyo: reduce to batches, store, commit."""

from collections.abc import Mapping
from typing import Any

from arroyo import Partition, Topic
from arroyo.backends.kafka import KafkaConsumer
from arroyo.backends.kafka.consumer import KafkaPayload
from arroyo.commit import CommitPolicy
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, ProcessingStrategyFactory, Reduce, RunTask
from arroyo.types import BaseValue, Commit, Message
from ingest.sink import open_sink
from ingest.trial import COMMIT_EVERY, Trial, Watch

Found = list[tuple[bytes, int]]


class Factory(ProcessingStrategyFactory[KafkaPayload]):
    def __init__(self, trial: Trial, watch: Watch) -> None:
        self._watch, self._sink = watch, open_sink(trial)
        self._batch = min(self._sink.room, 1000)
        self.found = self._sink.found

    def create_with_partitions(self, commit: Commit, partitions: Mapping[Partition, int]) -> Reduce[Any, Any]:
        def take(message: Message[Found]) -> None:
            if not self._watch.left:
                return
            found = message.payload[: self._watch.left]
            self._sink.take(*map(list, zip(*found, strict=True)))
            self._watch.took(len(found))
            if not self._watch.left:
                self._sink.flush()
                self._watch.end()
                self.processor.signal_shutdown()

        def add(found: Found, value: BaseValue[KafkaPayload]) -> Found:
            found.append((value.payload.value, next(iter(value.committable.values())) - 1))
            return found

        return Reduce(self._batch, 1.0, add, list, RunTask(take, CommitOffsets(commit)))


def main() -> None:
    trial = Trial.given()
    watch = Watch(trial)
    consumer = KafkaConsumer({**trial.client, "enable.auto.offset.store": False})
    factory = Factory(trial, watch)
    policy = CommitPolicy(min_commit_frequency_sec=COMMIT_EVERY, min_commit_messages=None)
    factory.processor = StreamProcessor(consumer, Topic(trial.topic), factory, policy)
    factory.processor.run()
    watch.tell(*factory.found())


if __name__ == "__main__":
    main()
