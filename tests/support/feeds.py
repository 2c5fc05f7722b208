"""A broker with a topic of a test's own, a folder, and a feed between them."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamzarr.errors import NodeNotFoundError
from streamzarr.feeds import Feed, run_feed
from streamzarr.feeds.target import position_of
from streamzarr.feeds.worker import Supervision
from streamzarr.flow import RunReport, Stop
from streamzarr.queue import Broker, DeadLetter, DeadLetterQueue, NewRecord, open_broker
from streamzarr.queue.base import TopicPartition
from streamzarr.runtime import SYSTEM
from streamzarr.stream import Snapshot, open_streams

PATIENCE = 200.0
"""Seconds for what happens in a moment on a machine with nothing else to do."""


def until(condition: Callable[[], Any], what: str = "it", patience: float = PATIENCE) -> Any:
    """Return what `condition` returns once that is true."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about within {patience:g} s"
        SYSTEM.event().wait(0.02)
    return found


def tick(number: int) -> dict[str, Any]:
    """Return what the record `number` says."""
    return {"n": number, "bid": number / 4, "symbol": f"S{number % 3}"}


def payload(number: int) -> bytes:
    return json.dumps(tick(number)).encode()


@dataclass
class FeedBench:
    """A topic of `partitions` partitions, and a folder for the target."""

    url: str
    folder: Path
    partitions: int = 2
    session_timeout: float = 10.0
    topic: str = field(default_factory=lambda: f"feed-{uuid.uuid4().hex[:12]}")
    place: str = ""
    """URL of the target; empty: below the folder."""

    def __post_init__(self) -> None:
        self.broker: Broker = open_broker(self.url)
        self.broker.create_topic(self.topic, self.partitions)

    @property
    def target(self) -> str:
        return self.place or str(self.folder / "feed.zarr")

    def feed(self, **changes: Any) -> Feed:
        """Return the feed; `changes` are entries of its tables."""
        tables: dict[str, Any] = {
            "source": {
                "broker": self.url,
                "topics": [self.topic],
                "session_timeout": self.session_timeout,
            },
            "decode": {"format": "json"},
            "columns": {"n": "i8", "bid": "f8", "symbol": "string"},
            "target": {"url": self.target, "chunk_rows": 64, "commit": {"seconds": 0.05}},
        }
        for name, change in changes.items():
            tables[name] = {**tables.get(name, {}), **change} if name != "columns" else change
        return Feed.of(tables)

    def send(self, *values: bytes | None, partition: int = 0, topic: str = "", **more: Any) -> None:
        with self.broker.producer() as producer:
            producer.send(
                topic or self.topic, [NewRecord(value, partition=partition, **more) for value in values]
            )

    def ticks(self, count: int, start: int = 0, partition: int = 0) -> None:
        self.send(*map(payload, range(start, start + count)), partition=partition)

    @contextlib.contextmanager
    def running(
        self, feed: Feed | None = None, supervision: Supervision | None = None
    ) -> Iterator[list[RunReport | BaseException]]:
        """Ingest meanwhile; give what comes of it, which is there at the end."""
        stop, ended = Stop(), []

        def ingest() -> None:
            try:
                ended.append(run_feed(feed or self.feed(), supervision, stop))
            except BaseException as error:
                ended.append(error)

        thread = SYSTEM.thread(ingest, "feed")
        thread.start()
        try:
            yield ended
        finally:
            stop.drain(20)
            thread.join(PATIENCE)
            assert ended, "the feed did not end"

    def ingest(self, feed: Feed | None = None) -> RunReport:
        """Ingest what is there; return the report."""
        with self.running(feed) as ended:
            until(lambda: ended or self.caught_up(feed or self.feed()), "the end of the topics")
        return self.report(ended)

    def stops(self, feed: Feed | None = None) -> RunReport:
        """Ingest until that ends by itself; raise what ended it."""
        with self.running(feed) as ended:
            until(lambda: ended, "the end of the feed")
        return self.report(ended)

    @staticmethod
    def report(ended: list[Any]) -> RunReport:
        if isinstance(ended[0], BaseException):
            raise ended[0]
        return ended[0]

    def caught_up(self, feed: Feed) -> bool:
        """Tell whether all records that are there now are committed."""
        ends = {
            TopicPartition(topic, number): end
            for topic in feed.source.topics
            for number, end in self.broker.describe(topic).end.items()
        }
        with contextlib.suppress(NodeNotFoundError):
            found = {}
            for topic in feed.source.topics:
                below = "" if len(feed.source.topics) == 1 else topic
                for each in open_streams(feed.url, below).values():
                    source = each.record.source
                    found[TopicPartition(source["topic"], source["partition"])] = position_of(
                        each.position, 0
                    )
            return len(found) == len(ends) and all(found[each] >= end for each, end in ends.items())
        return False

    def streams(self, path: str = "") -> dict[str, Snapshot]:
        return open_streams(self.target, path)

    def letters(self, topic: str = "") -> list[DeadLetter]:
        queue = DeadLetterQueue(self.broker, f"{topic or self.topic}.dead")
        return [letter for _, letter in queue.ls()]
