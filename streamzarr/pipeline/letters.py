"""Dead letters of a pipeline: durable before the offsets of their records are released."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamzarr.errors import MessageError, QueueError
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.retries import RetryTopic, to_retry
from streamzarr.queue.base import Broker, Producer
from streamzarr.queue.deadletter import DeadLetter
from streamzarr.queue.letters import write_letters

FLUSH_TIMEOUT: Final = 5.0
"""Seconds for the broker to take letters: they are written on the thread that keeps the membership alive."""


class Letters:
    """Writes dead letters to one topic, and to retry topics what may work later.

    Owned by the thread that drives the pipeline, which blocks in it.

    Parameters
    ----------
    topic
        For dead letters; ``None``: there is none.
    worker
        Name of this process, for the letters.
    """

    def __init__(self, broker: Broker, topic: str | None, worker: str) -> None:
        self._broker, self._topic, self._worker = broker, topic, worker
        self._producer: Producer | None = None

    @property
    def has_topic(self) -> bool:
        """Whether there is a topic for dead letters."""
        return self._topic is not None

    def write(self, messages: Sequence[Message]) -> None:
        """Return when the letters of failed `messages`, each of which has a record, are durable.

        Raises
        ------
        streamzarr.errors.QueueError
            The broker did not take them all; some may be there, and letters about one message are one.
        """
        letters = []
        for message in messages:
            assert message.record is not None
            assert message.failure is not None
            failure = message.failure
            letter = DeadLetter.of(
                message.record,
                error=failure.error,
                stage=failure.stage,
                attempts=failure.attempts,
                first_seen=message.first_seen,
                worker=self._worker,
            )
            letters.append(letter)
        assert self._topic is not None
        try:
            write_letters(self._made(), self._topic, letters, FLUSH_TIMEOUT)
        except MessageError as error:
            raise QueueError(str(error)) from error  # of the topic, which may be told to take more

    def put_off(self, messages: Sequence[Message], tiers: Sequence[RetryTopic]) -> list[Message]:
        """Have `messages` durable on the retry topics that each has to go to next; return those that are not.

        One that is more than its topic takes cannot wait there, and nothing of it may be cut.

        Raises
        ------
        streamzarr.errors.QueueError
            The broker did not take them all; those that it took are handled twice.
        """
        now = self._broker.runtime.wall_ns() // 1_000_000
        producer = self._made()
        try:
            for message in messages:
                tier = tiers[message.tier]
                producer.send(tier.topic, [to_retry(message, tier, now)])
            producer.flush(FLUSH_TIMEOUT)
        except MessageError:
            if len(messages) == 1:
                return list(messages)
            middle = len(messages) // 2
            return [*self.put_off(messages[:middle], tiers), *self.put_off(messages[middle:], tiers)]
        return []

    def _made(self) -> Producer:
        if self._producer is None:
            self._producer = self._broker.producer()
        return self._producer

    def close(self) -> None:
        """Release the producer."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None
