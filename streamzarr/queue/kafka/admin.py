"""Questions and orders to the cluster itself: topics, offsets, groups."""

# confluent_kafka.admin exports its names without saying so, and its OffsetSpec has no types:
# mypy: disable-error-code="attr-defined,no-untyped-call"

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
)
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConsumerGroupDescription,
    MemberDescription,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from streamzarr.errors import AccessDeniedError, ConfigError, QueueError, TopicNotFoundError
from streamzarr.queue.base import TopicPartition
from streamzarr.queue.kafka import committed
from streamzarr.queue.kafka.clients import AdminClient
from streamzarr.queue.kafka.committed import CommittedOffsets, Stored
from streamzarr.queue.kafka.config import KafkaConfig, logger
from streamzarr.queue.kafka.errors import (
    DENIED,
    STALE_LEADER,
    TRANSIENT,
    UNKNOWN_TOPIC,
    UNREACHABLE,
    code_of,
    translate,
)
from streamzarr.queue.kafka.handle import Handle
from streamzarr.runtime import Deadline

T = TypeVar("T")

_RETRY_SECONDS: Final = 0.05
_NEW_CLIENT_SECONDS: Final = 1.0
"""Longest pause between two clients of which each is to find leaders that the one before did not."""
_EARLIEST: Final = OffsetSpec.earliest()
_LATEST: Final = OffsetSpec.latest()
_NO_SUCH_SETTING: Final = frozenset(
    {KafkaError.INVALID_CONFIG, KafkaError.UNSUPPORTED_VERSION, KafkaError.INVALID_REQUEST}
)
"""What a cluster says to a setting of a group that it does not know, or does not allow."""
_UNTOLD: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNSUPPORTED_VERSION,
    }
)
"""What it says to those who may not read the settings of a topic."""


@dataclass(frozen=True, slots=True)
class Coordination:
    """What the cluster offers to groups that it assigns itself (KIP-848); times in milliseconds."""

    session: range
    heartbeat: range
    default_session: int
    default_heartbeat: int


class KafkaAdmin:
    """The administrative client of one cluster. Thread-safe.

    Connects when first used, and again in a forked child. Each call is answered, or raises, within
    ``config.request_timeout`` seconds.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self.config = config
        self._handle: Handle | None = None
        self._committed = CommittedOffsets(config)
        self._coordination: Coordination | None = None
        self._coordination_known = False
        self._why_not_connected = ""
        self._refused = False  # what it said last was that we may not

    # ------------------------------------------------------------ topics

    def topics(self) -> list[str]:
        """Names of all topics but Kafka's own, sorted."""
        metadata = self._ask("list topics", lambda client, timeout: client.list_topics(timeout=timeout))
        return sorted(name for name in metadata.topics if not name.startswith("__"))

    def partitions(self, topic: str) -> list[int]:
        """Return the partitions of `topic`; raises `TopicNotFoundError`."""
        return self._partitions(topic, lambda partition: partition.id)

    def topic_id(self, topic: str) -> str:
        """Return the id of `topic`; raises `TopicNotFoundError`."""
        return str(self._described(topic).topic_id)

    def compacts(self, topic: str) -> bool:
        """Tell whether `topic` is compacted; False where we may not know."""

        def request(client: Any, timeout: float) -> dict[str, Any]:
            resource = ConfigResource(ResourceType.TOPIC, topic)
            found: dict[str, Any] = _only(client.describe_configs([resource], request_timeout=timeout))
            return found

        try:
            found = self._ask(f"read the settings of {topic!r}", request, topic=topic, passing=_UNTOLD)
        except KafkaException as error:
            logger.info("%s: taken for a topic that is not compacted: %r: %s", self.config, topic, error)
            return False
        policy = found.get("cleanup.policy")
        return policy is not None and "compact" in (policy.value or "")

    def describe_soon(self, topics: list[str]) -> Mapping[str, Future[Any]]:
        """Return the descriptions to come of topics; nobody waits for them."""
        return self._soon(
            lambda client, timeout: client.describe_topics(TopicCollection(topics), request_timeout=timeout)
        )

    def end_soon(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Future[Any]]:
        """Return the ends to come of partitions, each with its ``offset``; nobody waits for them."""
        specs = {KafkaPartition(*partition): _LATEST for partition in partitions}
        answers = self._soon(lambda client, timeout: client.list_offsets(specs, request_timeout=timeout))
        return {TopicPartition(where.topic, where.partition): each for where, each in answers.items()}

    def _soon(self, request: Callable[[Any, float], Mapping[T, Future[Any]]]) -> Mapping[T, Future[Any]]:
        client = self._client()
        client.poll(0)  # what it logged
        answers = request(client, self.config.request_timeout)
        for answer in answers.values():
            answer.add_done_callback(self._heard)
        return answers

    def _heard(self, answer: Future[Any]) -> None:
        """Hear, on a thread of the client, that an answer came just now, or that none will."""
        if answer.exception() is None and getattr(answer.result(), "offset", 0) != OFFSET_INVALID:
            self.config.contact.reached()

    def forget_leaders(self) -> None:
        """Look them up again for the next question."""
        self._handle = None  # only a new client is sure to

    def cluster_id(self) -> str:
        """Return the id of the cluster."""
        found = self._ask(
            "describe the cluster",
            lambda client, timeout: client.describe_cluster(request_timeout=timeout).result(),
        )
        return str(found.cluster_id)

    def _partitions(self, topic: str, field: Callable[[Any], T]) -> list[T]:
        return [field(each) for each in sorted(self._described(topic).partitions, key=lambda each: each.id)]

    def _described(self, topic: str) -> Any:
        def request(client: Any, timeout: float) -> Any:
            answers = client.describe_topics(TopicCollection([topic]), request_timeout=timeout)
            return answers[topic].result()

        return self._ask(f"describe topic {topic!r}", request, topic=topic)

    def create_topic(self, name: str, partitions: int) -> None:
        """Create `name` and wait until it can be used; a topic that exists is a `KafkaException`."""
        kept = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
        new = NewTopic(name, num_partitions=partitions, replication_factor=-1, config=kept)
        self._ask(
            f"create topic {name!r}",
            lambda client, timeout: _only(
                client.create_topics([new], operation_timeout=timeout, request_timeout=timeout)
            ),
            passing={KafkaError.TOPIC_ALREADY_EXISTS},
        )

        self.wait_usable(name)

    def wait_usable(self, topic: str) -> int:
        """Wait until `topic`, which was made just now, perhaps by others, is known; return its partitions.

        The cluster refuses to make it a second time before each broker has heard of it.
        """
        leaders: list[Any] = []

        def usable() -> bool:
            try:
                leaders[:] = self._partitions(topic, lambda partition: partition.leader)
            except TopicNotFoundError:
                return False
            return None not in leaders

        self._wait_until(usable, f"topic {topic!r} was created, but has no leaders")
        return len(leaders)

    def delete_topic(self, name: str) -> None:
        """Delete `name` and wait until it is gone; raises `TopicNotFoundError`."""
        self._ask(
            f"delete topic {name!r}",
            lambda client, timeout: _only(
                client.delete_topics([name], operation_timeout=timeout, request_timeout=timeout)
            ),
            topic=name,
        )

        def gone() -> bool:
            try:
                self.partitions(name)
            except TopicNotFoundError:
                return True
            return False

        self._wait_until(gone, f"topic {name!r} was deleted, but is still there")

    # ------------------------------------------------------------ offsets

    def begin(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """First offset still there."""
        return self._offsets(dict.fromkeys(partitions, _EARLIEST))

    def end(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Offset behind the last record that can be read: an open transaction is not there yet."""
        return self._offsets(dict.fromkeys(partitions, _LATEST))

    def high(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Offset behind the last record, whether it can be read yet or not."""
        return self._offsets(dict.fromkeys(partitions, _LATEST), IsolationLevel.READ_UNCOMMITTED)

    def at(self, partitions: Iterable[TopicPartition], timestamp: int) -> dict[TopicPartition, int]:
        """First offset not older than `timestamp` (ms); -1 if none."""
        return self._offsets(dict.fromkeys(partitions, OffsetSpec.for_timestamp(timestamp)))

    def _offsets(
        self,
        wanted: Mapping[TopicPartition, OffsetSpec],
        isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> dict[TopicPartition, int]:
        if not wanted:
            return {}
        topics = ", ".join(sorted({partition.topic for partition in wanted}))

        def request(client: Any, timeout: float) -> dict[TopicPartition, int]:
            specs = {KafkaPartition(*partition): spec for partition, spec in wanted.items()}
            answers = client.list_offsets(specs, isolation_level=isolation, request_timeout=timeout)
            return {
                TopicPartition(where.topic, where.partition): offset_of(answer.result())
                for where, answer in answers.items()
            }

        return self._ask(f"list the offsets of {topics}", request, topic=topics)

    def delete_records(self, topic: str, before: Mapping[int, int]) -> None:
        """Delete what is below the given offset, by partition."""

        def request(client: Any, timeout: float) -> None:
            cuts = [KafkaPartition(topic, partition, offset) for partition, offset in before.items()]
            answers = client.delete_records(cuts, request_timeout=timeout, operation_timeout=timeout)
            for answer in answers.values():
                answer.result()

        self._ask(f"trim topic {topic!r} before {dict(before)}", request, topic=topic)

    # ------------------------------------------------------------ groups

    def groups(self) -> list[str]:
        """Names of all consumer groups, sorted."""

        def request(client: Any, timeout: float) -> list[str]:
            listing = client.list_consumer_groups(request_timeout=timeout).result()
            if listing.errors:
                raise KafkaException(listing.errors[0])
            return sorted(group.group_id for group in listing.valid)

        return self._ask("list groups", request)

    def members(self, groups: list[str]) -> dict[str, int]:
        """Return how many members each group has."""
        return {group: len(members) for group, members in self._describe(groups).items()}

    def assignment(self, group: str, topic: str) -> dict[str, list[int]]:
        """Return the partitions of `topic` that each member of `group` owns, sorted."""
        return {
            member.member_id: sorted(
                where.partition for where in member.assignment.topic_partitions if where.topic == topic
            )
            for member in self._describe([group])[group]
        }

    def _describe(self, groups: list[str]) -> dict[str, list[MemberDescription]]:
        if not groups:
            return {}

        def request(client: Any, timeout: float) -> dict[str, list[MemberDescription]]:
            answers = client.describe_consumer_groups(groups, request_timeout=timeout)
            return {group: _members(answer) for group, answer in answers.items()}

        return self._ask("describe groups", request)

    def committed(
        self, group: str, partitions: Sequence[TopicPartition], member: Any = None
    ) -> dict[TopicPartition, int]:
        """Return the positions that `group` has committed in `partitions`; those without one are absent.

        A client that is a `member` of the group asks for itself.
        """
        return {each: found.position for each, found in self.stored(group, partitions, member).items()}

    def stored(
        self, group: str, partitions: Sequence[TopicPartition], member: Any = None
    ) -> dict[TopicPartition, Stored]:
        """Return what :meth:`committed` does, with the notes that are kept with it."""
        if not partitions:
            return {}

        def request(_: Any, timeout: float) -> dict[TopicPartition, Stored]:
            if member is not None:
                return committed.ask(member, partitions, timeout)
            return self._committed.ask(group, partitions, timeout)

        return self._ask(f"read the offsets of group {group!r}", request)

    def all_partitions(self) -> list[TopicPartition]:
        """Return the partitions of all topics but Kafka's own."""
        metadata = self._ask("list topics", lambda client, timeout: client.list_topics(timeout=timeout))
        return [
            TopicPartition(name, number)
            for name, topic in metadata.topics.items()
            if not name.startswith("__")
            for number in topic.partitions
        ]

    def coordination(self) -> Coordination | None:
        """Return the terms of KIP-848 groups, or None when the cluster has none. Asked once."""
        if not self._coordination_known:
            self._coordination = self._look_up_coordination()
            self._coordination_known = True
        return self._coordination

    def _look_up_coordination(self) -> Coordination | None:
        def request(client: Any, timeout: float) -> dict[str, Any]:
            node = next(iter(client.list_topics(timeout=timeout).brokers))
            resource = ConfigResource(ResourceType.BROKER, str(node))
            configs: dict[str, Any] = _only(client.describe_configs([resource], request_timeout=timeout))
            return configs

        not_told = {KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.UNSUPPORTED_VERSION}
        try:
            configs = self._ask("describe the broker", request, passing=not_told)
        except KafkaException as error:
            logger.info("%s: groups are classic ones: %s", self.config, error)
            return None
        protocols = configs.get("group.coordinator.rebalance.protocols")
        if protocols is None or "consumer" not in (protocols.value or "").split(","):
            return None

        def number(name: str) -> int:
            return int(configs[f"group.consumer.{name}.ms"].value)

        return Coordination(
            session=range(number("min.session.timeout"), number("max.session.timeout") + 1),
            heartbeat=range(number("min.heartbeat.interval"), number("max.heartbeat.interval") + 1),
            default_session=number("session.timeout"),
            default_heartbeat=number("heartbeat.interval"),
        )

    def set_session_timeout(self, group: str, terms: Coordination, seconds: float) -> None:
        """Ask the cluster to notice dead members of a KIP-848 `group` after `seconds`, as far as it lets us.

        There the session timeout is a setting of the group, not of its members.
        """
        session = _clamp(round(seconds * 1000), terms.session)
        heartbeat = _clamp(min(terms.default_heartbeat, session // 5), terms.heartbeat)
        wanted = {}
        if session != terms.default_session:
            wanted["consumer.session.timeout.ms"] = str(session)
        if heartbeat != terms.default_heartbeat:
            wanted["consumer.heartbeat.interval.ms"] = str(heartbeat)
        if not wanted:
            return
        refusals = _NO_SUCH_SETTING | {
            KafkaError.GROUP_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        }
        try:
            self._set_group(group, wanted, refusals)
        except KafkaException as error:
            logger.warning("%s: group %r keeps its session timeout: %s", self.config, group, error)

    def share_from_the_beginning(self, group: str) -> None:
        """Have the share group `group` begin with the first record; Kafka's default is behind the last one.

        Raises
        ------
        streamzarr.errors.ConfigError
            The cluster has no share groups.
        """
        try:
            self._set_group(group, {"share.auto.offset.reset": "earliest"}, _NO_SUCH_SETTING)
        except KafkaException as error:
            raise ConfigError(
                f"{self.config}: share groups need Apache Kafka 4.2 or later, this has none: {error}"
            ) from error

    def _set_group(self, group: str, settings: Mapping[str, str], refusals: frozenset[int]) -> None:
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=entries)
        self._ask(
            f"change the settings of group {group!r}",
            lambda client, timeout: _only(
                client.incremental_alter_configs([resource], request_timeout=timeout)
            ),
            passing=refusals,
        )

    # ------------------------------------------------------------ the client

    def close(self) -> None:
        """Release the connection; the next call makes a new one."""
        self._handle = None
        self._committed.close()

    def _client(self) -> Any:
        handle = self._handle
        if handle is None or not handle.is_here:  # two threads may both make one: the last stays
            settings: dict[str, Any] = {**self.config.admin(), "error_cb": self._on_error}
            client = AdminClient(settings, logger=self.config.log)
            self._handle = handle = Handle(client)
        return handle.client

    def _on_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # it follows the one that says why
            # "host:9092/bootstrap: Connect to ... failed: Connection refused (after 0ms in state CONNECT)"
            self._why_not_connected = error.str().partition(": ")[2].partition(" (after")[0]
            self._refused = error.code() in DENIED

    def _ask(
        self,
        what: str,
        request: Callable[[Any, float], T],
        *,
        topic: str | None = None,
        passing: Iterable[int] = (),
    ) -> T:
        """Return the answer to `request(client, seconds)`, asking again while the cluster is busy.

        Errors with a code in `passing` come through as they are; others become a `QueueError`.
        """
        deadline = Deadline(self.config.runtime, self.config.request_timeout)
        pause, seconds = self.config.runtime.event(), _RETRY_SECONDS
        may_be_new = True
        while True:
            client = self._client()
            try:
                answer = request(client, max(deadline.left, 0.001))
            except KafkaException as error:
                code = code_of(error)
                if code in passing:
                    raise
                if code == KafkaError._UNKNOWN_PARTITION and may_be_new:
                    self._handle, may_be_new = None, False  # to a client that was told of fewer, once
                    continue
                if code in STALE_LEADER:
                    self.forget_leaders()
                if code in TRANSIENT and deadline.left > seconds:
                    pause.wait(seconds)
                    if code in STALE_LEADER:  # a client is not cheap
                        seconds = min(2 * seconds, _NEW_CLIENT_SECONDS)
                    continue
                raise self._explain(client, error, what, topic) from error
            else:
                self.config.contact.reached()
                return answer
            finally:
                client.poll(0)  # what it logged

    def _explain(self, client: Any, error: KafkaException, what: str, topic: str | None) -> QueueError:
        code = code_of(error)
        if topic is not None and code in UNKNOWN_TOPIC:
            return TopicNotFoundError(f"{self.config}: no topic {topic!r}")
        if code in UNREACHABLE:
            client.poll(0)
            why = self._why_not_connected or "no answer"
            seconds = f"{self.config.request_timeout:g} s"
            kind = AccessDeniedError if self._refused else QueueError
            return kind(f"{self.config}: not reached within {seconds}, cannot {what}: {why}")
        return translate(error, f"{self.config}: cannot {what}")

    def _wait_until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = Deadline(self.config.runtime, self.config.request_timeout)
        if not any(condition() for _ in deadline.tries(every=_RETRY_SECONDS)):
            raise QueueError(f"{self.config}: {otherwise} after {self.config.request_timeout:g} s")


def offset_of(answer: Any) -> int:
    """Return the offset of an answer; confluent-kafka has one too where a leader gave none in time."""
    offset: int = answer.offset
    if offset == OFFSET_INVALID:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return offset


def _members(answer: Future[ConsumerGroupDescription]) -> list[MemberDescription]:
    try:
        return answer.result().members
    except KafkaException as error:
        if code_of(error) == KafkaError.GROUP_ID_NOT_FOUND:
            return []
        raise


def _only(answers: Mapping[Any, Future[T]]) -> T:
    [answer] = answers.values()
    return answer.result()


def _clamp(value: int, allowed: range) -> int:
    return max(allowed.start, min(value, allowed.stop - 1))
