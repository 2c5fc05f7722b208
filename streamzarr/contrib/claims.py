"""The partitions of a feed whose records another library's consumer reads: what they hand over, once.

Such a consumer has a notion of its own of where it is. Ours is in the commit records: what it reads again is
left alone, and what it went past is told, never left out in silence.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final, Self

from streamzarr.errors import QueueError
from streamzarr.feeds.config import Feed
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.decode.base import TooMuchError
from streamzarr.feeds.letters import Letters, ensure_topics
from streamzarr.feeds.rows import RowMaker, Rows
from streamzarr.feeds.takeover import Partition, take_over
from streamzarr.queue import Broker, Columns, TopicPartition
from streamzarr.queue.retry import patiently
from streamzarr.runtime import Deadline
from streamzarr.stores import open_store

AT_ONCE: Final = 1000
"""Records that are read at a time to see whether some were left out."""
LOOK_SECONDS: Final = 30.0
"""How long may pass until the broker has shown what lies between two records."""

Values = Sequence[bytes | None]


class Claims:
    """The partitions that are ours since the last assignment; any number of threads, one works at a time.

    Every method blocks for as long as store and broker take, and for about half a minute when they are away.

    Parameters
    ----------
    feed
        How records become rows, and where these go.
    broker
        The broker of the feed's topics; stays open.
    name
        Who says so, in dead letters.

    Examples
    --------
    >>> from streamzarr.testing import FakeBroker
    >>> broker = FakeBroker()
    >>> broker.create_topic("ticks")
    >>> broker.append("ticks", 0, b'{"bid": 1.5}', b'{"bid": 1.25}')
    >>> feed = Feed.of({
    ...     "source": {"broker": broker.url, "topics": ["ticks"]},
    ...     "decode": {"format": "json"},
    ...     "columns": {"bid": "f8"},
    ...     "target": {"url": "memory://claims"},
    ... })
    >>> where = TopicPartition("ticks", 0)
    >>> with broker.reader("ticks") as reader:
    ...     [run] = reader.poll_columns(10, timeout=1.0)
    >>> with Claims(feed, broker, "worker 1") as claims:
    ...     print(claims.renew([where], assignment=1), claims.store(run, 1), claims.store(run, 1))
    ...     print(claims.renew([where], assignment=2), claims.store(run, 1))
    {TopicPartition(topic='ticks', partition=0): 0} True True
    {TopicPartition(topic='ticks', partition=0): 2} False
    """

    def __init__(self, feed: Feed, broker: Broker, name: str) -> None:
        self._feed, self._broker, self._runtime = feed, broker, broker.runtime
        self._turn = broker.runtime.lock()
        options = dict(feed.decode)
        of_value = {name: each for name, each in feed.columns.items() if not each.of_record}
        self._maker = RowMaker(feed.columns, open_decoder(options.pop("format"), of_value, **options))
        self._store = open_store(feed.url)
        ensure_topics(broker, [feed.dead_topic(topic) for topic in feed.source.topics])
        self._producer = broker.producer()
        self._letters = Letters(self._producer, feed.dead_topic, name, self._runtime)
        self._owned: dict[TopicPartition, Partition] = {}
        self._assignment: int | None = None

    def renew(self, partitions: Sequence[TopicPartition], assignment: int) -> dict[TopicPartition, int]:
        """Let go of all partitions and take over these; return where each goes on.

        `assignment` is the number by which :meth:`store` knows which records are of this time.

        Raises
        ------
        streamzarr.errors.FencedError
            Somebody else took one over at the same moment.
        streamzarr.errors.SourceChangedError, streamzarr.errors.OffsetOutOfRangeError
            Its rows come from another topic or cluster; the records that come next are gone.
        streamzarr.errors.ConfigError, streamzarr.errors.UnsupportedError
            The stream has other fields; the store cannot hold streams.
        """
        with self._turn:
            self._let_go()
            self._assignment = assignment
            for each in partitions:
                self._owned[each] = patiently(partial(self._take_over, each), self._runtime)
            return {where: each.position for where, each in self._owned.items()}

    def release(self) -> None:
        """Let go of all partitions; what is being stored is stored before."""
        with self._turn:
            self._let_go()

    def store(self, run: Columns, assignment: int, values: Values | None = None) -> bool:
        """Make the rows of a run visible, with the position behind it; tell whether that is so.

        It is not when its partition is not ours any more: the records come again, to whoever owns it. Rows
        that are there already are not added again.

        Parameters
        ----------
        values
            What is to be decoded in the place of the records' own values.

        Raises
        ------
        streamzarr.errors.FencedError
            Somebody else has taken the partition over; nothing of the run becomes visible.
        streamzarr.errors.QueueError
            Records before some of the run were not handed over: whoever begins anew gets them.
        streamzarr.errors.StoreError
            The store failed, for about half a minute.
        """
        with self._turn:
            owned = self._owned.get(run.where)
            if owned is None or assignment != self._assignment:
                return False
            known = bisect_left(run.offset_list, owned.position)
            if known < len(run):
                new = run[known:]
                self._check_complete(owned.position, new)
                self._take(owned, new, values and values[known:])
            patiently(lambda: owned.commit(run.stop), self._runtime)
            return True

    def close(self) -> None:
        """Let go of all partitions, and of the producer of dead letters. Idempotent."""
        self.release()
        self._producer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- steps -------------------------------------------------------------------------------------------

    def _take_over(self, where: TopicPartition) -> Partition:
        return take_over(self._feed, self._broker, self._store, self._letters, where)

    def _let_go(self) -> None:
        for each in self._owned.values():
            each.drop()
        self._owned.clear()

    def _take(self, owned: Partition, run: Columns, values: Values | None) -> None:
        try:
            rows = patiently(lambda: self._rows(run, values), self._runtime)
        except TooMuchError:
            half = len(run) // 2
            self._take(owned, run[:half], values and values[:half])
            self._take(owned, run[half:], values and values[half:])
            return
        patiently(lambda: owned.take(rows), self._runtime)

    def _rows(self, run: Columns, values: Values | None) -> Rows:
        if values is None:
            return self._maker.rows(run)
        given = Columns(
            run.where, run.offset_list, run.keys, list(values), run.headers, run.timestamps.tolist()
        )
        return replace(self._maker.rows(given), run=run)  # a letter holds the record as it came

    def _check_complete(self, position: int, run: Columns) -> None:
        """Raise ``QueueError`` if a record from `position` on is missing in a run that reaches behind it.

        Transactions and compaction leave offsets without a record, so where some are missing the broker is
        asked what is there.
        """
        if run.stop - position == len(run):
            return
        given = set(run.offset_list)
        left_out = [each for each in self._offsets(run.where, position, run.stop) if each not in given]
        if left_out:
            raise QueueError(
                f"{self._broker}: {run.topic}[{run.partition}]: {len(left_out)} records from offset "
                f"{left_out[0]} on were not handed over, but that of {run.stop - 1} was; begin anew, at "
                f"{position}"
            )

    def _offsets(self, where: TopicPartition, start: int, stop: int) -> list[int]:
        """Return the offsets of the records between two positions."""
        ends = {**self._broker.describe(where.topic).end, where.partition: start}
        found: list[int] = []
        deadline = Deadline(self._runtime, LOOK_SECONDS)
        with self._broker.reader(where.topic, ends) as reader:
            while reader.positions()[where] < stop:
                if deadline.passed:
                    raise QueueError(
                        f"{self._broker}: {where.topic}[{where.partition}]: the record of offset {stop - 1} "
                        f"was handed over, and cannot be read within {LOOK_SECONDS:g} s; is its transaction "
                        "open?"
                    )
                for run in reader.poll_columns(AT_ONCE, 0.1, self._feed.source_bytes):
                    if run.where == where:
                        found += [each for each in run.offset_list if each < stop]
        return found
