"""A member of a Kafka consumer group."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from streamzarr.errors import FencedError, QueueError, TopicReplacedError
from streamzarr.queue.base import Consumer, Notes, Offsets, RebalanceListener, TopicPartition
from streamzarr.queue.columns import Columns
from streamzarr.queue.kafka import committed
from streamzarr.queue.kafka.admin import KafkaAdmin
from streamzarr.queue.kafka.clients import Member as Client
from streamzarr.queue.kafka.commit import Commit, Commits, Errors
from streamzarr.queue.kafka.committed import Stored
from streamzarr.queue.kafka.config import logger
from streamzarr.queue.kafka.errors import FENCED, TRANSIENT, UNSETTLED, code_of, translate
from streamzarr.queue.kafka.fetch import Fetcher
from streamzarr.queue.kafka.handle import Handle
from streamzarr.queue.kafka.identity import Identities
from streamzarr.runtime import Deadline

_SERVE_SECONDS: Final = 0.05
"""How often a consumer that may take no records looks for rebalances."""
_STALL_RECORDS: Final = 100
"""Records that such looking may bring before fetching is stopped: some five seconds of a stall."""
_ANSWER_SECONDS: Final = 0.002
"""How often `commit` looks for its answer, which takes about as long from a server nearby."""
_ANSWER_RECORDS: Final = 10_000
"""Records that may come meanwhile before fetching is stopped."""
_LEAVE_SECONDS: Final = 1.0
"""How long a member that leaves waits for answers, and for its client to close, while the cluster is away."""
_RETRY_SECONDS: Final = 0.05
_UNSETTLED_SECONDS: Final = 3.0
"""How long a commit that crossed a rebalance is tried again: a heartbeat or two tell whose it is."""


class KafkaConsumer(Consumer):
    """A member of a group, by KIP-848 or by the classic protocol. Owned by one thread.

    librdkafka's own threads fetch and send heartbeats. `poll` blocks at most for its timeout and what the
    listener takes; every other call at most ``request_timeout`` seconds.

    Inside ``on_revoked`` a commit cannot wait for its answer; the rebalance does, and `poll` raises what
    went wrong. A partition that is revoked while `commit` waits is reported as lost by the next `poll`.

    While it cannot be found out where to start in a new partition, that is not read, the listener is not told
    of it, and `poll` asks again and raises why: every other one where there are others to read.
    """

    asks = False

    def __init__(
        self,
        admin: KafkaAdmin,
        settings: Mapping[str, Any],
        ids: Mapping[str, str],
        group: str,
        listener: RebalanceListener | None,
    ) -> None:
        self._admin = admin
        self._where = f"{admin.config}: group {group!r}"
        self._group = group
        self._listener = listener or _Nobody()
        self._runtime = admin.config.runtime
        self._timeout = admin.config.request_timeout
        self._commits = Commits()
        self._told: Commit | None = None  # the last one that nobody waits for
        self._closed = False
        self._broken: QueueError | None = None
        self._prefetch_bytes = int(settings["queued.max.messages.kbytes"]) << 10  # bound of what is kept, too
        self._stalled = False  # nothing is fetched because nobody takes what is here
        self._next_serve = 0.0
        # How librdkafka's callbacks reach the listener: at once inside `poll`, else by the next one.
        self._may_tell = False
        self._in_callback = False
        self._untold: list[Callable[[RebalanceListener], None]] = []
        self._gone: set[TopicPartition] = set()  # taken from us, and the listener not yet told
        self._doubtful: set[str] = set()  # topics that may have been deleted
        self._joining: dict[TopicPartition, int] = {}  # where to start, while the listener is told
        self._unplaced: set[TopicPartition] = set()  # ours, not read: where to start is not known yet
        self._others_first = False  # the last poll has asked in vain where to start
        self._notes: dict[TopicPartition, str] = {}  # kept with the positions that partitions came with
        self._client = Client({**settings, "on_commit": self._on_commit}, logger=admin.config.log)
        self._handle = Handle(self._client)
        self._identities = Identities(admin, ids)
        self._fetcher = Fetcher(self._client, admin, len(ids))
        self._client.subscribe(
            list(ids),
            on_assign=self._deferring(self._on_assign),
            on_revoke=self._deferring(self._on_revoke),
            on_lost=self._deferring(self._on_lost),
        )

    # ------------------------------------------------------------ reading

    def poll_columns(  # noqa: D102
        self, max_records: int, timeout: float, max_bytes: int | None = None
    ) -> list[Columns]:
        self._ensure_usable()
        self._tell()
        while self._doubtful:
            self._fetcher.check_topic(self._doubtful.pop())
        if (replaced := self._identities.look()) is not None:
            self._give_up_on(replaced)
        self._may_tell = True
        try:
            if self._fetcher.broken_off:
                self.seek(self.positions())
                self._fetcher.broken_off = False
            if self._unplaced and not (self._others_first and self._fetcher.positions):
                self._place()
            if max_records <= 0:
                self._idle(timeout)
                return []
            if self._fetcher.step(max_records, max_bytes) <= 0:
                self._serve_now_and_then()  # `fetch` will not need the client
            elif self._stalled:
                self._stalled = False
                self._client.resume(_plain(self._fetcher.positions.keys() - self._fetcher.paused))
            self._others_first = False
            return list(self._fetcher.fetch(max_records, timeout, max_bytes))
        finally:
            self._may_tell = False

    def want_packed(self) -> None:  # noqa: D102
        self._fetcher.packed = True

    def _give_up_on(self, replaced: TopicReplacedError) -> None:
        """Commit the beginning of a topic that was made anew, and raise; nothing is committed after that.

        What was committed since it was made anew were positions of the old one: a restart would go on there.
        """
        self._broken = replaced
        ours = [each for each in self._fetcher.positions if each.topic == replaced.topic]
        if ours:
            begin = self._admin.begin(ours)
            self._client.commit(
                offsets=[KafkaPartition(*each, begin[each]) for each in ours], asynchronous=True
            )
        raise replaced

    def positions(self) -> dict[TopicPartition, int]:  # noqa: D102
        return dict(self._fetcher.positions)

    def assignment(self) -> frozenset[TopicPartition]:  # noqa: D102
        return frozenset(self._fetcher.positions)

    def notes(self) -> dict[TopicPartition, str]:  # noqa: D102
        return {each: note for each in self._fetcher.positions if (note := self._notes.get(each))}

    def _idle(self, timeout: float) -> None:
        """Run callbacks without handing out records.

        Without our extension there is one queue for both, so looking for callbacks may bring a record, which
        is kept for the next `poll`. It is cheaper to keep some than to pause: pausing throws away what was
        prefetched and costs up to a second on resume.
        """
        deadline = Deadline(self._runtime, timeout)
        while True:
            self._stall_above(_STALL_RECORDS)
            if self._stalled or not self._fetcher.backlog.records:
                self._fetcher.serve(deadline.left)
            else:
                self._serve_now_and_then()
            left = deadline.left
            if left <= 0:
                return
            if self._fetcher.backlog.records and not self._stalled:
                self._runtime.event().wait(min(left, max(0.0, self._next_serve - self._runtime.now())))

    def _serve_now_and_then(self) -> None:
        if self._runtime.now() >= self._next_serve:
            self._fetcher.serve(0.0)
            self._next_serve = self._runtime.now() + _SERVE_SECONDS

    def _stall_above(self, records: int) -> None:
        backlog = self._fetcher.backlog
        if not self._stalled and (backlog.records >= records or backlog.nbytes >= self._prefetch_bytes):
            self._stalled = True
            self._client.pause(_plain(self._here(self._fetcher.positions)))

    def pause(self, partitions: Sequence[TopicPartition]) -> None:  # noqa: D102
        self._ensure_usable()
        self._check_assigned(partitions)
        fresh = set(partitions) - self._fetcher.paused  # librdkafka miscounts what is paused twice
        self._fetcher.paused |= fresh
        if not self._stalled:
            self._client.pause(_plain(self._here(fresh)))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:  # noqa: D102
        self._ensure_usable()
        paused = self._fetcher.paused.intersection(partitions)
        self._fetcher.paused -= paused
        if not self._stalled:
            self._client.resume(_plain(self._here(paused.intersection(self._fetcher.positions))))

    def seek(self, offsets: Offsets) -> None:  # noqa: D102
        self._ensure_usable()
        self._check_assigned(offsets)
        for partition, position in offsets.items():
            if partition in self._joining:
                self._joining[partition] = position
            if partition in self._joining or partition in self._gone:
                self._fetcher.begin(partition, position)
            else:
                self._fetcher.seek(partition, position, partial(self._seek, partition, position))

    def _seek(self, partition: TopicPartition, position: int) -> None:
        target = KafkaPartition(*partition, position)
        try:
            self._client.seek(target)
        except KafkaException as error:
            if code_of(error) != KafkaError._STATE:
                name = f"{partition.topic}[{partition.partition}]"
                raise translate(error, f"{self._where}: cannot seek {name}") from error
            # Nothing is being fetched: the position was out of range, or the partition is new. Start it anew.
            self._client.incremental_unassign([target])
            self._client.incremental_assign([target])
            if partition in self._fetcher.paused or self._stalled:
                self._client.pause([target])

    def _here(self, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """Those that librdkafka has too."""
        return set(partitions) - self._gone - self._joining.keys()

    # ------------------------------------------------------------ committing

    def commit(self, offsets: Offsets, notes: Notes | None = None) -> None:  # noqa: D102
        self._ensure_usable()
        notes = notes or {}
        # Kafka checks that the member is in the group, but not that it owns the partition.
        owned = self._fetcher.positions.keys() - self._gone
        own = {partition: offset for partition, offset in offsets.items() if partition in owned}
        fenced = [partition for partition in offsets if partition not in own]
        if own and self._in_callback:
            self._commits.send(self._client, own, notes, awaited=False)
        elif own:
            fenced += self._commit(own, notes)
        if fenced:
            names = ", ".join(f"{topic}[{number}]" for topic, number in fenced)
            raise FencedError(
                f"{self._where}: {names} no longer belong to this consumer, nothing was committed for them"
            )

    def tell(self, offsets: Offsets) -> bool:  # noqa: D102
        self._ensure_usable()
        if self._told is not None and self._told.errors is None:
            return False  # while the coordinator is away, they shall not pile up
        owned = self._fetcher.positions.keys() - self._gone
        own = {partition: offset for partition, offset in offsets.items() if partition in owned}
        if own:
            self._told = self._commits.send(self._client, own, {}, awaited=True)
        return True

    def _commit(self, positions: dict[TopicPartition, int], notes: Notes) -> list[TopicPartition]:
        """Store `positions`; return the partitions for which this member is fenced."""
        deadline = Deadline(self._runtime, self._timeout)
        unsettled = Deadline(self._runtime, _UNSETTLED_SECONDS)
        fenced: list[TopicPartition] = []
        while True:
            again = {}
            for partition, error in self._commit_once(positions, notes, deadline).items():
                code = error.code()
                if partition in self._gone or (code in FENCED and code not in UNSETTLED):
                    fenced.append(partition)
                elif (code in UNSETTLED and not unsettled.passed) or (
                    code in TRANSIENT and not deadline.passed
                ):
                    again[partition] = positions[partition]
                elif code in FENCED:
                    fenced.append(partition)
                elif code == KafkaError.OFFSET_METADATA_TOO_LARGE and notes:
                    again = dict(positions)  # the cluster allows less than others; positions are what counts
                    notes = {}
                    break
                else:
                    name = f"{partition.topic}[{partition.partition}]"
                    raise translate(error, f"{self._where}: cannot commit {name}")
            if not again:
                return fenced
            positions = again
            self._runtime.event().wait(_RETRY_SECONDS)

    def _commit_once(
        self, positions: Mapping[TopicPartition, int], notes: Notes, deadline: Deadline
    ) -> Errors:
        commit = self._commits.send(self._client, positions, notes, awaited=True)
        expected = {each: Stored(position, notes.get(each, "")) for each, position in positions.items()}
        try:
            if commit.errors is None and self._is_stored(expected, deadline):
                self._admin.config.contact.reached()
                return {}
            while commit.errors is None:
                if deadline.passed:
                    raise QueueError(
                        f"{self._where}: the commit was not confirmed within {self._timeout:g} s, "
                        "nothing is known to be stored"
                    )
                self._stall_above(_ANSWER_RECORDS)
                self._fetcher.serve(_ANSWER_SECONDS)
        finally:
            self._commits.forget(commit)
        return commit.errors

    def _is_stored(self, expected: Mapping[TopicPartition, Stored], deadline: Deadline) -> bool:
        """Ask for what was just sent; the coordinator answers in turn.

        To wait for the answer itself means to serve librdkafka's queue, where a rebalance may come first.
        """
        try:
            stored = committed.ask(self._client, expected, max(0.001, deadline.left))
        except KafkaException:
            return False  # the answer to the commit, or that there is none, will say why
        return stored == expected

    def _on_commit(self, error: KafkaError | None, partitions: list[Any]) -> None:
        commit = self._commits.answer(error, partitions)
        if commit is None or commit.awaited or not commit.errors:
            return
        for (topic, number), reason in commit.errors.items():  # of a commit inside `on_revoked`
            failure = translate(reason, f"{self._where}: cannot commit {topic}[{number}]")
            if reason.code() in FENCED:
                logger.warning("%s", failure)  # its new owner reads again what we have done
            else:
                self._fetcher.fail(failure)

    # ------------------------------------------------------------ membership

    def close(self) -> None:  # noqa: D102
        if self._closed:
            return
        try:
            if self._handle.is_here:
                self._may_tell = True
                with contextlib.ExitStack() as stack:
                    stack.callback(self._leave)
                    self._tell()
        finally:
            self._closed = True
            self._fetcher.remove(list(self._fetcher.positions))

    def _leave(self) -> None:
        """Leave the group; a cluster that is away is not waited for, and hears of it when it is back.

        librdkafka does not close a client before each of its commits has an answer, or a minute has passed.
        """
        deadline = Deadline(self._runtime, _LEAVE_SECONDS)
        while self._commits.unanswered and not deadline.passed:
            with contextlib.suppress(QueueError):
                self._fetcher.serve(_ANSWER_SECONDS)
        if not (self._commits.unanswered or self._admin.config.contact.away):
            self._client.close()
            return
        self._revoke_all()
        leaving = self._runtime.thread(self._close_client, "streamzarr-leave")
        leaving.start()
        leaving.join(_LEAVE_SECONDS)

    def _revoke_all(self) -> None:
        """Have the listener give up everything on this thread, and hear of nothing any more."""
        listener, self._listener = self._listener, _Nobody()
        partitions = list(self._fetcher.positions)
        self._in_callback = True  # the answer to a commit is not waited for
        try:
            if partitions:
                listener.on_revoked(partitions)
        finally:
            self._in_callback = False
            self._fetcher.remove(partitions)

    def _close_client(self) -> None:
        with contextlib.suppress(KafkaException, RuntimeError):
            self._client.close()

    def _on_assign(self, partitions: list[TopicPartition]) -> None:
        if self._client.leaving:  # no question of it is answered any more
            return
        try:
            stored, begin = self._ask_where(partitions)
        except BaseException:
            # Without positions nothing may be read, least of all from the beginning. The group has its answer
            # all the same, and the next poll asks again.
            self._fetcher.remove(partitions)
            self._unplaced.update(partitions)
            self._client.incremental_assign([])
            raise
        self._begin(partitions, stored, begin)

    def _place(self) -> None:
        """Ask once more where to start, and read what is still ours."""
        self._fetcher.serve(0.0)  # it may be somebody else's by now
        partitions = sorted(self._unplaced)
        if partitions:
            self._others_first = True  # in turn: one without a leader shall not keep them from being read
            stored, begin = self._ask_where(partitions)
            self._others_first = False
            self._unplaced.clear()
            self._begin(partitions, stored, begin)

    def _ask_where(
        self, partitions: Sequence[TopicPartition]
    ) -> tuple[Mapping[TopicPartition, Stored], Mapping[TopicPartition, int]]:
        """Return what the group has committed, and of the other partitions where they begin."""
        stored = self._admin.stored(self._group, partitions, member=self._client)
        return stored, self._admin.begin(each for each in partitions if each not in stored)

    def _begin(
        self,
        partitions: Sequence[TopicPartition],
        stored: Mapping[TopicPartition, Stored],
        begin: Mapping[TopicPartition, int],
    ) -> None:
        known = {each: found.position for each, found in stored.items()}
        self._gone.difference_update(partitions)
        self._notes.update({each: stored[each].note if each in stored else "" for each in partitions})
        self._fetcher.add({**begin, **known})
        # Not `begin`: what is trimmed before the first fetch would put that out of range.
        self._joining = {partition: known.get(partition, OFFSET_BEGINNING) for partition in partitions}
        try:
            self._tell_or_defer(lambda listener: listener.on_assigned(partitions))
        finally:
            start, self._joining = self._joining, {}
            self._client.incremental_assign([KafkaPartition(*each, start[each]) for each in partitions])
            # librdkafka remembers a pause from the last time that the partition was ours; so do we.
            paused = set(partitions) if self._stalled else self._fetcher.paused.intersection(partitions)
            self._client.resume(_plain(set(partitions) - paused))
            self._client.pause(_plain(paused))

    def _on_revoke(self, partitions: list[TopicPartition]) -> None:
        if not self._may_tell:  # inside `commit` there is no way to let the listener finish its work
            self._on_lost(partitions)
            return
        told = [each for each in partitions if each in self._fetcher.positions]
        try:
            if told:
                self._tell_or_defer(lambda listener: listener.on_revoked(told))
        finally:
            self._fetcher.remove(self._give_back(partitions))
        # A KIP-848 member learns in no other way that a topic was deleted.
        self._doubtful = {topic for topic, _ in partitions} - {topic for topic, _ in self._fetcher.positions}

    def _on_lost(self, partitions: list[TopicPartition]) -> None:
        lost = self._give_back(partitions)
        if not lost:
            return
        self._fetcher.drop(lost)
        self._gone.update(lost)

        def tell(listener: RebalanceListener) -> None:
            gone = self._gone.intersection(lost)  # the others have come back in between
            self._fetcher.remove(gone)
            self._gone -= gone
            listener.on_lost(lost)

        self._tell_or_defer(tell)

    def _give_back(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Have the client read these no longer; return those that it did read, and the listener knows."""
        read = [each for each in partitions if each not in self._unplaced]
        self._unplaced.difference_update(partitions)
        self._client.incremental_unassign(_plain(read))
        return read

    def _tell_or_defer(self, tell: Callable[[RebalanceListener], None]) -> None:
        if self._may_tell:
            tell(self._listener)
        else:
            self._untold.append(tell)

    def _tell(self) -> None:
        while self._untold:
            self._untold.pop(0)(self._listener)

    def _deferring(self, handler: Callable[[list[TopicPartition]], None]) -> Callable[[Any, Any], None]:
        """Raise what `handler` raises only when librdkafka has returned: it would lose what it fetched."""

        def callback(_: Any, partitions: list[KafkaPartition]) -> None:
            self._in_callback = True
            try:
                if partitions:  # a member that gets none is told so, too
                    handler([TopicPartition(each.topic, each.partition) for each in partitions])
            except BaseException as error:  # noqa: BLE001 - raised by the fetcher
                self._fetcher.fail(error)
            finally:
                self._in_callback = False

        return callback

    def _ensure_usable(self) -> None:
        if self._closed:
            raise QueueError(f"{self._where}: the consumer is closed")
        self._handle.check(self._where, "consumer")
        if (broken := self._broken or self._fetcher.fatal) is not None:
            raise broken

    def _check_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        for topic, number in partitions:
            if (topic, number) not in self._fetcher.positions:
                raise QueueError(f"{self._where}: {topic}[{number}] is not assigned to this consumer")


class _Nobody:
    """A listener that does not listen."""

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        pass

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        pass

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        pass


def _plain(partitions: Iterable[TopicPartition]) -> list[KafkaPartition]:
    return [KafkaPartition(*partition) for partition in partitions]
