"""The partitions that are ours: where each begins, what its stream takes, and when that is committed."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from streamzarr.errors import FencedError, QueueError, StoreError, StreamGoneError
from streamzarr.feeds.asked import Asked
from streamzarr.feeds.config import Feed
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.rows import Pieces, Rows, Undecoded
from streamzarr.feeds.takeover import Partition, take_over
from streamzarr.flow import Message, Pause
from streamzarr.flow.ops.settle import DONE, Again, Report
from streamzarr.queue import Broker, Consumer, TopicPartition
from streamzarr.queue.outage import Contact
from streamzarr.queue.retry import is_transient
from streamzarr.stores import Store

_log = logging.getLogger(__name__)

TELL_EVERY: Final = 5.0
"""Seconds between two commits to the group: they are a gauge for others, nothing begins there."""
FENCED_AGAIN: Final = 0.1
"""Seconds until a fenced partition's messages are looked at again; by then the group may have spoken."""
TAKE_BACK_SESSIONS: Final = 1
"""Sessions after which a fenced partition that the group still counts as ours is taken back."""
FENCED_SESSIONS: Final = 3
"""Sessions after which one that was taken over again has another owner for good."""


@dataclass(slots=True)
class Tally:
    """What a worker has done since it began."""

    records: int = 0
    rows: int = 0
    bad: int = 0
    appended: int = 0
    """Bytes of rows."""
    put: int = 0
    """Bytes of chunks of partitions that are not ours any more."""
    commits: int = 0
    committed_at: float = 0.0


class FeedCommitter:
    """A :class:`streamzarr.flow.sources.committer.Committer`, and the sink of the same chain.

    Positions are in the commit records of the streams: rows and position become visible in one step, reading
    begins at what is committed, and whoever wrote before is fenced. Owned by the chain's thread; blocks on
    the store and on the broker.

    A partition whose stream somebody has taken over is given up at once: its messages wait, nothing of them
    becomes visible, and the group says whose it is. If it says nothing for a session, that was a member that
    the group had given the partition before, and that was slow on its way to it: the partition is taken back.
    Once: if it is taken over again, somebody outside of the group does, and after a few sessions the chain
    breaks, and whoever starts anew takes it back. Where the stream was removed, nobody is waited for: the
    chain breaks at its next turn.

    Kafka may have such members by the protocol of KIP-848: one that is on its way to partitions tells a
    coordinator that was away that it has none yet (librdkafka 2.16.0), so that others get some of them.

    `beat` says that we are alive, where that may be long in doubt.
    """

    def __init__(
        self,
        feed: Feed,
        broker: Broker,
        store: Store,
        letters: Letters,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.every = feed.target.commit.seconds
        self._feed, self._broker, self._store, self._letters = feed, broker, store, letters
        self._runtime, self._beat = broker.runtime, beat
        self.contact = Contact(feed.url, broker.runtime)
        """Says how it stands with the target."""
        self._owned: dict[TopicPartition, Partition] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._fenced: dict[TopicPartition, tuple[float, FencedError]] = {}
        self._removed: StreamGoneError | None = None
        self._taken_back: dict[TopicPartition, float] = {}
        # Where a run was handed back, and why: one behind it would move the position past it.
        self._pauses: dict[TopicPartition, tuple[int, Pause]] = {}
        self._consumer: Consumer | None = None
        self._untold: dict[TopicPartition, int] = {}  # positions that the group has not heard of
        self._tell_at = 0.0
        self.tally = Tally(committed_at=self._runtime.now())
        """What was done so far."""

    @property
    def owned(self) -> Mapping[TopicPartition, Partition]:
        """The partitions that are ours, as far as we know."""
        return self._owned

    @property
    def dead_topics(self) -> frozenset[str]:
        """Where bad records go."""
        return frozenset(map(self._feed.dead_topic, self._feed.source.topics))

    @property
    def committed(self) -> Mapping[TopicPartition, int]:
        """Behind which offsets of the partitions that are ours nothing is committed."""
        return self._committed

    # -- the committer -----------------------------------------------------------------------------------

    def joined(self, consumer: Consumer) -> None:
        """Hear whose group is to be told of positions, and who gives the records that are decoded by runs."""
        self._consumer = consumer
        consumer.want_packed()

    def start(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Take over the streams of `partitions`; return where each goes on.

        Raises
        ------
        streamzarr.errors.SourceChangedError
            The rows that are there come from another topic or cluster.
        streamzarr.errors.OffsetOutOfRangeError
            Records that come next are gone, or the topic ends before them.
        streamzarr.errors.ConfigError, streamzarr.errors.UnsupportedError
            The stream has other fields; the store cannot hold streams.
        """
        asked = Asked(self._broker)
        for partition in partitions:
            self._beat()  # of a thousand partitions it may take minutes
            self._forget(partition)
            try:
                self._owned[partition] = take_over(
                    self._feed, self._broker, self._store, self._letters, partition, asked
                )
            except FencedError as error:  # somebody else took it over at the same moment
                self._fence(partition, error)
            except (StoreError, OSError) as error:
                self._not_stored(partition, error)
                raise
            else:
                self.contact.reached(partition)
        starts = {each: self._owned[each].position for each in partitions if each in self._owned}
        self._committed.update(starts)
        return starts

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit the streams of these partitions; raises as ``StreamWriter.commit``, but for fenced ones."""
        failure: Exception | None = None
        for partition, position in positions.items():
            owned = self._owned.get(partition)
            if owned is None:
                continue  # fenced: what it has is not ours to commit
            try:
                owned.commit(position)
                self._is_committed(partition, position)
            except FencedError as error:
                self._fence(partition, error)
            except (StoreError, OSError) as error:  # the others shall not wait for it
                failure = failure or error
                self._not_stored(partition, error)
        if failure is not None:
            raise failure
        self._untold.update(positions)
        self._tell_group_when_due()

    def ended(self, partitions: Sequence[TopicPartition]) -> None:
        """Let go of partitions that are not ours any more."""
        for partition in partitions:
            self._forget(partition)
            self._let_go(partition)

    def take_back(self) -> Sequence[TopicPartition]:
        """Return the partitions that are to begin again: see above."""
        now, session = self._runtime.now(), self._feed.source.session_timeout
        again = [
            partition
            for partition, (since, _) in self._fenced.items()
            if now - since > TAKE_BACK_SESSIONS * session and self._may_come_back(partition)
        ]
        self._taken_back.update(dict.fromkeys(again, now))
        return again

    def turn(self) -> None:
        """Let silent partitions do what is due, as closing windows; called at every turn of the chain.

        What cannot be stored now is, later: see :meth:`Partition.rest`.

        Raises
        ------
        streamzarr.errors.FencedError
            Somebody outside of the group writes to a stream of ours, or has removed it.
        """
        if self._removed is not None:
            raise StreamGoneError(
                f"{self._removed}; started anew, the feed begins at the beginning, "
                "or where its topic begins now"
            ) from self._removed
        for partition in self._fenced:  # their messages may all have been settled before
            if not self._may_come_back(partition):
                self._ensure_hopeful(partition)
        for partition, owned in list(self._owned.items()):
            try:
                owned.rest()
            except FencedError as error:
                self._fence(partition, error)
            except (StoreError, QueueError, OSError) as error:
                if not is_transient(error):
                    raise
                away = self._broker.contact if isinstance(error, QueueError) else self.contact
                away.failed(f"{partition}: what was due is not stored yet: {error}")
        self._tell_group_when_due()

    # -- the sink ----------------------------------------------------------------------------------------

    def store(self, messages: Sequence[Message]) -> Sequence[Report]:
        """Take the rows of decoded runs; they are settled, though not committed: reading begins at commits.

        Raises
        ------
        streamzarr.errors.StoreError, streamzarr.errors.QueueError
            Something could not be stored; the same messages may be given again.
        streamzarr.errors.FencedError
            Somebody outside of the group writes to a stream of ours.
        """
        return [self._take_all(message.data) for message in messages]

    def _take_all(self, data: Rows | Undecoded | Pieces) -> Report:
        if not isinstance(data, Pieces):
            return self._take(data)
        owned = self._owned.get(data.run.where)
        for rows in data.rows(0 if owned is None else owned.position):
            if (report := self._take(rows)) is not DONE:
                return report  # and all of it comes again
        return DONE

    def _take(self, rows: Rows | Undecoded) -> Report:
        partition, first = rows.run.where, rows.run.first
        at, pause = self._pauses.pop(partition, (first, None))
        if pause is None or first <= at:  # nothing before it was handed back
            at, pause = first, Pause(rows.reason) if isinstance(rows, Undecoded) else None
        if pause is not None:
            self._pauses[partition] = at, pause
            return pause
        assert isinstance(rows, Rows)
        owned = self._owned.get(partition)
        if owned is None:
            self._ensure_hopeful(partition)
            return Again(FENCED_AGAIN)
        bad = owned.bad
        try:
            owned.take(rows)
        except FencedError as error:
            self._fence(partition, error)
            return Again(FENCED_AGAIN)
        self.tally.records += len(rows.run)
        self.tally.rows += len(rows)
        self.tally.appended += rows.nbytes
        self.tally.bad += owned.bad - bad
        return DONE

    # -- steps -------------------------------------------------------------------------------------------

    def _is_committed(self, partition: TopicPartition, position: int) -> None:
        self.tally.commits += 1
        self.tally.committed_at = self._runtime.now()
        self._committed[partition] = position
        self.contact.reached(partition)

    def _not_stored(self, partition: TopicPartition, error: Exception) -> None:
        if is_transient(error):
            self.contact.failed(str(error), partition)

    def _forget(self, partition: TopicPartition) -> None:
        """Forget what was in the way when the partition was ours before."""
        self._fenced.pop(partition, None)
        self._pauses.pop(partition, None)

    def _fence(self, partition: TopicPartition, error: FencedError) -> None:
        if isinstance(error, StreamGoneError):  # nobody took over: the group has nothing to say
            self._removed = self._removed or error
        else:
            _log.warning("%s: %s; the group says whose it is", partition, error)
        self._let_go(partition)
        self._fenced[partition] = (self._runtime.now(), error)

    def _ensure_hopeful(self, partition: TopicPartition) -> None:
        """Raise when the group has had the time to say whose a fenced partition is, and said nothing."""
        since, error = self._fenced[partition]
        if self._runtime.now() - since > FENCED_SESSIONS * self._feed.source.session_timeout:
            raise FencedError(
                f"{error}; the group {self._feed.group!r} still counts the partition as ours: the "
                "other one is outside of the group, or was stopped while it began; start again"
            ) from error

    def _may_come_back(self, partition: TopicPartition) -> bool:
        """Tell whether a fenced partition may be taken back, soon or late: others may keep us from it."""
        since = self._runtime.now() - self._taken_back.get(partition, -math.inf)
        patience = 2 * FENCED_SESSIONS * self._feed.source.session_timeout
        return since > patience and self._removed is None

    def _let_go(self, partition: TopicPartition) -> None:
        owned = self._owned.pop(partition, None)
        self._committed.pop(partition, None)
        self.contact.gone(partition)
        if owned is not None:
            self.tally.put += owned.put_bytes
            owned.drop()

    def _tell_group_when_due(self) -> None:
        now = self._runtime.now()
        if self._consumer is None or not self._untold or now < self._tell_at:
            return
        ours = {each: position for each, position in self._untold.items() if each in self._owned}
        self._tell_at = now + TELL_EVERY
        try:
            if self._consumer.tell(ours):
                self._untold.clear()
        except (FencedError, QueueError) as error:
            _log.debug("the group %r was not told of its positions: %s", self._feed.group, error)
