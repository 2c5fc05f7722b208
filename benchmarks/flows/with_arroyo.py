"""Arroyo: decode, reduce to batches, commit."""

from collections.abc import Mapping
from typing import Any

from arroyo import Partition, Topic
from arroyo.backends.kafka import KafkaConsumer
from arroyo.backends.kafka.consumer import KafkaPayload
from arroyo.commit import CommitPolicy
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, ProcessingStrategyFactory, Reduce, RunTask
from arroyo.types import BaseValue, Commit, Message
from trial import CLIENT, COMMIT_EVERY, Reading, Sink, Trial, decode


class Factory(ProcessingStrategyFactory[KafkaPayload]):
    def __init__(self, trial: Trial, sink: Sink) -> None:
        self._trial, self._sink = trial, sink

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> RunTask[Any, Any]:
        def take(message: Message[list[Reading]]) -> None:
            self._sink.take(message.payload)
            if self._sink.full:
                self.processor.signal_shutdown()

        def add(readings: list[Reading], value: BaseValue[Reading]) -> list[Reading]:
            readings.append(value.payload)
            return readings

        batches = Reduce(self._trial.batch, 1.0, add, list, RunTask(take, CommitOffsets(commit)))
        return RunTask(lambda message: decode(message.payload.value), batches)


def main() -> None:
    trial = Trial.given()
    sink = Sink(trial)
    consumer = KafkaConsumer(
        {
            **CLIENT,
            "bootstrap.servers": trial.servers,
            "group.id": trial.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
        }
    )
    factory = Factory(trial, sink)
    policy = CommitPolicy(min_commit_frequency_sec=COMMIT_EVERY, min_commit_messages=None)
    factory.processor = StreamProcessor(consumer, Topic(trial.topic), factory, policy)
    factory.processor.run()
    sink.tell()


if __name__ == "__main__":
    main()
