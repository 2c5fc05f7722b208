"""Where reading can go on behind a batch that is damaged on the cluster's disk.

librdkafka tells where such a batch begins, not where it ends, and reads it again and again. Whether an offset
lies in it shows when one reads from there: the cluster sends whole batches, so the error names the same one.
"""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import KafkaError
from confluent_kafka import TopicPartition as KafkaPartition

from streamzarr.errors import QueueError
from streamzarr.queue.base import TopicPartition
from streamzarr.queue.kafka.admin import KafkaAdmin
from streamzarr.queue.kafka.clients import Consumer as Client
from streamzarr.queue.kafka.config import logger
from streamzarr.queue.kafka.errors import TRANSIENT, UNREACHABLE
from streamzarr.runtime import Deadline

BAD_DATA: Final = frozenset(
    {
        KafkaError._BAD_MSG,
        KafkaError._BAD_COMPRESSION,
        KafkaError.INVALID_MSG,
    }  # of one batch in one partition
)


def first_behind(admin: KafkaAdmin, partition: TopicPartition, offset: int) -> int:
    """Return the first offset behind the damaged batch that holds `offset`, by bisection.

    Raises
    ------
    streamzarr.errors.QueueError
        The cluster cannot be reached.
    """
    inside, behind = offset, admin.end([partition])[partition]
    group = f"streamzarr-reader-{admin.config.runtime.random_bytes(16).hex()}"
    client = Client(admin.config.reader(group), logger=logger)
    try:
        while behind - inside > 1:
            middle = (inside + behind) // 2
            client.assign([KafkaPartition(*partition, middle)])
            if _is_damaged(_answer(client, admin, partition), offset):
                inside = middle
            else:
                behind = middle
    finally:
        client.close()
    return behind


def _answer(client: Client, admin: KafkaAdmin, partition: TopicPartition) -> Any:
    """Return the first record, or what is wrong with it."""
    deadline = Deadline(admin.config.runtime, admin.config.request_timeout)
    while not deadline.passed:
        message = client.poll(deadline.left)
        error = None if message is None else message.error()
        if message is not None and (error is None or error.code() not in TRANSIENT | UNREACHABLE):
            return message
    raise QueueError(
        f"{admin.config}: cannot read {partition.topic}[{partition.partition}]: no answer within "
        f"{admin.config.request_timeout:g} s"
    )


def _is_damaged(message: Any, offset: int) -> bool:
    """Tell whether `message` is about the damaged batch that holds `offset`: it begins there or before."""
    error = message.error()
    return error is not None and error.code() in BAD_DATA and message.offset() <= offset
