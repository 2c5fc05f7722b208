"""Which messages make a batch, and when it leaves: pure decisions over explicit state, no clock."""

from __future__ import annotations

from collections.abc import Coroutine, Hashable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal, TypeAlias

from streamzarr.errors import ConfigError
from streamzarr.flow.message import Message as Part
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.options import Batcher

_nbytes = attrgetter("nbytes")

Trigger: TypeAlias = Literal["size", "bytes", "until", "timeout", "flush", "demand", "end"]
"""Why a batch left. ``"demand"``: nothing more could come before some of it was done."""


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """What ``handle_batch`` is told of a batch.

    Of the halves of a batch that has failed `size` and `bytes` are their own, the rest is the batch's.
    """

    key: Hashable
    """The `batch_key` of its messages."""
    size: int
    """How many there are."""
    bytes: int
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class Complete:
    """A batch that leaves: flow messages, whose data are the pipeline's."""

    info: BatchInfo
    lane: Hashable
    """Batches of one lane are handled one after the other; ``None``: beside all others."""
    parts: Sequence[Part]


@dataclass(slots=True)
class _Open:
    number: int
    since: float
    key: Hashable
    lane: Hashable
    parts: list[Part] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    """For `until`."""
    nbytes: int = 0
    weight: float = 0.0

    def complete(self, trigger: Trigger) -> Complete:
        info = BatchInfo(self.key, len(self.parts), self.nbytes, trigger)
        return Complete(info, self.lane, self.parts)


class Batches:
    """The open batches of one batcher, one for each batch key and lane.

    No batch is more than its bounds, unless a single message is. Times are seconds of whatever clock the
    caller has.

    Examples
    --------
    >>> batches = Batches(Batcher(size=2))
    >>> batches.add(Part(data=Message(data=1)), None, now=0.0)
    []
    >>> [batch] = batches.add(Part(data=Message(data=2)), None, now=0.0)
    >>> batch.info
    BatchInfo(key=None, size=2, bytes=0, trigger='size')
    """

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._open: dict[Hashable, _Open] = {}  # in order of their first messages
        self.waiting = 0
        """Messages in all open batches."""
        self.begun = 0
        """Batches that were ever begun."""

    def add(self, part: Part, lane: Hashable, now: float) -> list[Complete]:
        """Put a message into its batch; return the batches that are complete.

        Raises
        ------
        Exception
            Of the batcher's own functions; the message is in no batch then.
        """
        batcher, message = self._batcher, part.data
        key = message.batch_key
        if key is None and batcher.batch_key is not None:
            key = batcher.batch_key(message)
        weight = 1.0 if batcher.size_by is None else _weight(batcher.size_by(message))
        at = (key, lane)
        complete = []
        batch = self._open.get(at)
        full = None if batch is None else self._overflows(batch, weight, part.nbytes)
        if batch is None or full is not None:
            batch = _Open(self.begun + 1, now, key, lane if key is None else at)
        until = self._until(batch, message)  # the last that may raise: only now does anything change
        if full is not None:
            complete.append(self._take(at, full))
        if at not in self._open:
            self.begun += 1
            self._open[at] = batch
        batch.parts.append(part)
        batch.nbytes += part.nbytes
        batch.weight += weight
        self.waiting += 1
        trigger: Trigger | None = "flush" if message.flush else "until" if until else self._full(batch)
        if trigger is not None:
            complete.append(self._take(at, trigger))
        return complete

    def add_all(self, parts: Sequence[Part], lane: Hashable, now: float) -> list[Complete]:
        """As :meth:`add`, one after the other, of messages in a lane of which only the number counts.

        That is so if :attr:`counts_only` holds, and none of them has a key or `flush`.
        """
        complete, at = [], (None, lane)
        while parts:
            batch = self._open.get(at)
            if batch is None:
                self.begun += 1
                batch = self._open[at] = _Open(self.begun, now, None, lane)
            room = self._batcher.size - len(batch.parts)
            taken, parts = parts[:room], parts[room:]
            batch.parts += taken
            batch.nbytes += sum(map(_nbytes, taken))
            batch.weight += len(taken)
            self.waiting += len(taken)
            if len(taken) == room:
                complete.append(self._take(at, "size"))
        return complete

    @property
    def counts_only(self) -> bool:
        """Whether batches leave by the number of their messages, or by time."""
        batcher = self._batcher
        ways = (batcher.bytes, batcher.size_by, batcher.until, batcher.batch_key)
        return all(way is None for way in ways)

    def due(self) -> float | None:
        """Return when the oldest batch has waited long enough; ``None``: there is none, or no such time."""
        if self._batcher.timeout is None or not self._open:
            return None
        return next(iter(self._open.values())).since + self._batcher.timeout

    def take_due(self, now: float) -> list[Complete]:
        """Take the batches that have waited long enough."""
        taken = []
        while (due := self.due()) is not None and due <= now:
            taken.append(self._take(next(iter(self._open)), "timeout"))
        return taken

    def take_all(self, trigger: Trigger) -> list[Complete]:
        """Take all batches."""
        return [self._take(at, trigger) for at in list(self._open)]

    @property
    def oldest(self) -> int | None:
        """The number of the first batch that is not complete, of those begun; ``None``: all are."""
        return next(iter(self._open.values())).number if self._open else None

    def _until(self, batch: _Open, message: Message) -> bool:
        if self._batcher.until is None:
            return False
        batch.messages.append(message)
        try:
            found: object = self._batcher.until(batch.messages)
            if isinstance(found, Coroutine):
                found.close()
                raise ConfigError("until returned a coroutine, expected true or false")
            return bool(found)
        except BaseException:
            batch.messages.pop()
            raise

    def _overflows(self, batch: _Open, weight: float, nbytes: int) -> Trigger | None:
        if batch.weight + weight > self._batcher.size:
            return "size"
        limit = self._batcher.bytes
        return "bytes" if isinstance(limit, int) and batch.nbytes + nbytes > limit else None

    def _full(self, batch: _Open) -> Trigger | None:
        if batch.weight >= self._batcher.size:
            return "size"
        limit = self._batcher.bytes
        return "bytes" if isinstance(limit, int) and batch.nbytes >= limit else None

    def _take(self, at: Hashable, trigger: Trigger) -> Complete:
        batch = self._open.pop(at)
        self.waiting -= len(batch.parts)
        return batch.complete(trigger)


def _weight(size: object) -> float:
    if isinstance(size, bool) or not isinstance(size, (int, float)) or not size >= 0:
        raise ConfigError(f"size_by returned {size!r}, expected a number of at least 0")
    return float(size)
