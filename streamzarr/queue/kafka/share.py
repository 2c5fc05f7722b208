"""A member of a Kafka share group (KIP-932)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from streamzarr.errors import ConfigError, FencedError, QueueError
from streamzarr.queue.kafka import clients
from streamzarr.queue.kafka.admin import KafkaAdmin
from streamzarr.queue.kafka.columns import columns
from streamzarr.queue.kafka.errors import TRANSIENT, UNREACHABLE, code_of, translate
from streamzarr.queue.kafka.handle import Handle
from streamzarr.queue.record import Record
from streamzarr.queue.share import Acknowledgement, ShareConsumer

_UNSUPPORTED: Final = frozenset(
    {KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE, KafkaError._NOT_IMPLEMENTED}
)


class KafkaShareConsumer(ShareConsumer):
    """A member of a share group. Owned by one thread.

    librdkafka's own threads fetch and send heartbeats. `poll` blocks at most for its timeout, `commit` for
    its own, `close` for what librdkafka waits for an answer: a minute.

    Raises
    ------
    streamzarr.errors.ConfigError
        The installed client, or the cluster, has no share groups.
    """

    def __init__(self, admin: KafkaAdmin, topics: Sequence[str], group: str) -> None:
        client = getattr(clients, "ShareConsumer", None)
        if client is None:
            raise ConfigError(
                "share groups need confluent-kafka 2.16 or later, this is "
                f"{confluent_kafka.version()}: pip install -U confluent-kafka"
            )
        self._where = f"{admin.config}: share group {group!r}"
        self._contact = admin.config.contact
        self._waiting: list[Record] = []  # lent to us and not yet returned
        self._lent: set[tuple[str, int, int]] = set()  # returned and not yet acknowledged
        self._closed = False
        admin.share_from_the_beginning(group)
        try:
            self._client: Any = client(admin.config.share(group), logger=admin.config.log)
        except ValueError as error:
            raise ConfigError(f"{self._where}: {error}") from error
        self._handle = Handle(self._client)
        self._client.subscribe(list(dict.fromkeys(topics)))

    def poll(self, max_records: int, timeout: float) -> list[Record]:  # noqa: D102
        self._ensure_usable()
        if not self._waiting and not self._lent and max_records > 0:
            try:
                self._accept(self._client.poll(timeout))
            except KafkaException as error:
                raise self._error(error) from error
        records, self._waiting = self._waiting[:max_records], self._waiting[max_records:]
        self._lent.update(record[:3] for record in records)
        return records

    def _accept(self, messages: Sequence[Any]) -> None:
        failure: KafkaError | None = None
        for message in messages:
            error = message.error()
            if error is None:
                self._waiting += columns([message]).records()
            elif error.code() in TRANSIENT | UNREACHABLE:
                self._contact.failed(error.str())  # the client goes on by itself
            else:
                failure = failure or error
        if failure is not None:
            raise self._error(failure)

    def acknowledge(self, record: Record, acknowledgement: Acknowledgement = "accept") -> None:  # noqa: D102
        self._ensure_usable()
        topic, partition, offset = place = record[:3]
        if place not in self._lent:
            raise ValueError(
                f"offset {offset} of {topic}[{partition}] acknowledged, but it is not lent to this member"
            )
        kind = confluent_kafka.AcknowledgeType[acknowledgement.upper()]
        try:
            self._client.acknowledge_offset(topic, partition, offset, kind)
        except KafkaException as error:
            raise self._error(error) from error
        self._lent.remove(place)

    def commit(self, timeout: float = 10.0) -> None:  # noqa: D102
        self._ensure_usable()
        try:
            answers = self._client.commit_sync(timeout)
        except KafkaException as error:
            raise self._error(error) from error
        for where, refusal in answers.items():
            if refusal is None:
                continue
            name = f"{where.topic}[{where.partition}]"
            if code_of(refusal) == KafkaError.INVALID_RECORD_STATE:
                raise FencedError(
                    f"{self._where}: records of {name} were acknowledged too late, others may have them"
                )
            raise translate(refusal, f"{self._where}: cannot acknowledge records of {name}")

    def close(self) -> None:  # noqa: D102
        if not self._closed:
            self._closed = True
            if self._handle.is_here:
                self._client.close()

    def _ensure_usable(self) -> None:
        if self._closed:
            raise QueueError(f"{self._where}: the consumer is closed")
        self._handle.check(self._where, "consumer")

    def _error(self, error: KafkaException | KafkaError) -> QueueError | ConfigError:
        if code_of(error) in _UNSUPPORTED:
            return ConfigError(f"{self._where}: share groups need Apache Kafka 4.2 or later, this has none")
        return translate(error, self._where)
