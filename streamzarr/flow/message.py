"""What travels through a chain: messages, in batches. All values; no I/O, no threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from streamzarr.errors import ConfigError
from streamzarr.queue.base import Record

if TYPE_CHECKING:
    from streamzarr.flow.lane import Claim, Lane


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message failed for good."""

    stage: str
    error: BaseException
    attempts: int
    """How often `stage` tried it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One record, or item, on its way through a chain. Operators change `data` and make copies.

    Only `data` belongs to the user. The rest says where the message came from and lets the chain settle it,
    so a message that is dropped in silence is noticed (see :class:`streamzarr.flow.lane.Lane`).

    Examples
    --------
    >>> message = Message(data=b"21")
    >>> message.replace(data=int(message.data) * 2).data
    42
    >>> message.fail(ValueError("not a number"), stage="parse").failure
    Failure(stage='parse', error=ValueError('not a number'), attempts=1)
    """

    record: Record | None = None
    """The record of a topic that it came from; ``None`` when it came from elsewhere."""
    data: Any = None
    nbytes: int = 0
    """Bytes that it counts for, as long as it is in flight, whatever `data` becomes."""
    attempts: int = 0
    """How often ``ops.dispatch`` has tried it."""
    first_seen: int = 0
    """When it was delivered, milliseconds since the epoch."""
    failure: Failure | None = None
    seq: int = field(default=0, repr=False)
    """Its number among all messages of its chain, from 1."""
    claim: Claim | None = field(default=None, repr=False, compare=False)
    """Where it is settled: its partition, in one assignment. ``None`` when made by hand."""

    def replace(self, **changes: Any) -> Message:
        """Return a copy with other values in some fields."""
        return replace(self, **changes)

    def with_data(self, data: Any, attempts: int | None = None) -> Message:
        """Return a copy with other data. A fraction of the cost of :meth:`replace`, for the hot paths."""
        return new_message(
            self.record,
            data,
            self.nbytes,
            self.attempts if attempts is None else attempts,
            self.first_seen,
            self.failure,
            self.seq,
            self.claim,
        )

    def fail(self, error: BaseException, stage: str, attempts: int = 1) -> Message:
        """Return a copy that has failed for good: later operators pass it on untouched."""
        return replace(self, failure=Failure(stage, error, attempts))


# The __init__ of a frozen dataclass goes through object.__setattr__, which costs three times as much as the
# slots' own setters: 3 µs instead of 1 for a message, and each message is made anew by every operator.
_new = object.__new__
_set_record, _set_data, _set_nbytes, _set_attempts, _set_first_seen, _set_failure, _set_seq, _set_claim = (
    Message.__dict__[name].__set__
    for name in ("record", "data", "nbytes", "attempts", "first_seen", "failure", "seq", "claim")
)


def new_message(
    record: Record | None,
    data: Any,
    nbytes: int,
    attempts: int,
    first_seen: int,
    failure: Failure | None,
    seq: int,
    claim: Claim | None,
) -> Message:
    """Return ``Message(...)`` of the same arguments, faster."""
    message = _new(Message)
    _set_record(message, record)
    _set_data(message, data)
    _set_nbytes(message, nbytes)
    _set_attempts(message, attempts)
    _set_first_seen(message, first_seen)
    _set_failure(message, failure)
    _set_seq(message, seq)
    _set_claim(message, claim)
    return message


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that travel together: the item of every Rx sequence here.

    Examples
    --------
    >>> batch = Batch((Message(data=1), Message(data=2)))
    >>> len(batch), [message.data for message in batch]
    (2, [1, 2])
    """

    messages: tuple[Message, ...]
    lane: Lane | None = field(default=None, repr=False, compare=False)
    """The running chain that it travels in; ``None`` when made by hand."""

    def with_messages(self, messages: Sequence[Message]) -> Batch:
        """Return a batch of other messages in the same lane."""
        return Batch(tuple(messages), self.lane)

    @property
    def the_lane(self) -> Lane:
        """Its lane; raises :class:`streamzarr.errors.ConfigError` when it was made by hand."""
        if self.lane is None:
            raise ConfigError("this batch was not emitted by a source of streamzarr.flow")
        return self.lane

    @property
    def nbytes(self) -> int:
        """Bytes of all its messages."""
        return sum(message.nbytes for message in self.messages)

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)
