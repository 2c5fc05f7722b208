"""Retry topics: where messages wait for long that may work later, out of memory and out of their partition.

A record of a retry topic is the original with headers ``streamzarr.retry.*`` behind its own. It is read by
the same pipeline, waits until it is due, and goes on as the record that it was.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from reactivex.abc import ObserverBase

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import seconds, text
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Marker
from streamzarr.flow.message import Message as Part
from streamzarr.flow.ops.behind import Behind
from streamzarr.flow.stage import Belongs, Stage
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.schema import check_settings, setting
from streamzarr.queue.base import NewRecord, Record
from streamzarr.queue.deadletter import whole

_PREFIX: Final = "streamzarr.retry."
_NAMES: Final = tuple(
    _PREFIX + name for name in ("due", "tier", "first_seen", "topic", "partition", "offset")
)


@dataclass(frozen=True, slots=True)
class RetryTopic:
    """A topic whose records wait for so many seconds.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option does not fit.
    """

    topic: str = setting("Name of the topic, on the broker of the source.", text)
    delay: float = setting("Seconds that a message waits in it.", seconds(above=0))

    def __post_init__(self) -> None:
        check_settings(self)


def retry_topics(value: Any) -> str | None:
    """Check a list of retry topics."""
    fits = isinstance(value, Sequence) and all(isinstance(each, RetryTopic) for each in value)
    return None if fits else 'a list of retry topics, e.g. [RetryTopic("ticks.retry.1m", delay=60)]'


def to_retry(message: Message, tier: RetryTopic, now: int) -> NewRecord:
    """Return the record for the retry topic of a message that has failed, at `now` in milliseconds."""
    record = message.record
    if record is None:
        raise ConfigError(f"{message!r} came from no topic, so no retry topic can hold it")
    due = now + int(tier.delay * 1000)
    values = (due, message.tier + 1, message.first_seen, record.topic, record.partition, record.offset)
    headers = tuple((name, str(value).encode()) for name, value in zip(_NAMES, values, strict=True))
    return NewRecord(record.value, record.key, (*record.headers, *headers), timestamp=record.timestamp)


class Restored(NamedTuple):
    """What a record of a retry topic was, and is to be again."""

    record: Record
    """The original."""
    tier: int
    """How many retry topics it has been to."""
    due: int
    """When it may go on; this and the next in milliseconds since the epoch."""
    first_seen: int
    """When the original was delivered."""


def restored(record: Record) -> Restored | None:
    """Return what a record of a retry topic was; ``None``: somebody else has written it."""
    own, last = record.headers[: -len(_NAMES)], record.headers[-len(_NAMES) :]
    if tuple(name for name, _ in last) != _NAMES:
        return None
    try:
        due, tier, first_seen, topic, partition, offset = (value.decode() for _, value in last)
        original = record._replace(
            topic=topic, partition=whole(partition, 0), offset=whole(offset, 0), headers=own
        )
        return Restored(original, whole(tier, 0), whole(due), whole(first_seen))
    except ValueError:
        return None


def until_due(tier: RetryTopic) -> Operator:
    """Hold messages of a retry topic until they are due, and make them what they were."""
    return staged(lambda chain, observer: _Waiting(chain, observer, tier.delay))


class _Waiting(Stage):
    """A heap by time; what waits keeps its credit, which is the source's own."""

    def __init__(self, chain: Chain, observer: ObserverBase[Batch], longest: float) -> None:
        super().__init__(chain, observer)
        self._longest = longest
        self._heap: list[tuple[float, int, Part]] = []
        self._behind = Behind()

    def receive(self, messages: Sequence[Part]) -> None:
        runtime = self.chain.runtime
        now, wall = runtime.now(), runtime.wall_ns() // 1_000_000
        for part in messages:
            left = 0.0
            if part.record is not None and (found := restored(part.record)) is not None:
                message = Message(data=found.record.value, row=tuple(found.record), tier=found.tier)
                part = part.replace(data=message, first_seen=found.first_seen)
                # Whatever a header says, or another machine's clock: no longer than the topic is for.
                left = min(max(0, found.due - wall) / 1000, self._longest)
            heapq.heappush(self._heap, (now + left, part.seq, part))
            self._behind.came([part])
        self.working += len(messages)
        self.turn()

    def mark(self, marker: Marker) -> None:
        self._behind.mark(marker, self.working)
        self.turn()

    def due(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def turn(self) -> None:
        now = self.chain.runtime.now()
        passed = []
        while self._heap and self._heap[0][0] <= now:
            passed.append(heapq.heappop(self._heap)[2])
        self._leave(passed)
        self.emit(passed)
        for marker in self._behind.passing():
            self.emit_marker(marker)

    def withdraw(self, belongs: Belongs) -> list[Part]:
        withdrawn = [entry[2] for entry in self._heap if belongs(entry[2])]
        self._heap = [entry for entry in self._heap if not belongs(entry[2])]
        heapq.heapify(self._heap)
        self._leave(withdrawn)
        return withdrawn

    def _leave(self, parts: Sequence[Part]) -> None:
        self.working -= len(parts)
        self._behind.left(parts)

    def close(self, timeout: float) -> None:
        self._heap.clear()
        self.working = 0
