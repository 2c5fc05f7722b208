"""From librdkafka's errors to ours: one sentence that says what, where and why."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException

from streamzarr.errors import AccessDeniedError, QueueError, TopicNotFoundError

UNKNOWN_TOPIC: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)

DENIED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)

UNREACHABLE: Final = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._WAIT_COORD,
    }
)

AWAY: Final = UNREACHABLE | {KafkaError.NETWORK_EXCEPTION}
"""No server has said this: there was none to be reached."""

TRANSIENT: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError._WAIT_COORD,
        KafkaError._TRANSPORT,
        KafkaError._NOENT,  # librdkafka's word for partitions that have no leader now
    }
)
"""The cluster is busy with itself: the same request succeeds a moment later."""

STALE_LEADER: Final = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError._NOENT,  # of a topic that has got more partitions, for as long as it is asked
    }
)
"""The client believes in a leader of the past. Asked again, librdkafka may believe in it still."""

UNSETTLED: Final = frozenset(
    {KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError.STALE_MEMBER_EPOCH}
)
"""A commit crossed a rebalance. The member may still own the partition: the next heartbeat tells."""

FENCED: Final = UNSETTLED | {
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError._ASSIGNMENT_LOST,
}
"""A commit by a member that the group no longer has."""


class GaveUpError(QueueError):
    """The client has stopped for good, as one whose name another member has: only a new one is of use."""

    transient = False


def code_of(error: KafkaException | KafkaError) -> int:
    """Return librdkafka's number for `error`."""
    code: int = kafka_error(error).code()
    return code


def kafka_error(error: KafkaException | KafkaError) -> KafkaError:
    """Return what a `KafkaException` carries."""
    return error.args[0] if isinstance(error, KafkaException) else error


def translate(error: KafkaException | KafkaError, where: str) -> QueueError:
    """Return our error for `error`; `where` names the broker, and the topic and partition if any."""
    inner = kafka_error(error)
    if inner.code() in UNKNOWN_TOPIC:
        return TopicNotFoundError(f"{where}: no such topic or partition")
    kind = AccessDeniedError if inner.code() in DENIED else QueueError
    return kind(f"{where}: {inner.str()} ({inner.name()})")
