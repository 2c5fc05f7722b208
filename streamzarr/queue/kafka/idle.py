"""Producers' clients between two uses."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaError

from streamzarr.queue.base import TopicPartition
from streamzarr.queue.failures import Failures
from streamzarr.queue.kafka.handle import Handle

_MOST: Final = 4
"""Clients kept: each has a connection and two threads."""


class ClientFailures(Failures[KafkaError]):
    """Failures that librdkafka reports."""

    def note(self, error: KafkaError | None, message: Any) -> None:
        """Be told by librdkafka, in ``poll`` or ``flush`` of any thread, that `message` was not written."""
        if error is not None:
            self.add(TopicPartition(message.topic(), message.partition()), 1, error)


class IdleClients:
    """Clients that have nothing on its way, for the next producer of the same broker.

    A new one is no good for half a second: an idempotent client asks for its id by a timer of that length.
    A job writes to its register several times, and each time would wait for it.

    Thread-safe, without a lock: a forked child could find it held. It finds no client either.
    """

    def __init__(self) -> None:
        self._clients: deque[tuple[Handle, ClientFailures]] = deque(maxlen=_MOST)

    def take(self) -> tuple[Handle, ClientFailures] | None:
        """Return a client, and where it reports its failures; None: there is none."""
        with suppress(IndexError):
            while True:
                handle, failures = self._clients.pop()
                if handle.is_here:
                    return handle, failures
        return None

    def give(self, handle: Handle, failures: ClientFailures) -> None:
        """Keep a client all of whose records are durable; its next user hears of none of its failures."""
        failures.clear()
        self._clients.append((handle, failures))

    def close(self) -> None:
        """Release all connections."""
        self._clients.clear()
