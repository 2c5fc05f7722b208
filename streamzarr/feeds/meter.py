"""How a worker does, as numbers in its log: rates, lag, write amplification; and that it falls behind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from streamzarr.errors import QueueError
from streamzarr.feeds.committer import FeedCommitter
from streamzarr.feeds.outcome import see_letters
from streamzarr.queue import Broker, Offsets

_log = logging.getLogger(__name__)

EVERY: Final = 10.0
"""Seconds between two readings."""
GROWING: Final = 3
"""Readings in a row with a larger lag each, after which a worker falls behind."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Totals since the worker began, and its lag now."""

    at: float
    """Seconds, by the worker's clock."""
    records: int
    rows: int
    bad: int
    appended: int
    """Bytes of rows."""
    put: int
    """Bytes of chunks that were put, each time that one was."""
    lag: int
    """Records of its partitions that are not committed."""
    commits: int
    since_commit: float
    """Seconds since the last commit."""


def describe(before: Reading, now: Reading) -> str:
    """Return what happened between two readings, in a line.

    Examples
    --------
    >>> before = Reading(0.0, 0, 0, 0, 0, 0, 0, 0, 0.0)
    >>> describe(before, Reading(10.0, 5000, 5000, 2, 80_000, 120_000, 40, 10, 0.25))
    '500 records/s, 500 rows/s, lag 40, bad 2, 10 commits, the last 0.2 s ago, written 1.5 x'
    """
    seconds = max(1e-9, now.at - before.at)
    appended, put = now.appended - before.appended, now.put - before.put
    written = f", written {put / appended:.1f} x" if appended and put >= 0 else ""
    return (
        f"{(now.records - before.records) / seconds:.0f} records/s, "
        f"{(now.rows - before.rows) / seconds:.0f} rows/s, lag {now.lag}, bad {now.bad - before.bad}, "
        f"{now.commits - before.commits} commits, the last {now.since_commit:.1f} s ago{written}"
    )


def warning(readings: Sequence[Reading], see: str = "`streamzarr dlq ls`") -> str:
    """Return what is to be said aloud after the last of some readings; empty: nothing.

    Parameters
    ----------
    see
        The command that shows why records are bad.

    Examples
    --------
    >>> slow = [Reading(10.0 * n, 100 * n, 100 * n, 0, 1, 1, 500 * n, n, 0.0) for n in range(5)]
    >>> warning(slow)
    'falls behind: the lag is 2000 records and has grown by 50 a second; more processes, or fewer commits'
    >>> warning(slow[:2])
    ''
    """
    if len(readings) < 2:
        return ""
    before, now = readings[-2:]
    records, bad = now.records - before.records, now.bad - before.bad
    if bad and 2 * bad >= records:
        return f"{bad} of the last {records} records are bad; see {see} for the reasons"
    lags = [each.lag for each in readings[-GROWING - 1 :]]
    if len(lags) == GROWING + 1 and all(a < b for a, b in pairwise(lags)):
        first = readings[-GROWING - 1]
        growth = (now.lag - first.lag) / (now.at - first.at)
        if now.lag > records and now.commits > before.commits:  # else it does not lag, it cannot commit
            return (
                f"falls behind: the lag is {now.lag} records and has grown by {growth:.0f} a second; "
                "more processes, or fewer commits"
            )
    return ""


class Meter:
    """Reads a worker now and then. Owned by the chain's thread, which never waits for the broker here."""

    def __init__(self, name: str, committer: FeedCommitter, broker: Broker) -> None:
        self._name, self._committer, self._broker = name, committer, broker
        self._runtime = broker.runtime
        self._readings: list[Reading] = []
        self._see = see_letters(committer.dead_topics, broker.url)
        self._next = self._runtime.now() + EVERY
        self._ends: Callable[[], Offsets | None] | None = None  # what was asked and not yet answered

    def turn(self) -> None:
        """Read if it is time and the broker has said where its topics end, and say so in the log."""
        if self._ends is None and self._runtime.now() < self._next:
            return
        try:
            reading = self._read()
        except QueueError as error:
            self._ends = None
            _log.debug("%s: no reading: %s", self._name, error)
            return
        if reading is None:
            return
        self._ends = None
        self._readings = [*self._readings[-GROWING:], reading]
        if len(self._readings) > 1:
            _log.info("%s: %s", self._name, describe(*self._readings[-2:]))
        if said := warning(self._readings, self._see):
            _log.warning("%s: %s", self._name, said)

    def _read(self) -> Reading | None:
        if self._ends is None:
            self._next = self._runtime.now() + EVERY
            self._ends = self._broker.ends_soon(list(self._committer.owned))
        ends = self._ends()
        if ends is None:
            return None
        tally, owned = self._committer.tally, self._committer.owned
        lag = sum(
            max(0, ends.get(where, 0) - position) for where, position in self._committer.committed.items()
        )
        now = self._runtime.now()
        return Reading(
            now,
            tally.records,
            tally.rows,
            tally.bad,
            tally.appended,
            tally.put + sum(each.put_bytes for each in owned.values()),
            lag,
            tally.commits,
            now - tally.committed_at,
        )
