"""How many records a target still lacks."""

from __future__ import annotations

from collections.abc import Mapping

from streamzarr.errors import NodeNotFoundError
from streamzarr.feeds.target import find_parts
from streamzarr.queue import Broker, TopicPartition


def ends_of(broker: Broker, topics: list[str]) -> dict[TopicPartition, int]:
    """Return where the partitions of the topics end now."""
    return {
        TopicPartition(topic, number): end
        for topic in topics
        for number, end in broker.describe(topic).end.items()
    }


def behind(url: str, ends: Mapping[TopicPartition, int]) -> int:
    """Return how many offsets below `ends` the target has not settled; they may hold no record.

    Raises
    ------
    streamzarr.errors.StoreError, streamzarr.errors.ConfigError
        The target cannot be read, or holds something else.
    """
    try:
        settled = {each.partition: each.position for each in find_parts(url)}
    except NodeNotFoundError:
        settled = {}
    missing = [max(0, end - settled.get(partition, 0)) for partition, end in ends.items()]
    return sum(missing) if ends.keys() <= settled.keys() else max(1, sum(missing))
