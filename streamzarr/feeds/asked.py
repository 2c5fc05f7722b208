"""What the broker says of topics, asked for all of their partitions together."""

from __future__ import annotations

from typing import Final

from streamzarr.errors import SourceChangedError
from streamzarr.feeds.places import check_same, source_of
from streamzarr.feeds.target import Part
from streamzarr.queue import Broker, TopicIdentity, TopicInfo, TopicPartition

STALE_AFTER: Final = 1.0
"""Seconds for which an answer holds. One partition after another can take minutes, and retention goes on; to
ask for each of them would take longer, as each answer tells of all partitions."""


class Asked:
    """The answers of one broker, none older than a moment. Owned by one thread; blocks on the broker.

    Examples
    --------
    >>> from streamzarr.testing.broker_fake import FakeBroker
    >>> from streamzarr.testing.clock import FakeClock
    >>> clock = FakeClock()
    >>> broker = FakeBroker(clock)
    >>> broker.create_topic("ticks", 2)
    >>> asked = Asked(broker)
    >>> first = asked.info("ticks")
    >>> asked.info("ticks") is first
    True
    >>> clock.advance(STALE_AFTER)
    >>> asked.info("ticks") is first
    False
    """

    def __init__(self, broker: Broker) -> None:
        self.broker, self._runtime = broker, broker.runtime
        self._infos: dict[str, tuple[float, TopicInfo]] = {}
        self._compacts: dict[str, bool] = {}
        self._identities: dict[str, tuple[float, TopicIdentity]] = {}

    def info(self, topic: str) -> TopicInfo:
        """Return where a topic's partitions begin and end."""
        said = self._infos.get(topic)
        if said is None or self._is_stale(said[0]):
            return self._ask(topic)
        return said[1]

    def bounds(self, partition: TopicPartition, *, now: bool = False) -> tuple[int, int]:
        """Return where a partition begins and ends; `now`: whatever was said before."""
        info = self._ask(partition.topic) if now else self.info(partition.topic)
        if partition.partition not in info.end:  # it is new
            info = self._ask(partition.topic)
        return info.begin[partition.partition], info.end[partition.partition]

    def identity(self, topic: str) -> TopicIdentity:
        """Return which topic this is."""
        said = self._identities.get(topic)
        if said is None or self._is_stale(said[0]):
            identity = self.broker.identify(topic)
            said = self._identities[topic] = self._runtime.now(), identity
        return said[1]

    def changed(self, part: Part) -> str:
        """Return why a partition's rows are not those of the topic that is there now; empty: they are."""
        now = source_of(part.partition, self.identity(part.partition.topic))
        try:
            check_same(part.snapshot.record.source, now, part.snapshot.url, str(self.broker))
        except SourceChangedError as error:
            return str(error)
        return ""

    def compacts(self, topic: str) -> bool:
        """Tell whether a topic is compacted; asked once."""
        if topic not in self._compacts:
            self._compacts[topic] = self.broker.compacts(topic)
        return self._compacts[topic]

    def _ask(self, topic: str) -> TopicInfo:
        info = self.broker.describe(topic)
        self._infos[topic] = self._runtime.now(), info
        return info

    def _is_stale(self, at: float) -> bool:
        return self._runtime.now() - at >= STALE_AFTER
