"""Where partitions end, asked by somebody who does not wait for the answer."""

from __future__ import annotations

from collections.abc import Collection

from confluent_kafka import KafkaException

from streamzarr.queue.base import Offsets, TopicPartition
from streamzarr.queue.kafka.admin import KafkaAdmin, offset_of
from streamzarr.queue.kafka.errors import STALE_LEADER, code_of, translate


class EndsToCome:
    """A question for the ends of partitions, under way. Owned by one thread; does not block."""

    def __init__(self, admin: KafkaAdmin, partitions: Collection[TopicPartition]) -> None:
        self._admin = admin
        self._answers = admin.end_soon(partitions) if partitions else {}

    def __call__(self) -> Offsets | None:
        """Return the ends, or None while they are not known; raises ``QueueError``."""
        if not all(answer.done() for answer in self._answers.values()):
            return None
        try:
            return {where: offset_of(answer.result()) for where, answer in self._answers.items()}
        except KafkaException as error:
            if code_of(error) in STALE_LEADER:
                self._admin.forget_leaders()
            raise translate(error, f"{self._admin.config}: cannot list offsets") from error
