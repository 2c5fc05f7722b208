"""Bad records: kept as dead letters, with the reason, before anything passes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from streamzarr.errors import ConfigError, MessageError
from streamzarr.flow import Message
from streamzarr.queue import Broker, Columns, DeadLetter, Producer, TopicPartition
from streamzarr.queue.letters import write_letters
from streamzarr.runtime import Runtime

AT_ONCE: Final = 500
"""Letters that are made and handed to the broker at a time."""


class Letters:
    """Writes dead letters. Called on the chain's thread; blocks until the broker has acknowledged them.

    Parameters
    ----------
    topic_of
        The topic of the dead letters of a topic.
    worker
        Who says so.
    """

    def __init__(
        self, producer: Producer, topic_of: Callable[[str], str], worker: str, runtime: Runtime
    ) -> None:
        self._producer, self._topic_of = producer, topic_of
        self._worker, self._runtime = worker, runtime
        self._feeds: dict[TopicPartition, str] = {}
        self.written = 0
        """How many so far, those that a retry has written twice included."""

    def sign(self, partition: TopicPartition, feed: str) -> None:
        """Have letters about records of a partition say which feed they are of: others may read it, too."""
        self._feeds[partition] = feed

    def bury(self, run: Columns, bad: Mapping[int, str], stage: str) -> None:
        """Write letters about the records of a run that are `bad`; durable when it returns.

        Raises
        ------
        streamzarr.errors.QueueError
            The broker did not take them all.
        streamzarr.errors.ConfigError
            One is too large for its topic, cut as it is.
        """
        self._write(
            run.topic,
            (
                DeadLetter.of(
                    run.record(index),
                    error=MessageError(reason),
                    stage=stage,
                    worker=self._worker,
                    feed=self._feeds.get(run.where, ""),
                    runtime=self._runtime,
                )
                for index, reason in sorted(bad.items())
            ),
        )

    def __call__(self, messages: Sequence[Message]) -> None:
        """Write letters about messages that failed, each of one record; raises as :meth:`bury`."""
        for message in messages:
            record, failure = message.record, message.failure
            assert record is not None
            assert failure is not None
            letter = DeadLetter.of(
                record,
                error=failure.error,
                stage=failure.stage,
                attempts=failure.attempts,
                first_seen=message.first_seen,
                worker=self._worker,
                feed=self._feeds.get(TopicPartition(record.topic, record.partition), ""),
            )
            self._write(record.topic, iter([letter]))

    def _write(self, topic: str, letters: Iterator[DeadLetter]) -> None:
        there = self._topic_of(topic)
        while batch := list(islice(letters, AT_ONCE)):
            try:
                write_letters(self._producer, there, batch)
            except MessageError as error:
                raise ConfigError(
                    f"a dead letter of {topic!r} is too large for its topic, even without its message, "
                    "and the record is not passed without it; allow more there, or name another topic in "
                    f"dead_letters.topic: {error}"
                ) from error
            self.written += len(batch)


def ensure_topics(broker: Broker, topics: Sequence[str]) -> None:
    """Create the topics of dead letters that are missing."""
    there = set(broker.topics())
    for topic in dict.fromkeys(topics):
        if topic not in there:
            broker.create_topic(topic, 1, exist_ok=True)
