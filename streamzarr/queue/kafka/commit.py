"""Commits on their way to the cluster, and its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from streamzarr.queue.base import Notes, TopicPartition
from streamzarr.queue.kafka.errors import kafka_error

Errors = dict[TopicPartition, KafkaError]

_MAX_OPEN: Final = 1000
"""Commits of which the answer is still expected; the cluster has long forgotten older ones."""


class Commit:
    """Positions that were sent to the cluster. `errors` is None until it has answered.

    If it is `awaited`, whoever sent it looks for the answer, or does not want it.
    """

    __slots__ = ("awaited", "errors", "positions")

    def __init__(self, positions: Mapping[TopicPartition, int], awaited: bool) -> None:
        self.positions = dict(positions)
        self.awaited = awaited
        self.errors: Errors | None = None


class Commits:
    """Sends commits and matches the answers. Owned by the consumer's thread, where the answers arrive too.

    Always asynchronously: librdkafka's synchronous commit has no timeout, and when the coordinator is away
    for longer than the session it never returns, because the rebalance that it waits for waits for a poll.
    """

    def __init__(self) -> None:
        self._open: list[Commit] = []
        self.unanswered = 0
        """How many librdkafka has, whether anybody still looks for the answer or not."""

    def send(
        self, client: Any, positions: Mapping[TopicPartition, int], notes: Notes, *, awaited: bool
    ) -> Commit:
        """Send `positions`; the answer comes while `client` is polled."""
        commit = Commit(positions, awaited)
        offsets = [
            KafkaPartition(*partition, offset, notes.get(partition, ""))
            for partition, offset in positions.items()
        ]
        try:
            client.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            commit.errors = dict.fromkeys(positions, kafka_error(error))
        else:
            self._open = [*self._open[-_MAX_OPEN:], commit]
            self.unanswered += 1
        return commit

    def answer(self, error: KafkaError | None, partitions: Sequence[Any]) -> Commit | None:
        """Note an answer of the cluster; return the commit that it is for."""
        self.unanswered = max(0, self.unanswered - 1)
        positions = {TopicPartition(each.topic, each.partition): each.offset for each in partitions}
        for commit in self._open:
            # An answer to an earlier commit of the same positions is as good.
            if commit.positions == positions:
                self._open.remove(commit)
                commit.errors = {
                    TopicPartition(each.topic, each.partition): error or each.error
                    for each in partitions
                    if error is not None or each.error is not None
                }
                return commit
        return None

    def forget(self, commit: Commit) -> None:
        """Expect no answer any more."""
        if commit in self._open:
            self._open.remove(commit)
