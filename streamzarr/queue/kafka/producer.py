"""Writing records to Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from streamzarr.errors import MessageError, QueueError, TopicNotFoundError
from streamzarr.queue.base import NewRecord, Producer, TopicPartition
from streamzarr.queue.failures import named
from streamzarr.queue.kafka.admin import KafkaAdmin
from streamzarr.queue.kafka.clients import Producer as Client
from streamzarr.queue.kafka.errors import UNKNOWN_TOPIC, code_of, translate
from streamzarr.queue.kafka.handle import Handle
from streamzarr.queue.kafka.idle import ClientFailures, IdleClients

_ANY_PARTITION: Final = -1
_NOW: Final = 0
_NO_ANSWER: Final = KafkaError(KafkaError._TIMED_OUT)
_PURGE_SECONDS: Final = 5.0
"""librdkafka needs milliseconds to give records up; without an end to it `flush` could wait for ever."""


class KafkaProducer(Producer):
    """Queues records in librdkafka, which batches, compresses and retries them without reordering.

    Thread-safe. `send` blocks while librdkafka's queue is full: until the cluster takes records again, at
    most its ``delivery.timeout.ms`` (two minutes), after which they count as refused. After a fork the
    child starts empty: what was queued is the parent's to write.

    Parameters
    ----------
    idle
        Clients of producers that were closed. One of them is used again, and ours goes there.
    """

    def __init__(self, admin: KafkaAdmin, idle: IdleClients) -> None:
        self._admin = admin
        self._config = admin.config
        self._idle = idle
        self._closed = False
        self._start_empty()

    def _start_empty(self) -> None:
        # Held while a record is given to the client, and while that is replaced.
        self._lock = self._config.runtime.lock()
        self._partitions: dict[str, int] = {}
        if (used := self._idle.take()) is not None:
            self._handle, self._failures = used
            return
        self._failures = ClientFailures(self._config.runtime)
        self._handle = self._connect()

    def _connect(self) -> Handle:
        settings = {**self._config.producer(), "on_delivery": self._failures.note}
        return Handle(Client(settings, logger=self._config.log))

    def send(self, topic: str, records: Sequence[NewRecord]) -> None:  # noqa: D102
        self._ensure_usable()
        self._raise_failures()
        self._failures.expect_mine()
        partitions = self._partitions.get(topic) or self._look_up(topic)
        # Not `produce_batch`, though it costs half: it has no headers, and when the queue fills up on the
        # way it skips one record and takes the next, which breaks the order.
        for record in records:
            partition = _ANY_PARTITION if record.partition is None else record.partition
            if partition >= partitions or partition < _ANY_PARTITION:
                self._check_partition(topic, partition)
            while not self._produce(topic, record, partition):
                self._handle.client.poll(0.1)  # backpressure: sleeps until something was delivered
                self._raise_failures()
        self._handle.client.poll(0)  # hear of deliveries

    def _produce(self, topic: str, record: NewRecord, partition: int) -> bool:
        """Queue `record`; return whether there was room."""
        with self._lock:
            client = self._handle.client
            try:
                client.produce(
                    topic,
                    record.value,
                    record.key,
                    partition,
                    timestamp=record.timestamp or _NOW,
                    headers=list(record.headers) if record.headers else None,
                )
            except BufferError:
                return False
            except KafkaException as error:
                refused = error
            else:
                return True
        if code_of(refused) == KafkaError._UNKNOWN_PARTITION and self._learns(client, topic, partition):
            return False
        if code_of(refused) == KafkaError._FATAL:
            self._abandon(client)
        raise self._refusal(topic, record, refused) from refused

    def _learns(self, client: Any, topic: str, partition: int) -> bool:
        """Have `client` ask for the partitions of `topic`, to which some may have been added; tell if so."""
        try:
            found = client.list_topics(topic, timeout=self._config.request_timeout).topics[topic]
        except KafkaException:
            return False
        return partition in found.partitions

    def flush(self, timeout: float = 30.0) -> None:  # noqa: D102
        self._ensure_usable()
        client = self._handle.client
        when = ""
        if client.flush(timeout):
            self._abandon(client)
            when = f" within {timeout:g} s"
        try:
            self._raise_failures(when)
        finally:
            self._failures.expect_none()

    def _abandon(self, client: Any) -> None:
        """Give up on what `client` has queued, tell `_failures` of it, and go on with a new client.

        An idempotent client that was purged may purge a record that is sent later: it cannot be kept.
        """
        with self._lock:
            if self._handle.client is not client:
                return  # another thread did so
            self._handle = self._connect()
        client.purge(in_queue=True, in_flight=True, blocking=True)
        if left := client.flush(_PURGE_SECONDS):
            self._failures.add(TopicPartition("any topic", _ANY_PARTITION), left, _NO_ANSWER)

    def close(self) -> None:  # noqa: D102
        if self._closed:
            return
        try:
            self.flush()
            self._idle.give(self._handle, self._failures)
        finally:
            self._closed = True
            del self._handle

    def _ensure_usable(self) -> None:
        if self._closed:
            raise QueueError(f"{self._config}: the producer is closed")
        if not self._handle.is_here:
            self._start_empty()

    def _look_up(self, topic: str) -> int:
        count = self._partitions[topic] = len(self._admin.partitions(topic))
        return count

    def _is_gone(self, topic: str) -> bool:
        try:
            self._look_up(topic)
        except TopicNotFoundError:
            return True
        except QueueError:  # nobody can tell
            return False
        return False

    def _check_partition(self, topic: str, partition: int) -> None:
        count = self._look_up(topic)  # there may be more by now
        if not 0 <= partition < count:
            raise QueueError(f"{self._config}: topic {topic!r} has {count} partitions, got {partition}")

    def _refusal(self, topic: str, record: NewRecord, error: KafkaException) -> QueueError:
        if code_of(error) == KafkaError.MSG_SIZE_TOO_LARGE:
            size = len(record.value or b"") + len(record.key or b"")
            return MessageError(
                f"{self._config}: a record of {size} bytes for topic {topic!r}, "
                "expected at most message.max.bytes (1 MB unless the URL and the topic say otherwise)"
            )
        return translate(error, f"{self._config}: topic {topic!r} takes no record")

    def _raise_failures(self, when: str = "") -> None:
        failed, last = self._failures.take()
        if last is None:
            return
        text = (
            f"{self._config}: {failed.total()} records were not written{when} ({named(failed)}): {last.str()}"
        )
        # A partition that is taken from its broker is so of a topic that was deleted, most likely.
        is_taken = last.code() == KafkaError._DESTROY
        if last.code() in UNKNOWN_TOPIC or (is_taken and any(self._is_gone(each.topic) for each in failed)):
            self._partitions.clear()
            raise TopicNotFoundError(text)
        if last.code() == KafkaError.MSG_SIZE_TOO_LARGE:  # the topic takes less than we send
            raise MessageError(text)
        raise QueueError(text)
