"""A simulated cluster: topics and groups, reached over a network that loses answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeVar

from streamzarr.errors import QueueError
from streamzarr.queue.base import NewRecord, Record, TopicPartition
from streamzarr.testing.simulation.faults import Faults
from streamzarr.testing.simulation.groups import Group, Member
from streamzarr.testing.simulation.runtime import SimulatedRuntime
from streamzarr.testing.simulation.topics import Topics
from streamzarr.testing.simulation.waiting import SimulatedBell

T = TypeVar("T")

MAX_LATENCY = 0.002
"""Seconds that an answer takes at most when all is well."""
LOST_SECONDS = 1.0
"""After so long a client gives up waiting for an answer."""

CommitWatcher = Callable[[str, TopicPartition, int | None, int], None]


class Cluster:
    """What all clients of one simulated broker share. Its state outlives every process.

    Methods are called by simulated threads; those that go over the network (:meth:`call`) are points at which
    others take over, before and after the call is carried out.
    """

    url = "sim://cluster"

    def __init__(self, runtime: SimulatedRuntime, faults: Faults, seed: int | str) -> None:
        self.runtime, self.kernel = runtime, runtime.kernel
        self.faults = faults
        self.topics = Topics(self.url)
        self.groups: dict[str, Group] = {}
        self.writers: dict[str, int] = {}
        """The number of the newest atomic writer of each name."""
        self.on_commit: list[CommitWatcher] = []
        """Told of each position that is stored: group, partition, the one before, the new one."""
        self.on_append: list[Callable[[Record], None]] = []
        """Told of each record that is written, however soon it is trimmed."""
        self.gaps = 0.0
        """Chance that a record is followed by an offset that holds none."""
        self.random = Random(f"network {seed}")
        self._down_until = 0.0
        self._serial = 0
        self._bells: list[SimulatedBell] = []

    # -- the network -------------------------------------------------------------------------------------

    def call(self, operation: str, detail: str, action: Callable[[], T], *, loud: bool = True) -> T:
        """Carry out `action` on the cluster, if it is reached; return its result, if it comes back."""
        kernel = self.kernel
        what = f"{operation} {detail}"
        kernel.step(what if loud else "")
        if not self.reachable:
            kernel.sleep(self.random.random() * MAX_LATENCY, "an answer")
            raise QueueError(f"{self.url}: {operation}: the broker cannot be reached")
        faults = {fault.kind: fault for fault in self.faults.at(operation)}
        for fault in faults.values():
            kernel.trace.add(kernel.time, str(kernel.current), f"FAULT {fault} ({what})")
        if "refuse" in faults:
            kernel.sleep(self.random.random() * MAX_LATENCY, "an answer")
            raise QueueError(f"{self.url}: {operation}: connection reset")
        result = action()
        if "lose" in faults:
            kernel.sleep(LOST_SECONDS, "an answer that is lost")
            raise QueueError(f"{self.url}: {operation}: no answer within {LOST_SECONDS:g} s")
        late = faults["late"].seconds if "late" in faults else 0.0
        kernel.sleep(late + self.random.random() * MAX_LATENCY, "an answer")
        return result

    @property
    def reachable(self) -> bool:
        """Whether it is up."""
        return self.kernel.time >= self._down_until

    def serial(self) -> int:
        """Return a new number, for names."""
        self._serial += 1
        return self._serial

    def restart(self, seconds: float) -> None:
        """Let nobody reach the cluster for so long; what it holds stays."""
        self._down_until = self.kernel.time + seconds
        self.ring()

    def bell(self) -> SimulatedBell:
        """Return a bell that rings whenever there may be something new."""
        bell = SimulatedBell(self.kernel)
        self._bells.append(bell)
        return bell

    def unhang(self, bell: SimulatedBell) -> None:
        """Let a bell ring no more."""
        if bell in self._bells:
            self._bells.remove(bell)

    def ring(self) -> None:
        """Wake all clients that wait for something new."""
        for bell in self._bells:
            bell.ring()

    # -- what the calls do -------------------------------------------------------------------------------

    def append(self, records: Sequence[tuple[str, NewRecord]]) -> None:
        """Write records."""
        now = self.runtime.wall_ns() // 1_000_000
        for topic, record in records:
            written = self.topics.append(topic, record, now)
            for watcher in self.on_append:
                watcher(written)
            if self.gaps and self.random.random() < self.gaps:
                number = self.random.randrange(len(self.topics.partitions(topic)))
                self.topics.leave_out(topic, number)
        if records:
            self.ring()

    def group(self, name: str) -> Group:
        """Return a group, made when it is first asked for."""
        return self.groups.setdefault(name, Group())

    def join(self, group: str, name: str, topics: tuple[str, ...], session_timeout: float) -> None:
        """Add a member, who is thrown out when its session ends."""
        member = Member(topics, session_timeout, self.kernel.time + session_timeout)
        found = self.group(group)
        found.join(name, member, self._subscribed(found, topics))
        self._watch_session(group, name, member)
        self.ring()

    def leave(self, group: str, name: str) -> None:
        """Take out a member, if it is still one."""
        found = self.group(group)
        if name in found.members:
            found.remove(name, self._subscribed(found))
            self.ring()

    def evict(self) -> None:
        """Throw some member of some group out, as if its session had ended."""
        every = [(group, name) for group, found in self.groups.items() for name in found.members]
        if every:
            group, name = every[self.random.randrange(len(every))]
            self.kernel.trace.add(self.kernel.time, "world", f"{name} is thrown out of group {group}")
            self.leave(group, name)

    def commit(
        self,
        group: str,
        name: str,
        offsets: Mapping[TopicPartition, int],
        notes: Mapping[TopicPartition, str],
    ) -> list[TopicPartition]:
        """Store positions and notes; return the partitions that were refused."""
        found = self.group(group)
        before = {partition: found.committed.get(partition) for partition in offsets}
        refused = found.commit(name, offsets, notes)
        for partition, position in offsets.items():
            if partition not in refused:
                for watcher in self.on_commit:
                    watcher(group, partition, before[partition], position)
        return refused

    def replan(self) -> None:
        """Plan all groups anew, after topics have changed."""
        for group in self.groups.values():
            if group.members:
                group.plan(self._subscribed(group))
        self.ring()

    def _subscribed(self, group: Group, topics: tuple[str, ...] = ()) -> list[TopicPartition]:
        names = {*topics, *(topic for member in group.members.values() for topic in member.topics)}
        return [
            TopicPartition(topic, number)
            for topic in sorted(names.intersection(self.topics.names()))
            for number in range(len(self.topics.partitions(topic)))
        ]

    def _watch_session(self, group: str, name: str, member: Member) -> None:
        def look() -> None:
            if self.group(group).members.get(name) is not member:
                return
            if self.kernel.time < member.expires:
                self.kernel.at(member.expires, look)
                return
            self.kernel.trace.add(self.kernel.time, "world", f"the session of {name} in group {group} ends")
            self.leave(group, name)

        self.kernel.at(member.expires, look)
