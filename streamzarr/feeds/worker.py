"""The feed worker: one consumer, one decoder, and the streams of the partitions that it owns.

::

    topics -> runs of records -> decode -> rows -> streams of the partitions    every second: commit
                                              '-> dead letters

Rows and position become visible together, by one put. What a worker had taken and not committed when it died
is read again by whoever comes next.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from streamzarr.feeds.beside import decoding
from streamzarr.feeds.committer import FeedCommitter
from streamzarr.feeds.config import Feed
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.letters import Letters, ensure_topics
from streamzarr.feeds.meter import Meter
from streamzarr.feeds.outcome import see_letters
from streamzarr.flow import Demand, RunReport, Stop, from_topic_columns, ops, run
from streamzarr.queue import Broker, open_broker
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stores import open_store

_log = logging.getLogger(__name__)

IDLE_POLL_SECONDS: Final = 0.05
"""Longest wait for a record, which ends it at once: how late a commit is when nothing comes."""
GATHERINGS: Final = 8
"""Polls between two commits, at least: records that trickle in are taken together, since nobody sees them
before the commit."""


class Supervision(Protocol):
    """What a feed worker needs from whoever supervises it. Cheap, from any thread."""

    @property
    def name(self) -> str:
        """Name of this worker, for dead letters and logs."""

    @property
    def runtime(self) -> Runtime:
        """Clocks, threads and ids of this worker."""

    def on_stop(self, callback: Callable[[float], None]) -> None:
        """Have `callback` called once with the drain timeout, in seconds, when this worker shall stop."""

    def beat(self) -> None:
        """Say that this worker is alive."""


class Unsupervised:
    """Supervision by nobody: the worker runs in this process until it is told to stop."""

    def __init__(self, name: str = "", runtime: Runtime = SYSTEM) -> None:
        self.runtime = runtime
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"

    def on_stop(self, callback: Callable[[float], None]) -> None:
        """Nobody will ask."""

    def beat(self) -> None:
        """Nobody listens."""


def run_feed(feed: Feed, supervision: Supervision | None = None, stop: Stop | None = None) -> RunReport:
    """Ingest until `supervision` or `stop` says to stop; blocks, and drives one chain.

    Raises
    ------
    streamzarr.errors.SourceChangedError, streamzarr.errors.OffsetOutOfRangeError
        The topic was made anew, belongs to another cluster, or has lost records that were to come next.
    streamzarr.errors.ConfigError
        The target holds other columns, or the decoder cannot be made.
    streamzarr.errors.QueueError, streamzarr.errors.StoreError
        Broker or store could not be reached for about half a minute.

    Examples
    --------
    >>> import json, tempfile
    >>> import streamzarr as sz
    >>> from streamzarr.queue import NewRecord
    >>> folder = tempfile.mkdtemp()
    >>> broker = sz.open_broker(f"sqlite:///{folder}/queue.db")
    >>> broker.create_topic("ticks")
    >>> with broker.producer() as producer:
    ...     producer.send("ticks", [NewRecord(json.dumps({"bid": bid}).encode()) for bid in (1.5, 1.25)])
    >>> feed = Feed.of({
    ...     "source": {"broker": broker.url, "topics": ["ticks"]},
    ...     "decode": {"format": "json"},
    ...     "columns": {"bid": "f8"},
    ...     "target": {"url": f"{folder}/ticks.zarr"},
    ... })
    >>> stop = Stop()
    >>> worker = SYSTEM.thread(lambda: run_feed(feed, stop=stop), "feed")
    >>> worker.start()
    >>> def rows():
    ...     try:
    ...         return sz.open_stream(f"{folder}/ticks.zarr", "p00000").rows
    ...     except sz.errors.NodeNotFoundError:
    ...         return 0
    >>> while not rows():
    ...     _ = SYSTEM.event().wait(0.05)
    >>> stop.drain(5.0), worker.join(10.0), broker.close()
    (None, None, None)
    >>> sz.open_stream(f"{folder}/ticks.zarr", "p00000")["bid"][:]
    array([1.5 , 1.25])
    """
    supervision = supervision or Unsupervised()
    with open_broker(feed.source.broker, runtime=supervision.runtime) as broker:
        return ingest(broker, feed, supervision, stop)


def ingest(broker: Broker, feed: Feed, supervision: Supervision, stop: Stop | None = None) -> RunReport:
    """Do as :func:`run_feed` on a broker that is open."""
    stop = stop or Stop(broker.runtime)
    supervision.on_stop(stop.drain)
    ensure_topics(broker, [feed.dead_topic(topic) for topic in feed.source.topics])
    in_value = {name: each for name, each in feed.columns.items() if not each.of_record}
    options = {name: value for name, value in feed.decode.items() if name != "format"}
    decoder = partial(open_decoder, feed.decode["format"], in_value, **options)
    with broker.producer() as producer:
        letters = Letters(producer, feed.dead_topic, supervision.name, broker.runtime)
        committer = FeedCommitter(feed, broker, open_store(feed.url), letters, supervision.beat)
        meter = Meter(supervision.name, committer, broker)

        def turn() -> None:
            supervision.beat()
            committer.turn()
            if not stop.requested:
                meter.turn()

        chain = from_topic_columns(
            broker,
            feed.source.topics,
            group=feed.group,
            demand=Demand(feed.source.max_records, max_bytes=feed.source_bytes, runtime=broker.runtime),
            session_timeout=feed.source.session_timeout,
            poll_timeout=min(IDLE_POLL_SECONDS, feed.target.commit.seconds),
            gather=min(IDLE_POLL_SECONDS, feed.target.commit.seconds / GATHERINGS),
            committer=committer,
            on_turn=turn,
        ).pipe(
            decoding(feed.columns, decoder),
            ops.settle(
                committer.store, dead_letters=letters, contact=broker.contact, target=committer.contact
            ),
        )
        report = run(chain, stop=stop, runtime=broker.runtime)
    level = logging.WARNING if report.left else logging.INFO
    bad = committer.tally.bad
    told = f"; bad: {bad}, see {see_letters(committer.dead_topics, broker.url)}" if bad else ""
    _log.log(level, "%s ended; records: %s%s", supervision.name, report, told)
    return report
