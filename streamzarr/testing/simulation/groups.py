"""Consumer groups of a simulated broker: members, who owns which partition, positions. Pure state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from streamzarr.queue.base import TopicPartition
from streamzarr.queue.embedded.assignment import plan_assignment

NO_NOTES: Final[Mapping[TopicPartition, str]] = {}


@dataclass(slots=True)
class Member:
    """One join of one consumer."""

    topics: tuple[str, ...]
    session_timeout: float
    expires: float
    """Time at which it is thrown out unless it polls before."""


@dataclass(slots=True)
class Group:
    """Cooperative rebalancing as in KIP-848: an *owner* by partition, and a *target* that shall be the owner.

    Only the owner's commits are accepted. A partition that moves is released by its owner, once it has
    drained, and then claimed by its target; the others are not interrupted.

    Examples
    --------
    >>> p0, p1 = TopicPartition("t", 0), TopicPartition("t", 1)
    >>> group = Group()
    >>> group.join("a", Member(("t",), 10.0, 10.0), [p0, p1])
    >>> sorted(group.claim("a")) == [p0, p1]
    True
    >>> group.join("b", Member(("t",), 10.0, 10.0), [p0, p1])
    >>> moved = group.unwanted("a")
    >>> len(moved), group.claim("b"), group.commit("b", {p0: 1}) == [p0]
    (1, [], True)
    >>> group.release("a", moved)
    >>> group.claim("b") == moved
    True
    """

    members: dict[str, Member] = field(default_factory=dict)
    owner: dict[TopicPartition, str] = field(default_factory=dict)
    target: dict[TopicPartition, str] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    notes: dict[TopicPartition, str] = field(default_factory=dict)
    generation: int = 0
    """Grows with every change of membership, plan or ownership."""

    def join(self, name: str, member: Member, partitions: Iterable[TopicPartition]) -> None:
        """Add a member and plan anew over `partitions`: all those of the topics of all members."""
        self.members[name] = member
        self.plan(partitions)

    def remove(self, name: str, partitions: Iterable[TopicPartition]) -> None:
        """Take out a member that leaves or is dead; what it owned is free at once."""
        del self.members[name]
        self.owner = {partition: owner for partition, owner in self.owner.items() if owner != name}
        self.plan(partitions)

    def plan(self, partitions: Iterable[TopicPartition]) -> None:
        """Decide who shall own what."""
        current = {
            **self.owner,
            **{each: target for each, target in self.target.items() if target in self.members},
        }
        subscriptions = {name: member.topics for name, member in self.members.items()}
        self.target = dict(sorted(plan_assignment(subscriptions, partitions, current).items()))
        self.generation += 1

    def owned(self, name: str) -> list[TopicPartition]:
        """Partitions that a member owns, sorted."""
        return sorted(partition for partition, owner in self.owner.items() if owner == name)

    def unwanted(self, name: str) -> list[TopicPartition]:
        """Partitions that a member owns and another one shall."""
        return [partition for partition in self.owned(name) if self.target.get(partition) != name]

    def release(self, name: str, partitions: Collection[TopicPartition]) -> None:
        """Give up partitions that a member owns."""
        for partition in partitions:
            if self.owner.get(partition) == name:
                del self.owner[partition]
        self.generation += 1

    def claim(self, name: str) -> list[TopicPartition]:
        """Take what is free for a member; return what is new."""
        taken = [each for each, target in self.target.items() if target == name and each not in self.owner]
        if taken:
            self.owner.update(dict.fromkeys(taken, name))
            self.generation += 1
        return taken

    def commit(
        self, name: str, offsets: Mapping[TopicPartition, int], notes: Mapping[TopicPartition, str] = NO_NOTES
    ) -> list[TopicPartition]:
        """Store positions and notes of what a member owns; return the partitions that it does not."""
        refused = [partition for partition in offsets if self.owner.get(partition) != name]
        self.committed.update({each: offsets[each] for each in offsets if each not in refused})
        self.notes.update({each: notes.get(each, "") for each in offsets if each not in refused})
        return refused
