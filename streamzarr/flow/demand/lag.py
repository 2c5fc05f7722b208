"""Demand measured over a topic: a producer emits only what a consumer group will soon take.

No streaming library had this: demand stops at the process, and a topic takes whatever it is given. Here
the group's own commits say how far it is, so the workers need not cooperate, and need not even run yet.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from streamzarr.errors import ConfigError, QueueError
from streamzarr.flow.arguments import broker, checked, integer, optional, runtime, seconds, text
from streamzarr.flow.demand.balance import Balance, Bounds, admit, refill, split
from streamzarr.flow.demand.credits import Credits, Room
from streamzarr.queue.base import Broker, TopicInfo
from streamzarr.queue.retry import is_transient
from streamzarr.runtime import SYSTEM, Runtime

_log = logging.getLogger(__name__)


def group_lag(info: TopicInfo, committed: Mapping[int, int]) -> int:
    """Return how many records of a topic a group has not settled yet.

    A partition without a commit is read from its beginning, and so is one whose commit has been trimmed
    away. Offsets that hold no record (compaction, transaction markers) count until the group has passed them.
    A commit beyond the end counts as the end: it may be younger than `info`.

    Examples
    --------
    >>> group_lag(TopicInfo("jobs", begin={0: 10, 1: 0}, end={0: 50, 1: 30}), committed={1: 25})
    45
    """
    return sum(
        max(0, end - max(committed.get(partition, 0), info.begin.get(partition, 0)))
        for partition, end in info.end.items()
    )


@checked(
    "LagDemand",
    broker=broker,
    topic=text,
    group=text,
    max_lag=integer(1),
    min_lag=optional(integer(0)),
    refresh=seconds(above=0),
    stale_after=seconds(above=0),
    runtime=runtime,
)
class LagDemand(Credits):
    """Let in only ``max_lag`` messages more than a consumer group has settled of a topic.

    Outstanding is what the broker reports (produced end minus the group's low watermark) plus what this
    producer let in and the report cannot show yet. New messages are let in when no more than `min_lag` are
    outstanding, then as many as bring them to `max_lag`.

    Fails closed: when the broker could not be read for `stale_after` seconds nothing is let in, the log says
    so once, and :attr:`stale` is true until it can be read again.

    Parameters
    ----------
    broker, topic, group
        Whose lag. Other producers on the topic are counted in the lag but take no credit here; give each
        of several producers its share of `max_lag`.
    max_lag, min_lag
        Records; `min_lag` is half of `max_lag` when absent.
    refresh
        Seconds between two readings while somebody asks for room.
    stale_after
        Seconds for which a reading is believed.

    Raises
    ------
    streamzarr.errors.ConfigError
        The bounds do not fit together, or ``stale_after`` is not longer than ``refresh``.

    Notes
    -----
    Threads: thread-safe; :meth:`room` reads the broker on the calling thread, at most once in `refresh`
    seconds, and blocks for as long as the broker takes. It starts no thread.

    Slow, never wrong: one unsettled record holds the watermark, and then less is asked for than could be.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        group: str,
        *,
        max_lag: int,
        min_lag: int | None = None,
        refresh: float = 0.1,
        stale_after: float = 10.0,
        runtime: Runtime = SYSTEM,
    ) -> None:
        super().__init__(runtime)
        if not 0 < refresh < stale_after:
            raise ConfigError(
                f"LagDemand: refresh={refresh}, stale_after={stale_after}: expected 0 < refresh < stale_after"
            )
        if min_lag is not None and min_lag >= max_lag:
            raise ConfigError(f"LagDemand: min_lag is {min_lag}, expected 0 to {max_lag - 1}")
        self.bounds = Bounds(max_lag, max_lag // 2 if min_lag is None else min_lag)
        self.recheck = refresh
        self._broker, self._topic, self._group = broker, topic, group
        self._refresh, self._stale_after = refresh, stale_after
        self._credit = 0
        self._lag: int | None = None  # None until the first reading
        self._taken = 0  # messages let in, ever
        self._settled = 0  # of these, the ones whose sending has ended, ever
        self._shown = 0  # of these, the ones that the last reading surely counted
        self._read_at = self._asked_at = float("-inf")
        self._warned = False

    def room(self) -> Room:
        """Return how many messages may be sent now; reads the broker when the last reading is old.

        Raises
        ------
        streamzarr.errors.TopicNotFoundError
            There is no such topic.
        """
        with self._lock:
            if self._closed:
                return Room(0, None)
            now = self._runtime.now()
            if now - self._asked_at >= self._refresh:
                self._read()
            if self._expired():
                return Room(0, None)
            return Room(split(self._credit, self.bounds)[0] if self._credit else 0, None)

    def take(self, sizes: Sequence[int], counts: Sequence[int] | None = None) -> int:
        """Let in as many messages as credit allows; nothing while :attr:`stale`."""
        with self._lock:
            if self._closed or self._expired():
                return 0
            balance, entered = admit(Balance(credit=self._credit), sizes, self.bounds, counts)
            self._credit = balance.credit
            self._taken += balance.in_flight
            return entered

    def settle(self, count: int, nbytes: int) -> None:
        """Note that `count` messages are on the topic, durably, or were given up."""
        with self._lock:
            if self._settled + count > self._taken:
                raise ValueError(f"{count} messages settled, but {self._taken - self._settled} are in flight")
            self._settled += count

    def charge(self, nbytes: int, records: int = 0) -> None:
        """Note that `records` more are on their way to the topic, whatever the lag; bytes are not bounded."""
        with self._lock:
            self._taken += records

    @property
    def outstanding(self) -> int | None:
        """Messages that the group has not settled, sent or about to be sent; ``None`` before a reading."""
        with self._lock:
            return self._outstanding()

    @property
    def stale(self) -> bool:
        """True while the lag is not known: nothing is let in."""
        with self._lock:
            return self._expired()

    def _outstanding(self) -> int | None:
        return None if self._lag is None else self._lag + self._taken - self._shown

    def _expired(self) -> bool:
        return self._runtime.now() - self._read_at > self._stale_after

    def _read(self) -> None:
        # What was settled before the reading began is counted by it: it was flushed. Whatever was let in
        # later may or may not be, and is counted once more: outstanding is never too small. For the same
        # reason the watermark is read before the end.
        self._asked_at, settled = self._runtime.now(), self._settled
        try:
            committed = self._broker.committed(self._group, self._topic)
            info = self._broker.describe(self._topic)
        except QueueError as error:
            if not is_transient(error):
                raise
            self._asked_at = self._runtime.now()
            self._warn(error)
            return
        # A reading is as old as its beginning, but the next one is due `refresh` after its end: a slow broker
        # must not be asked without a pause.
        self._read_at, self._asked_at = self._asked_at, self._runtime.now()
        # A commit that is beyond an end read later is of a topic that was made anew since.
        positions = info.reading_from(committed)
        self._lag, self._shown = group_lag(info, positions), settled
        self._credit = refill(self._credit, self._lag + self._taken - settled, self.bounds)
        if self._warned:
            self._warned = False
            _log.info("group %r on topic %r can be read again; producing goes on", self._group, self._topic)

    def _warn(self, error: QueueError) -> None:
        if self._expired() and not self._warned:
            self._warned = True
            _log.warning(
                "nothing is produced as long as the lag of group %r on topic %r cannot be read: %s",
                self._group,
                self._topic,
                error,
            )
