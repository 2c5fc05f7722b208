"""A producer that fills a topic by formula while its broker comes and goes: each record once, in order."""

from __future__ import annotations

import threading
from typing import Self

from streamzarr.queue.kafka.clients import Producer
from tests.support.feed_records import messages

PAUSE = 0.1
"""Seconds between two portions."""


class TopicSender:
    """Sends as many records to each partition as it is allowed to, a portion at a time.

    librdkafka's idempotent producer, which never gives up: what the record at an offset says is known.
    Threads: one of its own; any may call.
    """

    def __init__(self, servers: str, topic: str, partitions: int, portion: int) -> None:
        self._topic, self._partitions, self._portion = topic, partitions, portion
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "linger.ms": 20,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._errors: list[object] = []
        self._news = threading.Condition()
        self.allowed = 0
        """Records that each partition may have by now; -1: enough."""
        self.sent = 0
        """Records of each partition that are on their way."""
        self._thread = threading.Thread(target=self._send, name="sender", daemon=True)

    def allow(self, count: int) -> None:
        """Let each partition have so many records in all."""
        with self._news:
            self.allowed = max(count, self.allowed)
            self._news.notify()

    def finish(self, count: int, patience: float) -> None:
        """Return when each partition has so many records."""
        self.allow(count)
        with self._news:
            assert self._news.wait_for(lambda: self.sent >= count or self._errors, patience), "not all sent"
        assert not self._producer.flush(patience)
        assert not self._errors, self._errors[:3]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self.allowed = -1
            self._news.notify()
        self._thread.join()

    def _send(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self.allowed < 0 or self.allowed > self.sent)
                stop = min(self.allowed, self.sent + self._portion)
            if stop < 0:
                return
            for partition in range(self._partitions):
                for key, value in messages(self.sent, stop, partition):
                    self._produce(key, value, partition)
            with self._news:
                self.sent = stop
                self._news.notify_all()
                self._news.wait_for(lambda: self.allowed < 0, PAUSE)

    def _produce(self, key: str | None, value: bytes, partition: int) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, partition, on_delivery=self._note)
                self._producer.poll(0)
                return
            except BufferError:  # until there is room, which there is once the broker is back
                self._producer.poll(PAUSE)

    def _note(self, error: object, _: object) -> None:
        if error is not None:
            self._errors.append(error)
