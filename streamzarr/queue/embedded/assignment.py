"""Which member of a consumer group should own which partition: a pure plan."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping

from streamzarr.queue.base import TopicPartition


def plan_assignment(
    members: Mapping[str, Collection[str]],
    partitions: Iterable[TopicPartition],
    current: Mapping[TopicPartition, str],
) -> dict[TopicPartition, str]:
    """Return the member for each partition: as even as subscriptions allow, moving as little as that needs.

    Parameters
    ----------
    members
        Topics that each member has subscribed to.
    partitions
        All partitions of those topics; one that nobody has subscribed to is left out of the plan.
    current
        The member that each partition is with; unknown members and topics are ignored.

    Notes
    -----
    A partition stays where it is if it can. One without a member goes to the least loaded of those that
    may have it. Then, while some member holds at least two more than another that its partitions can
    reach, one partition moves along each step of the shortest path between them. The path matters when
    subscriptions differ: A may be able to help C only by giving to B, which gives to C. Each round lowers
    the sum of the squared loads, so it ends. The promise is that of Kafka's sticky assignor (KIP-54).

    Examples
    --------
    >>> p0, p1, p2 = (TopicPartition("t", n) for n in range(3))
    >>> plan = plan_assignment({"a": ["t"], "b": ["t"]}, [p0, p1, p2], {p0: "a", p1: "a", p2: "a"})
    >>> sorted(plan.values()), plan[p1], plan[p2]
    (['a', 'a', 'b'], 'a', 'a')
    """
    subscribers: dict[str, list[str]] = {}
    for member in sorted(members):
        for topic in members[member]:
            subscribers.setdefault(topic, []).append(member)

    held: dict[str, set[TopicPartition]] = {member: set() for member in members}
    homeless = []
    for partition in sorted(set(partitions)):
        candidates = subscribers.get(partition.topic, [])
        owner = current.get(partition)
        if owner in candidates:
            held[owner].add(partition)
        elif candidates:
            homeless.append(partition)
    # Those with the least choice first, so that the others can even out what they leave.
    homeless.sort(key=lambda partition: (len(subscribers[partition.topic]), partition))
    for partition in homeless:
        least_loaded = min(subscribers[partition.topic], key=lambda member: (len(held[member]), member))
        held[least_loaded].add(partition)

    while _level_once(held, subscribers):
        pass
    return {partition: member for member, owned in held.items() for partition in owned}


def _level_once(held: dict[str, set[TopicPartition]], subscribers: Mapping[str, list[str]]) -> bool:
    """Take one partition off the most loaded member that can be relieved; false when none can."""
    for giver in sorted(held, key=lambda member: (-len(held[member]), member)):
        path = _path_to_less_loaded(giver, held, subscribers)
        if path:
            for source, partition, target in path:
                held[source].remove(partition)
                held[target].add(partition)
            return True
    return False


def _path_to_less_loaded(
    giver: str, held: Mapping[str, set[TopicPartition]], subscribers: Mapping[str, list[str]]
) -> list[tuple[str, TopicPartition, str]]:
    """Return the shortest chain of moves from `giver` to a member with at least two partitions fewer."""
    arrived_by: dict[str, tuple[str, TopicPartition]] = {}
    queue = deque([giver])
    while queue:
        source = queue.popleft()
        one_of_each_topic = {partition.topic: partition for partition in sorted(held[source], reverse=True)}
        for topic, partition in sorted(one_of_each_topic.items()):
            for target in sorted(subscribers[topic], key=lambda member: (len(held[member]), member)):
                if target == giver or target in arrived_by:
                    continue
                arrived_by[target] = (source, partition)
                if len(held[target]) + 2 <= len(held[giver]):
                    return _moves_along(arrived_by, giver, target)
                queue.append(target)
    return []


def _moves_along(
    arrived_by: Mapping[str, tuple[str, TopicPartition]], giver: str, target: str
) -> list[tuple[str, TopicPartition, str]]:
    moves = []
    while target != giver:
        source, partition = arrived_by[target]
        moves.append((source, partition, target))
        target = source
    return moves
