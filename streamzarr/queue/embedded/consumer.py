"""Reading records: on one's own, or as a member of a group."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

from streamzarr.errors import FencedError, QueueError, TopicNotFoundError
from streamzarr.queue.base import Consumer, Notes, Offsets, Reader, RebalanceListener, TopicPartition
from streamzarr.queue.columns import Columns
from streamzarr.queue.embedded import group, log, presence
from streamzarr.queue.embedded.database import Database
from streamzarr.queue.embedded.fetch import Fetcher
from streamzarr.runtime import Deadline


class EmbeddedReader(Reader):
    """Reads all partitions of a topic. Owned by one thread; `poll` waits in the kernel, not in a loop."""

    def __init__(self, where: str, database: Database, topic: str, start: Mapping[int, int]) -> None:
        self._fetcher = Fetcher(where, database)
        self._database = database
        self._runtime = database.runtime
        self._process = _Process(where, "reader")
        self._bell: presence.Doorbell | None = None
        self._version: tuple[int, int] | None = None
        with database.read() as db:
            partitions = log.partitions_of(db, topic)
        if not partitions:
            raise TopicNotFoundError(f"{where}: no topic {topic!r}")
        if unknown := sorted(start.keys() - partitions.keys()):
            raise QueueError(
                f"{where}: topic {topic!r} has {len(partitions)} partitions, got start for {unknown}"
            )
        self._fetcher.add(
            {
                TopicPartition(topic, number): (state.id, start.get(number, state.first))
                for number, state in partitions.items()
            }
        )

    def poll_columns(  # noqa: D102
        self, max_records: int, timeout: float, max_bytes: int | None = None
    ) -> list[Columns]:
        self._process.check()
        deadline = Deadline(self._runtime, timeout)
        while True:
            version = self._database.version()
            if version != self._version:
                self._fetcher.refresh()
                self._version = version
            runs = self._fetcher.fetch(max_records, max_bytes)
            left = deadline.left
            if runs or left <= 0:
                return list(runs)
            if self._bell is None:
                self._bell = presence.Doorbell(self._database.live, self._runtime.random_bytes(16).hex())
                continue  # what came before the bell hung there did not ring it
            self._bell.wait(min(left, presence.RECHECK))

    def positions(self) -> dict[TopicPartition, int]:  # noqa: D102
        return self._fetcher.positions()

    def close(self) -> None:  # noqa: D102
        if self._bell is not None:
            self._bell.close()
        self._database.close()


class EmbeddedConsumer(Consumer):
    """A member of a group. Owned by one thread.

    A second thread only keeps the heartbeat file young. `poll` waits in the kernel for a bell; every
    `presence.RECHECK` seconds it looks whether another member has died. The listener is called outside of
    transactions.
    """

    def __init__(
        self,
        where: str,
        database: Database,
        topics: Sequence[str],
        group_name: str,
        listener: RebalanceListener | None,
        session_timeout: float,
        max_poll_interval: float,
    ) -> None:
        self._where = where
        self._database = database
        self._runtime = database.runtime
        self._topics = tuple(dict.fromkeys(topics))
        self._group_name = group_name
        self._listener = listener
        self._session_timeout = session_timeout
        self._max_poll_interval = max_poll_interval
        self._process = _Process(where, "consumer")
        self._fetcher = Fetcher(where, database)
        self._version: tuple[int, int] | None = None
        self._next_check = 0.0
        self._closed = False
        self._join()

    def poll_columns(  # noqa: D102
        self, max_records: int, timeout: float, max_bytes: int | None = None
    ) -> list[Columns]:
        self._ensure_usable()
        deadline = Deadline(self._runtime, timeout)
        while True:
            self._heartbeat.polled = self._runtime.now()
            self._follow_group()
            runs = self._fetcher.fetch(max_records, max_bytes)
            left = deadline.left
            if runs or left <= 0:
                return list(runs)
            self._bell.wait(min(left, presence.RECHECK))

    def positions(self) -> dict[TopicPartition, int]:  # noqa: D102
        return self._fetcher.positions()

    def assignment(self) -> frozenset[TopicPartition]:  # noqa: D102
        return frozenset(self._fetcher.positions())

    def commit(self, offsets: Offsets, notes: Notes | None = None) -> None:  # noqa: D102
        self._ensure_usable()
        ids = self._fetcher.ids()
        fenced = [partition for partition in offsets if partition not in ids]
        by_id = {ids[partition]: offset for partition, offset in offsets.items() if partition in ids}
        notes_by_id = {ids[partition]: note for partition, note in (notes or {}).items() if partition in ids}
        if by_id:
            with self._database.write() as db:
                refused = group.commit(db, self._group, self._member, by_id, notes_by_id)
            fenced += [partition for partition in offsets if ids.get(partition) in refused]
        if fenced:
            names = ", ".join(f"{topic}[{number}]" for topic, number in fenced)
            raise FencedError(
                f"{self._where}: group {self._group_name!r}: {names} no longer belong to this consumer, "
                "nothing was committed for them"
            )

    def notes(self) -> dict[TopicPartition, str]:  # noqa: D102
        ids = {id_: partition for partition, id_ in self._fetcher.ids().items()}
        with self._database.read() as db:
            return {ids[id_]: note for id_, note in group.notes(db, self._group, ids).items()}

    def pause(self, partitions: Sequence[TopicPartition]) -> None:  # noqa: D102
        self._check_assigned(partitions)
        self._fetcher.paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:  # noqa: D102
        self._fetcher.paused.difference_update(partitions)

    def seek(self, offsets: Offsets) -> None:  # noqa: D102
        self._check_assigned(offsets)
        for partition, position in offsets.items():
            self._fetcher.seek(partition, position)

    def close(self) -> None:  # noqa: D102
        if self._closed or not self._process.is_this():  # in a forked child all of it is the parent's
            return
        with contextlib.ExitStack() as stack:  # backwards, each even if an earlier one raises
            stack.callback(setattr, self, "_closed", True)  # last: the listener may still commit
            stack.callback(self._database.close)
            stack.callback(self._bell.close)
            stack.callback(self._heartbeat.close)
            stack.callback(self._leave)
            self._tell_of_leaving()

    def _ensure_usable(self) -> None:
        if self._closed:
            raise QueueError(f"{self._where}: the consumer is closed")
        self._process.check()

    def _check_assigned(self, partitions: Sequence[TopicPartition] | Offsets) -> None:
        owned = self._fetcher.ids()
        for topic, number in partitions:
            if (topic, number) not in owned:
                raise QueueError(f"{self._where}: {topic}[{number}] is not assigned to this consumer")

    # ------------------------------------------------------------ membership

    def _join(self) -> None:
        live = self._database.live
        self._member = self._runtime.random_bytes(16).hex()
        with contextlib.ExitStack() as undo:
            self._bell = presence.Doorbell(live, self._member)  # first: `presence.ring` collects beats by it
            undo.callback(self._bell.close)
            self._heartbeat = presence.Heartbeat(
                live, self._member, self._session_timeout, self._max_poll_interval, self._runtime
            )
            undo.callback(self._heartbeat.close)
            self._check_topics()
            with self._database.write() as db:
                self._group = group.join(
                    db, self._group_name, self._member, self._topics, self._session_timeout
                )
            undo.pop_all()
        self._generation = -1
        self._bury_dead_members()

    def _leave(self) -> None:
        with self._database.write() as db:
            group.remove(db, self._group, [self._member])
        presence.ring(self._database.live)

    def _tell_of_leaving(self) -> None:
        with self._database.read() as db:
            owned = set(group.view(db, self._group, self._member).owned.values())
        ids = self._fetcher.ids()
        lost = [partition for partition, id_ in ids.items() if id_ not in owned]
        revoked = [partition for partition, id_ in ids.items() if id_ in owned]
        if self._listener is not None and lost:
            self._listener.on_lost(lost)
        if self._listener is not None and revoked:
            self._listener.on_revoked(revoked)

    def _follow_group(self) -> None:
        """Take notice of deaths, of a new plan, and of new records."""
        if self._runtime.now() >= self._next_check:
            self._bury_dead_members()
        version = self._database.version()
        if version == self._version:
            return
        with self._database.read() as db:
            generation = group.generation(db, self._group)
        if generation != self._generation:
            self._rebalance()
            self._generation = generation
        self._fetcher.refresh()
        self._version = version  # last: an exception above means looking again

    def _bury_dead_members(self) -> None:
        live = self._database.live
        with self._database.read() as db:
            dead = set(group.dead_members(db, self._group, live, self._runtime.now()))
        dead.discard(self._member)  # whoever polls is alive, even if it could not say so lately
        if dead:
            with self._database.write() as db:
                group.remove(db, self._group, dead)
            for member in dead:
                presence.collect(live, member)
            presence.ring(live)
            self._version = None  # our own change does not show in the database's version
        self._next_check = self._runtime.now() + presence.RECHECK

    def _rebalance(self) -> None:
        """Move towards what the group wants: note losses, give up, take."""
        with self._database.read() as db:
            view = group.view(db, self._group, self._member)
        ids = self._fetcher.ids()
        lost = [partition for partition, id_ in ids.items() if view.owned.get(partition) != id_]
        if lost:
            self._fetcher.remove(lost)
            if self._listener is not None:
                self._listener.on_lost(lost)
        if not view.member:
            self._heartbeat.close()
            self._bell.close()
            self._join()
            return self._rebalance()
        self._check_topics()

        unwanted = [partition for partition in self._fetcher.ids() if partition not in view.wanted]
        if unwanted:
            if self._listener is not None:
                self._listener.on_revoked(unwanted)
            with self._database.write() as db:
                group.release(db, self._group, self._member, [ids[partition] for partition in unwanted])
            self._fetcher.remove(unwanted)
            presence.ring(self._database.live)

        if view.free.items() - self._fetcher.ids().items():
            with self._database.write() as db:
                taken = group.claim(db, self._group, self._member, self._fetcher.ids().values())
            self._fetcher.add(taken)
            if self._listener is not None and taken:
                self._listener.on_assigned(list(taken))
        return None

    def _check_topics(self) -> None:
        with self._database.read() as db:
            missing = set(self._topics).difference(log.topic_names(db))
        if missing:
            raise TopicNotFoundError(f"{self._where}: no topic {', '.join(map(repr, sorted(missing)))}")


class _Process:
    """Refuses use in a forked child: descriptors, membership and heartbeat are the parent's."""

    def __init__(self, where: str, what: str) -> None:
        self._where, self._what = where, what
        self._pid = os.getpid()

    def is_this(self) -> bool:
        return self._pid == os.getpid()

    def check(self) -> None:
        if not self.is_this():
            raise QueueError(
                f"{self._where}: this {self._what} belongs to process {self._pid}, not to {os.getpid()}"
            )
