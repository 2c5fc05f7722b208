"""A broker in virtual time whose network loses answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamzarr.queue.atomic import AtomicWriter
from streamzarr.queue.base import (
    Broker,
    Consumer,
    GroupInfo,
    Producer,
    Reader,
    RebalanceListener,
    TopicIdentity,
    TopicInfo,
)
from streamzarr.testing.simulation.cluster import Cluster
from streamzarr.testing.simulation.consumer import SimulatedConsumer, SimulatedReader
from streamzarr.testing.simulation.producer import SimulatedAtomicWriter, SimulatedProducer


class SimulatedBroker(Broker):
    """A process's connection to a :class:`Cluster`.

    Each process has its own, since a killed one may leave it in any state. Every call may fail as the plan of
    faults has it, and may have been carried out all the same.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.runtime = cluster.runtime

    @property
    def url(self) -> str:
        """``sim://cluster``."""
        return self._cluster.url

    def create_topic(self, name: str, partitions: int = 1, *, exist_ok: bool = False) -> None:
        """Create a topic."""

        def create() -> None:
            self._cluster.topics.create(name, partitions, exist_ok=exist_ok)
            self._cluster.replan()

        self._cluster.call("create_topic", name, create)

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""

        def delete() -> None:
            self._cluster.topics.delete(name)
            self._cluster.replan()

        self._cluster.call("delete_topic", name, delete)

    def topics(self) -> list[str]:
        """Return the names of all topics."""
        return self._cluster.call("topics", "", self._cluster.topics.names, loud=False)

    def describe(self, topic: str) -> TopicInfo:
        """Return the offsets of a topic."""
        return self._cluster.call("describe", topic, lambda: self._cluster.topics.info(topic), loud=False)

    def identify(self, topic: str) -> TopicIdentity:
        """Return which topic a name means."""
        return self._cluster.call("identify", topic, lambda: self._cluster.topics.identity(topic), loud=False)

    def offsets_at(self, topic: str, timestamp: int) -> dict[int, int]:
        """Return the first offset by partition that is not older than `timestamp`."""
        return self._cluster.call(
            "offsets_at", topic, lambda: self._cluster.topics.offsets_at(topic, timestamp), loud=False
        )

    def trim(self, topic: str, before: Mapping[int, int]) -> None:
        """Delete records below an offset."""
        self._cluster.call(
            "trim", f"{topic} {dict(before)}", lambda: self._cluster.topics.trim(topic, before)
        )

    def groups(self, name: str | None = None) -> list[GroupInfo]:
        """Return all groups, or the one of that name."""

        def look() -> list[GroupInfo]:
            return [
                GroupInfo(each, len(group.members), dict(group.committed))
                for each, group in sorted(self._cluster.groups.items())
                if name in (None, each)
            ]

        return self._cluster.call("groups", "", look, loud=False)

    def members(self, group: str) -> int:
        """Return how many members a group has."""

        def look() -> int:
            found = self._cluster.groups.get(group)
            return 0 if found is None else len(found.members)

        return self._cluster.call("members", group, look, loud=False)

    def assignment(self, group: str, topic: str) -> dict[str, list[int]]:
        """Return the partitions of `topic` by member."""

        def look() -> dict[str, list[int]]:
            found = self._cluster.groups.get(group)
            if found is None:
                return {}
            return {
                name: [each.partition for each in found.owned(name) if each.topic == topic]
                for name in found.members
            }

        return self._cluster.call("assignment", group, look, loud=False)

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the committed positions of a group."""

        def look() -> dict[int, int]:
            found = self._cluster.groups.get(group)
            positions = {} if found is None else found.committed
            return {each.partition: position for each, position in positions.items() if each.topic == topic}

        return self._cluster.call("committed", group, look, loud=False)

    def producer(self) -> Producer:
        """Return a new producer."""
        return SimulatedProducer(self._cluster)

    def atomic_writer(self, name: str) -> AtomicWriter:
        """Return the newest writer of `name`."""
        return SimulatedAtomicWriter(self._cluster, name)

    def consumer(
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
        """Join `group`. Only polling keeps a member alive: there is no heartbeat beside it."""
        for topic in topics:
            self._cluster.topics.partitions(topic)
        return SimulatedConsumer(self._cluster, topics, group, listener, session_timeout)

    def reader(
        self, topic: str, start: Mapping[int, int] | None = None, *, prefetch_bytes: int | None = None
    ) -> Reader:
        """Read all partitions of `topic`, outside any group."""
        return SimulatedReader(self._cluster, topic, start or {})

    def close(self) -> None:
        """Do nothing: the cluster stays."""
