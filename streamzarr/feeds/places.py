"""Where the rows of a partition go, and what says whose rows they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from streamzarr.errors import SourceChangedError
from streamzarr.feeds.route.spec import folder_of
from streamzarr.queue import TopicIdentity, TopicPartition
from streamzarr.stream.record import Source

FEED_ATTRIBUTE: Final = "streamzarr_feed"
"""Attribute of a partition's group: how to find its topic and its dead letters again."""

BY: Final = "by"
"""Group beside the partitions, with one for each of several targets."""


def path_of(partition: TopicPartition, topics: Sequence[str]) -> str:
    """Return the path of a partition's stream below the target.

    >>> path_of(TopicPartition("fx.ticks", 3), ["fx.ticks"])
    'p00003'
    >>> path_of(TopicPartition("fx.ticks", 3), ["fx.ticks", "fx.bars"])
    'fx.ticks/p00003'
    """
    name = f"p{partition.partition:05}"
    return name if len(topics) == 1 else f"{partition.topic}/{name}"


def target_path(target: str, path: str) -> str:
    """Return the path of the stream of one of several targets; `path` is that of its partition.

    >>> target_path("BTC/USD", "p00003")
    'by/BTC%2FUSD/p00003'
    """
    return f"{BY}/{folder_of(target)}/{path}"


def other_path_of(partition: TopicPartition, topics: Sequence[str]) -> str:
    """Return where the stream would be if the feed had one topic instead of several, or several.

    >>> other_path_of(TopicPartition("fx.ticks", 3), ["fx.ticks"])
    'fx.ticks/p00003'
    """
    return path_of(partition, [] if len(topics) == 1 else [partition.topic])


def source_of(partition: TopicPartition, identity: TopicIdentity) -> dict[str, str | int]:
    """Return what the positions of a partition count in, for the commit record."""
    return {
        "cluster": identity.cluster,
        "topic": partition.topic,
        "topic_id": identity.topic,
        "partition": partition.partition,
    }


def _shown(source: Mapping[str, Any]) -> str:
    """Return a source as people call it.

    >>> _shown({"cluster": "c1", "topic": "ticks", "topic_id": "t1", "partition": 3})
    "topic 'ticks', partition 3"
    """
    partition = f", partition {source['partition']}" if "partition" in source else ""
    return f"topic {source.get('topic')!r}{partition}"


def check_same(found: Source | None, now: Mapping[str, str | int], where: str, broker: str) -> None:
    """Return if the rows that are there come from the partition that is to be read.

    Raises
    ------
    streamzarr.errors.SourceChangedError
        They do not; says what changed. Positions of one topic mean nothing in another.

    Examples
    --------
    >>> new = source_of(TopicPartition("ticks", 0), TopicIdentity("c1", "t2"))
    >>> check_same({**new, "topic_id": "t1"}, new, "fx.zarr/p00000", "kafka://b")
    Traceback (most recent call last):
    ...
    streamzarr.errors.SourceChangedError: fx.zarr/p00000: topic 'ticks' of kafka://b was made anew since its
    rows came: its id was t1 and is t2; give another target, or the topic back
    """
    if found is None or found == now:
        return
    was: Any = found if isinstance(found, Mapping) else {"topic": found}
    if was.get("cluster") != now["cluster"] and was.get("topic") == now["topic"]:
        reason = (
            f"{broker} is another cluster than the one that its rows came from: that was "
            f"{was.get('cluster')}, this is {now['cluster']}"
        )
    elif was.get("topic") == now["topic"] and was.get("partition") == now["partition"]:
        reason = (
            f"topic {now['topic']!r} of {broker} was made anew since its rows came: its id was "
            f"{was.get('topic_id')} and is {now['topic_id']}"
        )
    else:
        reason = f"its rows come from {_shown(was)}, not from {_shown(now)}"
    raise SourceChangedError(f"{where}: {reason}; give another target, or the topic back")
