"""What travels through a chain: messages, in batches, and markers behind them. Values; no I/O, no threads.

Messages are msgspec Structs and no dataclasses: each operator makes each message anew, and a Struct costs
0.2 µs where a frozen dataclass costs 3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from streamzarr.errors import TransformError
from streamzarr.flow.acknowledge import Claim, Hold
from streamzarr.queue.columns import Columns
from streamzarr.queue.record import Record


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message failed for good."""

    stage: str
    error: BaseException
    attempts: int
    """How often `stage` tried it."""


class Message(Struct, frozen=True):
    """A record, a piece of one, or several combined, on its way through a chain.

    Only `data` and `key` belong to the user. The rest says where the message came from and lets the chain
    settle it, so a message that is dropped in silence is noticed (see :class:`streamzarr.flow.chain.Chain`).

    Examples
    --------
    >>> message = Message(data=b"21")
    >>> message.replace(data=int(message.data) * 2).data
    42
    >>> message.fail(ValueError("not a number"), stage="parse").failure
    Failure(stage='parse', error=ValueError('not a number'), attempts=1)
    """

    row: tuple[Any, ...] | None = None
    """The fields of :attr:`record`: a plain tuple is made in half the time."""
    data: Any = None
    nbytes: int = 0
    """Bytes that it counted for when it entered, whatever `data` becomes."""
    count: int = 1
    """Records that it stands for."""
    attempts: int = 0
    """How often ``ops.dispatch`` has tried it."""
    first_seen: int = 0
    """When it was delivered, milliseconds since the epoch."""
    failure: Failure | None = None
    key: Any = None
    """What ``ops.partition_by`` said: messages of one key keep their order."""
    output: str = ""
    """The named output that an operator put it on, such as that of late messages; ``""``: the main one."""
    seq: int = 0
    """Its number among all messages of its chain, from 1; pieces of one record share it."""
    claim: Claim | None = None
    """Where it is settled: its partition, in one assignment. ``None`` when made by hand, or combined."""
    parts: tuple[Message, ...] = ()
    """The messages that it was combined of: they are settled with it."""
    holds: tuple[Hold, ...] = ()
    """Holds of the accumulators that it was made of: they are released with it."""
    run: Columns | None = None
    """The records of a topic that it stands for, by columns; ``None``: it stands for one record at most."""

    @property
    def record(self) -> Record | None:
        """The record of a topic that it came from; ``None``: from elsewhere, or it stands for several."""
        return None if self.row is None else Record._make(self.row)

    def replace(self, **changes: Any) -> Message:
        """Return a copy with other values in some fields."""
        return replace(self, **changes)

    def with_data(self, data: Any) -> Message:
        """Return a copy with other data."""
        return replace(self, data=data)

    def fail(self, error: BaseException, stage: str, attempts: int = 1) -> Message:
        """Return a copy that has failed for good: later operators pass it on untouched."""
        return replace(self, failure=Failure(stage, error, attempts))

    def __repr__(self) -> str:
        record = self.record
        where = f"{record.topic}[{record.partition}]@{record.offset}, " if record else ""
        where = f"{self.run}, " if self.run is not None else where
        failed = f", failure={self.failure!r}" if self.failure else ""
        return f"Message({where}data={self.data!r}{failed})"


@dataclass(frozen=True, slots=True)
class Flush:
    """Travels behind the messages before it; stages that wait for more let go when it arrives."""

    on_passed: Callable[[], None] | None = None
    """Called on the chain's thread when it has come to the end, behind all that was settled before it."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """Travels behind the messages before it and lets nothing go early."""

    on_passed: Callable[[], None] | None = None
    """As that of :class:`Flush`."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Travels behind the results of windows: all that end at `mark` or before have given theirs."""

    mark: int
    """Watermark, nanoseconds since the epoch."""
    on_passed: Callable[[], None] | None = None
    """As that of :class:`Flush`."""


Marker: TypeAlias = Flush | Barrier | Passed


def parts_of(marker: Marker, count: int) -> list[Marker]:
    """Return `count` markers for one, which go different ways; ``on_passed`` of it is called by the last.

    >>> first, second = parts_of(Barrier(lambda: print("passed")), 2)
    >>> second.on_passed()
    >>> first.on_passed()
    passed
    """
    left = count

    def passed() -> None:
        nonlocal left
        left -= 1
        if not left and marker.on_passed is not None:
            marker.on_passed()

    return [marker] if count == 1 else [dataclasses.replace(marker, on_passed=passed) for _ in range(count)]


class Batch(Struct, frozen=True):
    """Messages that travel together, and perhaps a marker behind them: the item of every Rx sequence here.

    Examples
    --------
    >>> batch = Batch((Message(data=1), Message(data=2)))
    >>> len(batch), [message.data for message in batch]
    (2, [1, 2])
    """

    held: Sequence[Message]
    """Its messages, not to be changed; those that are as they entered are made when somebody looks."""
    marker: Marker | None = None

    def with_messages(self, messages: Sequence[Message]) -> Batch:
        """Return a batch of other messages, before the same marker."""
        return Batch(messages, self.marker)

    @property
    def messages(self) -> tuple[Message, ...]:
        """Its messages."""
        return tuple(self.held)

    @property
    def nbytes(self) -> int:
        """Bytes of all its messages."""
        return sum(message.nbytes for message in self.held)

    def __len__(self) -> int:
        return len(self.held)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.held)


def leaves(message: Message) -> Iterator[Message]:
    """Yield what `message` was combined of, at any depth, each with its failure; itself if it was not."""
    if not message.parts:
        yield message
        return
    for part in message.parts:
        failed = part if message.failure is None else part.replace(failure=message.failure)
        yield from leaves(failed)


def timestamp_of(message: Message) -> int:
    """Return the timestamp of the record of `message`, or when it was delivered, in milliseconds.

    Raises
    ------
    streamzarr.errors.TransformError
        It stands for records of several timestamps.
    """
    found: set[int] = set()
    for leaf in leaves(message):
        if leaf.run is not None:
            found.update(map(int, leaf.run.timestamps))
        else:
            found.add(leaf.first_seen if leaf.record is None else leaf.record.timestamp)
    if len(found) != 1:
        raise TransformError(
            f"{message!r} stands for records of {len(found)} timestamps, expected time= to say which counts"
        )
    return found.pop()


def letters_of(message: Message) -> Iterator[Message]:
    """Yield what is to be buried for a failed message: itself, or one for each record of its run."""
    if message.run is None:
        yield message
        return
    for record in message.run.records():
        yield message.replace(row=record, run=None, data=record.value, count=1)
