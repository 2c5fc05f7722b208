"""Dead letters of a pipeline: durable before the offsets of their records are released."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamzarr.pipeline.message import Message
from streamzarr.queue.base import Broker, Producer
from streamzarr.queue.deadletter import DeadLetter

FLUSH_TIMEOUT: Final = 5.0
"""Seconds for the broker to take letters: they are written on the thread that keeps the membership alive."""


class Letters:
    """Writes dead letters to one topic. Owned by the thread that drives the pipeline, which blocks in it.

    Parameters
    ----------
    worker
        Name of this process, for the letters.
    """

    def __init__(self, broker: Broker, topic: str, worker: str) -> None:
        self._broker, self._topic, self._worker = broker, topic, worker
        self._producer: Producer | None = None

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
            letters.append(letter.to_record())
        if self._producer is None:
            self._producer = self._broker.producer()
        self._producer.send(self._topic, letters)
        self._producer.flush(FLUSH_TIMEOUT)

    def close(self) -> None:
        """Release the producer."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None
