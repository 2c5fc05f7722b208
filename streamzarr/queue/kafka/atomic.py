"""Records of several topics in one transaction of Kafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from streamzarr.errors import FencedError, MessageError, QueueError
from streamzarr.queue.atomic import AtomicWriter
from streamzarr.queue.base import NewRecord
from streamzarr.queue.kafka.admin import KafkaAdmin
from streamzarr.queue.kafka.clients import Producer as Client
from streamzarr.queue.kafka.errors import code_of, kafka_error, translate
from streamzarr.queue.kafka.handle import Handle
from streamzarr.queue.record import TopicPartition
from streamzarr.runtime import Deadline

TRANSACTION_MS: Final = 60_000
"""After so long the cluster aborts what a writer that died has begun, if no other of its name comes first."""

_FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}
)
READABLE_SECONDS: Final = 10.0
"""How long a writer that is closed waits for what it wrote to be read."""
_ANY_PARTITION: Final = -1
_NOW: Final = 0


class KafkaAtomicWriter(AtomicWriter):
    """A transactional producer, whose id is the writer's name. Owned by one thread.

    While a transaction is open, readers of its topics do not come past it: it is begun, written and
    committed in one call. The group needs the right to write with this transactional id.
    """

    def __init__(self, admin: KafkaAdmin, name: str) -> None:
        self._admin, self._name = admin, name
        self._where = f"{admin.config}: writer {name!r}"
        self._patience = TRANSACTION_MS / 1000
        self._usable = True
        self._topics: set[str] = set()  # that were written to
        settings = {
            **admin.config.producer(),
            "transactional.id": name,
            "transaction.timeout.ms": TRANSACTION_MS,
            "delivery.timeout.ms": TRANSACTION_MS,
        }
        self._handle: Handle | None = Handle(Client(settings, logger=admin.config.log))
        # Aborts what an older one has begun, and waits until what it was about to commit is committed.
        self._insist(self._handle.client.init_transactions)

    def write(self, records: Sequence[tuple[str, NewRecord]]) -> None:  # noqa: D102
        if self._handle is None or not self._usable:
            raise QueueError(f"{self._where} is closed, or has failed")
        self._handle.check(self._where, "writer")
        if not records:
            return
        topics = {topic for topic, _ in records}
        for topic in topics:
            self._admin.partitions(topic)
        self._topics |= topics
        client = self._handle.client
        self._usable = False  # until it is known how this has ended
        self._insist(lambda _: client.begin_transaction())
        try:
            for topic, record in records:
                self._produce(client, topic, record)
        except MessageError:
            self._insist(client.abort_transaction)
            self._usable = True
            raise
        self._insist(client.commit_transaction)
        self._usable = True

    def _produce(self, client: Any, topic: str, record: NewRecord) -> None:
        while True:
            try:
                client.produce(
                    topic,
                    record.value,
                    record.key,
                    _ANY_PARTITION if record.partition is None else record.partition,
                    timestamp=record.timestamp or _NOW,
                    headers=list(record.headers) if record.headers else None,
                )
            except BufferError:
                client.poll(0.1)
            except KafkaException as error:
                if code_of(error) == KafkaError.MSG_SIZE_TOO_LARGE:
                    size = len(record.value or b"") + len(record.key or b"")
                    raise MessageError(
                        f"{self._where}: a record of {size} bytes for topic {topic!r}, expected at most "
                        "message.max.bytes (1 MB unless the URL and the topic say otherwise)"
                    ) from error
                raise self._refusal(error) from error
            else:
                return

    def _insist(self, step: Callable[[float], None]) -> None:
        """Take one step of a transaction, again while the cluster says that this may help."""
        deadline = Deadline(self._admin.config.runtime, self._patience)
        while True:
            try:
                return step(max(0.001, deadline.left))
            except KafkaException as error:
                if deadline.passed or not kafka_error(error).retriable():
                    raise self._refusal(error) from error
            self._admin.config.runtime.event().wait(0.05)

    def _refusal(self, error: KafkaException) -> QueueError | FencedError:
        if code_of(error) in _FENCED or (kafka_error(error).txn_requires_abort() and self._may_not_abort()):
            return FencedError(f"{self._where}: there is a newer one")
        return translate(error, self._where)

    def _may_not_abort(self) -> bool:
        """Tell whether there is a newer writer, of which a broker is sure only when it is asked again.

        One that is asked to commit while that writer begins says that it does not know what went wrong.
        """
        assert self._handle is not None
        try:
            self._handle.client.abort_transaction(self._admin.config.request_timeout)
        except KafkaException as error:
            return code_of(error) in _FENCED
        return False

    def close(self) -> None:  # noqa: D102
        handle, self._handle = self._handle, None
        if handle is None:
            return
        # Kafka ends a transaction some time after it was committed, and until then nobody sees it.
        deadline = Deadline(self._admin.config.runtime, READABLE_SECONDS)
        with suppress(QueueError):  # it is written, whoever cannot be asked
            written = self._admin.high({place for topic in self._topics for place in self._places(topic)})
            any(self._is_readable(written) for _ in deadline.tries(every=0.01))

    def _places(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in self._admin.partitions(topic)]

    def _is_readable(self, written: Mapping[TopicPartition, int]) -> bool:
        ends = self._admin.end(written)
        return all(high <= ends[where] for where, high in written.items())
