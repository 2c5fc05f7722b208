"""What groups have committed, asked through consumer clients that never join them.

Not through ``AdminClient.list_consumer_group_offsets``: while the coordinator of a group is being looked for,
or still loads, librdkafka (seen with 2.16.0) goes through the group handle that only a consumer has, and the
process dies (``rd_kafka_handle_OffsetFetch`` -> ``rd_kafka_cgrp_op``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from streamzarr.queue.base import TopicPartition
from streamzarr.queue.kafka.clients import Consumer as Client
from streamzarr.queue.kafka.config import KafkaConfig
from streamzarr.queue.kafka.handle import Handle

_MOST_CLIENTS: Final = 4
"""Groups that are asked about again and again: those of the jobs and feeds that one process drives."""


class Stored(NamedTuple):
    """What a group has committed in a partition."""

    position: int
    note: str


def ask(client: Any, partitions: Iterable[TopicPartition], timeout: float) -> dict[TopicPartition, Stored]:
    """Return what the group of `client`, a consumer, has committed; partitions without one are absent."""
    found = {}
    for each in client.committed([KafkaPartition(*partition) for partition in partitions], timeout=timeout):
        if each.error is not None:
            raise KafkaException(each.error)
        if each.offset >= 0:
            found[TopicPartition(each.topic, each.partition)] = Stored(each.offset, each.metadata or "")
    return found


class CommittedOffsets:
    """One client a group, kept while it is asked about. Thread-safe; makes new clients in a forked child."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._lock = config.runtime.lock()
        self._handles: OrderedDict[str, Handle] = OrderedDict()

    def ask(
        self, group: str, partitions: Iterable[TopicPartition], timeout: float
    ) -> dict[TopicPartition, Stored]:
        """Return the positions of `group` in `partitions`; those without one are absent.

        Raises
        ------
        confluent_kafka.KafkaException
            The coordinator did not answer within `timeout` seconds, or refused.
        """
        return ask(self._client(group), partitions, timeout)

    def close(self) -> None:
        """Release all connections; the next question makes new ones."""
        with self._lock:
            self._handles.clear()

    def _client(self, group: str) -> Client:
        with self._lock:
            handle = self._handles.get(group)
            if handle is None or not handle.is_here:
                # A client that is dropped is not closed: closing one that never joined only costs time.
                handle = self._handles[group] = Handle(
                    Client(self._config.reader(group), logger=self._config.log)
                )
            self._handles.move_to_end(group)
            while len(self._handles) > _MOST_CLIENTS:
                self._handles.popitem(last=False)
            client: Client = handle.client
            return client
