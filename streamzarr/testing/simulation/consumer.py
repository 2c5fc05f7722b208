"""Reading from a simulated broker: on one's own, or as a member of a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamzarr.errors import FencedError, OffsetOutOfRangeError, QueueError, TopicNotFoundError
from streamzarr.queue.base import Consumer, Notes, Offsets, Reader, RebalanceListener, TopicPartition
from streamzarr.queue.columns import Columns, Portion, columns_of
from streamzarr.testing.simulation.cluster import Cluster


class _Positions:
    """Where reading goes on in each partition, and fetching from there, each partition in turn."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._turn = 0
        self.next: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()

    def fetch(self, max_records: int, max_bytes: int | None) -> list[Columns]:
        """Return what fits; an error only when there is nothing, so that nothing read is lost."""
        live = sorted(each for each in self.next if each not in self.paused)
        self._turn += 1
        shift = self._turn % max(1, len(live))
        portion = Portion(max_records, max_bytes)
        for partition in live[shift:] + live[:shift]:
            if portion.full:
                break
            try:
                records, position = self._cluster.topics.read(partition, self.next[partition], max_records)
            except (OffsetOutOfRangeError, TopicNotFoundError):
                if portion.runs:
                    break  # it comes again, and first
                raise
            run = next(columns_of(records), None)
            rest = None if run is None else portion.take(run)
            self.next[partition] = position if rest is None else rest.first
        return list(portion.runs)


class SimulatedReader(Reader):
    """Reads all partitions of a topic."""

    def __init__(self, cluster: Cluster, topic: str, start: Mapping[int, int]) -> None:
        self._cluster = cluster
        self._positions = _Positions(cluster)
        self._bell = cluster.bell()
        info = cluster.call("open", topic, lambda: cluster.topics.info(topic), loud=False)
        if unknown := sorted(start.keys() - info.end.keys()):
            raise QueueError(
                f"{cluster.url}: topic {topic!r} has {info.partitions} partitions, got {unknown}"
            )
        self._positions.next = {
            TopicPartition(topic, number): start.get(number, info.begin[number]) for number in info.end
        }

    def poll_columns(self, max_records: int, timeout: float, max_bytes: int | None = None) -> list[Columns]:
        """Return records, waiting for the first one."""
        deadline = self._cluster.kernel.time + timeout
        while True:
            runs = self._cluster.call(
                "fetch", "", lambda: self._positions.fetch(max_records, max_bytes), loud=False
            )
            left = deadline - self._cluster.kernel.time
            if runs or left <= 0:
                return runs
            self._bell.wait(left)

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offsets to read."""
        return dict(self._positions.next)

    def close(self) -> None:
        """Release the bell. Idempotent."""
        self._cluster.unhang(self._bell)


class SimulatedConsumer(Consumer):
    """A member of a group; it is thrown out when it does not poll for its session timeout."""

    def __init__(
        self,
        cluster: Cluster,
        topics: Sequence[str],
        group: str,
        listener: RebalanceListener | None,
        session_timeout: float,
    ) -> None:
        self._cluster, self._topics, self._group_name = cluster, tuple(dict.fromkeys(topics)), group
        self._listener, self._session_timeout = listener, session_timeout
        self._positions = _Positions(cluster)
        self._bell = cluster.bell()
        self._generation = -1
        self._lives = 0
        self._closed = False
        self._owner = f"{cluster.kernel.current.process.name}:{cluster.serial()}"
        cluster.call("join", group, self._join)

    def poll_columns(self, max_records: int, timeout: float, max_bytes: int | None = None) -> list[Columns]:
        """Give a sign of life, follow the group, return records."""
        self._check_open()
        kernel = self._cluster.kernel
        deadline = kernel.time + timeout
        while True:
            self._follow_group()
            runs = self._cluster.call("poll", "", lambda: self._fetch(max_records, max_bytes), loud=False)
            left = deadline - kernel.time
            if runs or left <= 0:
                return runs
            self._bell.wait(left)

    def _fetch(self, max_records: int, max_bytes: int | None) -> list[Columns]:
        group = self._cluster.group(self._group_name)
        member = group.members.get(self._name)
        if member is None:
            return []
        member.expires = self._cluster.kernel.time + self._session_timeout
        if any(group.owner.get(each) != self._name for each in self._positions.next):
            return []
        return self._positions.fetch(max_records, max_bytes)

    # -- the group ---------------------------------------------------------------------------------------

    def _join(self) -> None:
        self._lives += 1
        self._name = f"{self._owner}.{self._lives}"
        self._generation = -1
        self._cluster.join(self._group_name, self._name, self._topics, self._session_timeout)

    def _follow_group(self) -> None:
        """Move towards what the group wants: note losses, give up, take."""
        group = self._cluster.group(self._group_name)
        if group.generation == self._generation:
            return
        owned = group.owned(self._name)
        lost = sorted(each for each in self._positions.next if each not in owned)
        if lost:
            self._forget(lost)
            self._tell("lost", lost)
        if self._name not in group.members:
            self._cluster.call("join", self._group_name, self._join)
        member = group.members.get(self._name)
        if member is None:  # thrown out again, before the answer came
            return
        member.expires = self._cluster.kernel.time + self._session_timeout
        if unwanted := group.unwanted(self._name):
            if told := [each for each in unwanted if each in self._positions.next]:
                self._tell("revoked", told)
                self._forget(told)
            self._cluster.call("release", _names(unwanted), lambda: group.release(self._name, unwanted))
            self._cluster.ring()
        self._take()

    def _take(self) -> None:
        group = self._cluster.group(self._group_name)

        def claim() -> int:
            group.claim(self._name)
            return group.generation

        generation = self._cluster.call("claim", "", claim, loud=False)
        # Also what an earlier claim has got whose answer was lost.
        taken = [each for each in group.owned(self._name) if each not in self._positions.next]
        for partition in taken:
            begin = self._cluster.topics.partitions(partition.topic)[partition.partition].begin
            self._positions.next[partition] = group.committed.get(partition, begin)
        if taken:
            self._tell("assigned", taken)
        self._generation = generation

    def _tell(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        kernel = self._cluster.kernel
        kernel.trace.add(kernel.time, str(kernel.current), f"{what}: {_names(partitions)}")
        if self._listener is not None:
            getattr(self._listener, f"on_{what}")(partitions)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._positions.next.pop(partition, None)

    # -- the rest ----------------------------------------------------------------------------------------

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offsets to read."""
        return dict(self._positions.next)

    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions that are ours, as far as we know."""
        return frozenset(self._positions.next)

    def notes(self) -> dict[TopicPartition, str]:
        """Return what is kept with the positions of our partitions."""
        notes = self._cluster.group(self._group_name).notes
        return {each: notes[each] for each in self._positions.next if each in notes}

    def commit(self, offsets: Offsets, notes: Notes | None = None) -> None:
        """Store positions; refuses those of partitions that are not ours."""
        self._check_open()
        detail = ", ".join(f"{each.topic}[{each.partition}]={offsets[each]}" for each in sorted(offsets))
        refused = self._cluster.call(
            "commit",
            detail,
            lambda: self._cluster.commit(self._group_name, self._name, offsets, notes or {}),
        )
        if refused:
            raise FencedError(
                f"{self._cluster.url}: group {self._group_name!r}: {_names(refused)} no longer belong to "
                "this consumer, nothing was committed for them"
            )

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch nothing from `partitions`."""
        self._check_assigned(partitions)
        self._positions.paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Undo :meth:`pause`."""
        self._positions.paused.difference_update(partitions)

    def seek(self, offsets: Offsets) -> None:
        """Read from other positions next."""
        self._check_assigned(offsets)
        self._positions.next.update(offsets)

    def close(self) -> None:
        """Leave the group. Idempotent."""
        if self._closed:
            return
        owned = self._cluster.group(self._group_name).owned(self._name)
        lost = sorted(each for each in self._positions.next if each not in owned)
        revoked = sorted(each for each in self._positions.next if each in owned)
        try:
            for what, partitions in (("lost", lost), ("revoked", revoked)):
                if partitions:
                    self._tell(what, partitions)
        finally:
            self._closed = True
            self._cluster.unhang(self._bell)
            self._positions.next.clear()
            self._cluster.call(
                "leave", self._group_name, lambda: self._cluster.leave(self._group_name, self._name)
            )

    def _check_open(self) -> None:
        if self._closed:
            raise QueueError(f"{self._cluster.url}: the consumer is closed")

    def _check_assigned(self, partitions: Sequence[TopicPartition] | Offsets) -> None:
        if unknown := [each for each in partitions if each not in self._positions.next]:
            raise QueueError(f"{self._cluster.url}: {_names(unknown)} are not assigned to this consumer")


def _names(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(f"{topic}[{number}]" for topic, number in partitions)
