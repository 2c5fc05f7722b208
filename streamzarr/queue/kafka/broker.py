"""`KafkaBroker`: the contract of `streamzarr.queue.base` on a Kafka cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException

from streamzarr.errors import ConfigError, QueueError
from streamzarr.queue.atomic import AtomicWriter
from streamzarr.queue.base import (
    Broker,
    Consumer,
    GroupInfo,
    Offsets,
    Producer,
    Reader,
    RebalanceListener,
    TopicIdentity,
    TopicInfo,
    TopicPartition,
)
from streamzarr.queue.kafka.admin import KafkaAdmin
from streamzarr.queue.kafka.atomic import KafkaAtomicWriter
from streamzarr.queue.kafka.config import GroupProtocol, KafkaConfig
from streamzarr.queue.kafka.consumer import KafkaConsumer
from streamzarr.queue.kafka.ends import EndsToCome
from streamzarr.queue.kafka.errors import code_of, translate
from streamzarr.queue.kafka.idle import IdleClients
from streamzarr.queue.kafka.producer import KafkaProducer
from streamzarr.queue.kafka.reader import KafkaReader
from streamzarr.queue.kafka.share import KafkaShareConsumer
from streamzarr.queue.share import ShareConsumer
from streamzarr.runtime import SYSTEM, Runtime


class KafkaBroker(Broker):
    """Topics and groups of an Apache Kafka cluster.

    Thread-safe. Connects when first used; a forked child connects again. Calls that ask the cluster
    raise after ``request_timeout`` seconds without an answer.

    Parameters
    ----------
    url
        ``kafka://host:9092[,host:9092]`` with options: ``request_timeout`` in seconds (default 10),
        ``group.protocol`` (``consumer`` for KIP-848 or ``classic``; by default what the cluster has), and
        any property of librdkafka that our promises do not depend on, such as ``security.protocol``.

    runtime
        Clocks, locks and ids of what is ours; librdkafka has threads of its own.

    Raises
    ------
    streamzarr.errors.ConfigError
        The URL cannot be used.
    streamzarr.errors.QueueError
        By every method, when the cluster cannot be reached or refuses.

    Examples
    --------
    >>> KafkaBroker("kafka://b1:9092,b2:9092?security.protocol=SSL")
    KafkaBroker('kafka://b1:9092,b2:9092')
    """

    def __init__(self, url: str, runtime: Runtime = SYSTEM) -> None:
        self.runtime = runtime
        self._url = url
        self._config = KafkaConfig.parse(url, runtime)
        self._admin = KafkaAdmin(self._config)
        self._idle = IdleClients()
        self.contact = self._config.contact

    def __reduce__(self) -> tuple[Callable[[str], KafkaBroker], tuple[str]]:
        return KafkaBroker, (self._url,)

    def __repr__(self) -> str:
        return f"KafkaBroker({str(self._config)!r})"

    @property
    def url(self) -> str:  # noqa: D102
        return self._url

    # ------------------------------------------------------------ topics

    def create_topic(self, name: str, partitions: int = 1, *, exist_ok: bool = False) -> None:  # noqa: D102
        try:
            self._admin.create_topic(name, partitions)
        except KafkaException as error:
            if code_of(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                raise translate(error, f"{self._config}: cannot create topic {name!r}") from error
            existing = self._admin.wait_usable(name)
            if not (exist_ok and existing == partitions):
                raise QueueError(
                    f"{self._config}: topic {name!r} exists already, with {existing} partitions"
                ) from error

    def delete_topic(self, name: str) -> None:  # noqa: D102
        self._admin.delete_topic(name)

    def topics(self) -> list[str]:  # noqa: D102
        return self._admin.topics()

    def compacts(self, topic: str) -> bool:  # noqa: D102
        return self._admin.compacts(topic)

    def describe(self, topic: str) -> TopicInfo:  # noqa: D102
        partitions = self._partitions(topic)
        begin, end = self._admin.begin(partitions), self._admin.end(partitions)
        return TopicInfo(topic, begin=_by_number(begin), end=_by_number(end))

    def ends_soon(  # noqa: D102
        self, partitions: Collection[TopicPartition]
    ) -> Callable[[], Offsets | None]:
        return EndsToCome(self._admin, partitions)

    def identify(self, topic: str) -> TopicIdentity:  # noqa: D102
        return TopicIdentity(self._admin.cluster_id(), self._admin.topic_id(topic))

    def offsets_at(self, topic: str, timestamp: int) -> dict[int, int]:  # noqa: D102
        partitions = self._partitions(topic)
        end = self._admin.end(partitions)  # first: the end of now may be past a record found later
        found = self._admin.at(partitions, timestamp)
        return {each.partition: found[each] if found[each] >= 0 else end[each] for each in partitions}

    def trim(self, topic: str, before: Mapping[int, int]) -> None:  # noqa: D102
        count = len(self._partitions(topic))
        if unknown := sorted(number for number in before if not 0 <= number < count):
            raise QueueError(f"{self._config}: topic {topic!r} has {count} partitions, got {unknown}")
        if negative := {number: offset for number, offset in before.items() if offset < 0}:
            raise QueueError(f"{self._config}: topic {topic!r} cannot be cut at {negative}")
        if before:
            self._admin.delete_records(topic, before)

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in self._admin.partitions(topic)]

    # ------------------------------------------------------------ groups

    def groups(self, name: str | None = None) -> list[GroupInfo]:  # noqa: D102
        names = [each for each in self._admin.groups() if name in (None, each)]
        members = self._admin.members(names)
        partitions = self._admin.all_partitions()
        return [GroupInfo(each, members[each], self._admin.committed(each, partitions)) for each in names]

    def members(self, group: str) -> int:  # noqa: D102
        return self._admin.members([group])[group]

    def assignment(self, group: str, topic: str) -> dict[str, list[int]]:  # noqa: D102
        return self._admin.assignment(group, topic)

    def committed(self, group: str, topic: str) -> dict[int, int]:  # noqa: D102
        positions = self._admin.committed(group, self._partitions(topic))
        return {where.partition: offset for where, offset in positions.items()}

    # ------------------------------------------------------------ reading and writing

    def producer(self) -> Producer:  # noqa: D102
        return KafkaProducer(self._admin, self._idle)

    def atomic_writer(self, name: str) -> AtomicWriter:  # noqa: D102
        return KafkaAtomicWriter(self._admin, name)

    def consumer(  # noqa: D102
        self,
        topics: Sequence[str],
        group: str,
        *,
        listener: RebalanceListener | None = None,
        session_timeout: float = 10.0,
        max_poll_interval: float = 300.0,
        prefetch_bytes: int | None = None,
        instance: str | None = None,
    ) -> Consumer:
        if session_timeout <= 0 or max_poll_interval <= 0:
            raise ConfigError(
                f"consumer(session_timeout={session_timeout}, max_poll_interval={max_poll_interval}): "
                "expected seconds above 0"
            )
        ids = {topic: self._admin.topic_id(topic) for topic in topics}
        # By KIP-848 the name of a member that was killed is taken until its session ends.
        wanted = self._config.group_protocol or (None if instance is None else "classic")
        protocol = self._group_protocol(group, session_timeout, wanted)
        settings = self._config.consumer(
            group, protocol, session_timeout, max_poll_interval, prefetch_bytes, instance
        )
        return KafkaConsumer(self._admin, settings, ids, group, listener)

    def _group_protocol(
        self, group: str, session_timeout: float, wanted: GroupProtocol | None
    ) -> GroupProtocol:
        if wanted == "classic":
            return "classic"
        terms = self._admin.coordination()
        if terms is None:
            return wanted or "classic"
        self._admin.set_session_timeout(group, terms, session_timeout)
        return "consumer"

    def reader(  # noqa: D102
        self, topic: str, start: Mapping[int, int] | None = None, *, prefetch_bytes: int | None = None
    ) -> Reader:
        partitions = self._partitions(topic)
        positions = {TopicPartition(topic, number): offset for number, offset in (start or {}).items()}
        if unknown := sorted(where.partition for where in positions.keys() - set(partitions)):
            raise QueueError(
                f"{self._config}: topic {topic!r} has {len(partitions)} partitions, got start for {unknown}"
            )
        return KafkaReader(self._admin, partitions, positions, prefetch_bytes)

    def share_consumer(self, topics: Sequence[str], group: str) -> ShareConsumer:  # noqa: D102
        for topic in topics:
            self._admin.partitions(topic)
        return KafkaShareConsumer(self._admin, topics, group)

    def close(self) -> None:  # noqa: D102
        self._idle.close()
        self._admin.close()


def _by_number(offsets: Mapping[TopicPartition, int]) -> dict[int, int]:
    return {where.partition: offset for where, offset in offsets.items()}
