"""Room on disk for what a key has more of than its share of memory, so that it does not hold up the others.

A source reads in the order of its log, whatever the keys. The surplus of a hot key would fill memory with
messages that wait for each other. So it goes into a :class:`~streamzarr.flow.spool.Spool`, its credit
returns, and other keys' messages can enter. It is not acknowledged, and it comes back in order.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import msgspec

from streamzarr.errors import ConfigError, TransformError
from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.arguments import checked, function, integer, location, nbytes, optional
from streamzarr.flow.chain import Chain, claim_of
from streamzarr.flow.message import Message
from streamzarr.flow.ops.each import failed
from streamzarr.flow.spool import Spool
from streamzarr.flow.stage import Belongs
from streamzarr.queue.base import Record


@checked(
    "Spill",
    max_bytes=nbytes,
    share=integer(1),
    directory=optional(location),
    encode=optional(function),
    decode=optional(function),
)
@dataclass(frozen=True, slots=True)
class Spill:
    """How ``ops.dispatch(by="key")`` puts the surplus of hot keys on disk.

    Raises
    ------
    streamzarr.errors.ConfigError
        `share` is below 1, or only one of `encode` and `decode` is given.
    """

    max_bytes: int | str = "1GB"
    """On disk, at most. At the bound messages stay in memory, and when that is full the source is held."""
    share: int = 16
    """Messages of one key in memory; further ones go to disk."""
    directory: str | None = None
    """Where; the system's directory for temporary files when absent."""
    encode: Callable[[Any], bytes] | None = None
    """Writes a message's data. Without it data that are neither ``bytes`` nor the record's own value stay in
    memory."""
    decode: Callable[[bytes], Any] | None = None
    """Reads what `encode` has written. An exception of either fails the message."""

    def __post_init__(self) -> None:
        if (self.encode is None) != (self.decode is None):
            raise ConfigError("Spill: one of encode and decode is missing, expected both, or neither")


class _Form(IntEnum):
    """What is written for a message's data."""

    VALUE = 0
    """Nothing: they are the value of the record."""
    BYTES = 1
    ENCODED = 2


class _Parked(msgspec.Struct, array_like=True):
    """A message as it is written."""

    seq: int
    nbytes: int
    charged: int
    """Bytes that it counted for, and will again."""
    attempts: int
    first_seen: int
    output: str
    record: Record | None
    form: _Form
    data: bytes | None


@dataclass(slots=True)
class _Key:
    memory: int = 0
    """Messages that have begun or may begin."""
    parked: dict[Claim, int] = field(default_factory=dict)
    """Messages on disk; the claim whose turn it is comes first."""
    held: deque[Message] = field(default_factory=deque)
    """Messages in memory behind the parked ones: they cannot be written, or there was no room."""

    @property
    def idle(self) -> bool:
        return not (self.memory or self.parked or self.held)


class Spillway:
    """What each key has in memory and on disk, in one running chain.

    Owned by the chain's thread; blocks for the disk. The messages of a key come back in order (those of
    several partitions each in their own).
    """

    def __init__(self, chain: Chain, spill: Spill, stage: str) -> None:
        self._chain, self._spill, self._stage = chain, spill, stage
        self._spool = Spool(spill.max_bytes, directory=spill.directory)
        self._decoder = msgspec.msgpack.Decoder(_Parked)
        self._keys: dict[Hashable, _Key] = {}
        self._short: dict[Hashable, None] = {}  # keys that have less in memory than their share
        self._lent: dict[int, int] = {}  # id of a held message without credit -> bytes that it counts for
        self._behind: Sequence[Message] = ()
        self._failed: list[Message] = []
        self.pending = 0
        """Messages that have come and may not begin yet."""

    def admit(self, messages: list[Message]) -> list[Message]:
        """Return those of `messages` that may begin now, and keep the others."""
        ready = []
        for message in messages:
            key = self._keys.get(message.key)
            if key is None:
                key = self._keys[message.key] = _Key()
            if id(message) in self._lent:
                self.pending += 1
                key.held.append(message)
                self._short[message.key] = None
                continue
            if key.memory < self._spill.share and not key.parked and not key.held:
                key.memory += 1
                ready.append(message)
                continue
            try:
                written = None if key.held else self._written(message)
            except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                self._failed.append(failed(message, error, self._stage))
                continue
            self.pending += 1
            if not self._park(key, message, written):
                key.held.append(message)
        return ready

    def leave(self, message: Message) -> None:
        """Note that a message that has begun is over."""
        key = self._keys[message.key]
        key.memory -= 1
        if key.idle:
            del self._keys[message.key]
        else:
            self._short[message.key] = None

    def resume(self, behind: Sequence[Message] = ()) -> list[Message]:
        """Return messages that may begin now: their key has room, and there is credit for them.

        `behind` are those that will be admitted when all these are over.
        """
        ready: list[Message] = []
        self._behind = behind
        for name in list(self._short):
            key = self._keys.get(name)
            while key is not None and key.memory < self._spill.share and (key.parked or key.held):
                message = self._unpark(name, key) if key.parked else self._unhold(key)
                if message is None:
                    break  # no credit: that of others has to return first, and then it is looked at again
                self.pending -= 1
                key.memory += 1
                if message.failure is None:
                    ready.append(message)
                else:
                    self._failed.append(message)
                    key.memory -= 1
            else:
                del self._short[name]
            if key is not None and key.idle:
                del self._keys[name]
        return ready

    def take_failed(self) -> list[Message]:
        """Return the messages that could not be written or read."""
        failed, self._failed = self._failed, []
        return failed

    def withdraw(self, belongs: Belongs) -> list[Message]:
        """Give up what `belongs` picks: what is in memory is returned, what is on disk handed back."""
        withdrawn: list[Message] = []
        for name, key in list(self._keys.items()):
            held = [message for message in key.held if belongs(message)]
            if held:
                key.held = deque(message for message in key.held if not belongs(message))
                self.pending -= len(held)
                withdrawn += self.settle_loans(held)
            for claim in [claim for claim in key.parked if belongs(Message(claim=claim))]:
                self._forget(name, claim, key.parked.pop(claim))
            if key.idle:
                del self._keys[name]
            else:
                self._short[name] = None
        return withdrawn

    def settle_loans(self, messages: Sequence[Message]) -> list[Message]:
        """Hand back those of `messages` that have lent their credit; return the others."""
        kept = []
        for message in messages:
            if self._lent.pop(id(message), None) is None:
                kept.append(message)
            else:
                self._chain.forget_parked(claim_of(message), 1)
        return kept

    def close(self) -> None:
        """Remove what is on disk."""
        self._spool.close()

    # -- disk --------------------------------------------------------------------------------------------

    def _park(self, key: _Key, message: Message, written: tuple[_Form, bytes | None] | None) -> bool:
        """Put a message on disk and let its data go; tell whether that was done."""
        charged = self._chain.parkable(message)
        if charged is None or written is None:
            return False
        parked = _Parked(
            seq=message.seq,
            nbytes=message.nbytes,
            charged=charged,
            attempts=message.attempts,
            first_seen=message.first_seen,
            output=message.output,
            record=message.record,
            form=written[0],
            data=written[1],
        )
        claim = claim_of(message)
        if not self._spool.append(msgspec.msgpack.encode(parked), (message.key, claim)):
            return False
        self._chain.park(message, charged)
        key.parked[claim] = key.parked.get(claim, 0) + 1
        return True

    def _written(self, message: Message) -> tuple[_Form, bytes | None] | None:
        """Return the data of a message as they are written; ``None``: they cannot be."""
        if message.record is not None and message.data is message.record.value:
            return _Form.VALUE, None
        if self._spill.encode is not None:
            data: Any = self._spill.encode(message.data)
            if not isinstance(data, bytes):
                what = type(data).__name__
                raise TransformError(f"{self._stage}: Spill(encode=) returned {what}, expected bytes")
            return _Form.ENCODED, data
        return (_Form.BYTES, message.data) if type(message.data) is bytes else None

    def _unpark(self, name: Hashable, key: _Key) -> Message | None:
        """Take back the next message of a key; ``None``: there is no credit for it."""
        claim, count = next(iter(key.parked.items()))
        written = self._spool.peek((name, claim))
        assert written is not None
        parked = self._decoder.decode(written)
        message = Message(
            row=parked.record,
            nbytes=parked.nbytes,
            attempts=parked.attempts,
            first_seen=parked.first_seen,
            key=name,
            output=parked.output,
            seq=parked.seq,
            claim=claim,
        )
        if not self._credited(key, message, parked.charged):
            return None
        self._spool.skip((name, claim))
        del key.parked[claim]
        if count > 1:
            key.parked[claim] = count - 1  # behind the other claims: it is their turn
        return self._with_data(message, parked)

    def _unhold(self, key: _Key) -> Message | None:
        """Take the first message held in memory; ``None``: it has lent its credit, and there is none."""
        message = key.held.popleft()
        charged = self._lent.pop(id(message), None)
        if charged is not None and not self._credited(key, message, charged):
            self._lent[id(message)] = charged
            key.held.appendleft(message)
            return None
        return message

    def _credited(self, key: _Key, message: Message, charged: int) -> bool:
        """Take credit for a message that returns, or else borrow it from the newest one that waits behind it.

        Those would keep it until this one is done, and wait for ever. Nor does credit come any more when it
        is closed: what the chain holds it ends.
        """
        if self._chain.unpark(message, charged):
            return True
        waiting = itertools.chain(reversed(self._behind), reversed(key.held))
        lender = next((other for other in waiting if id(other) not in self._lent), None)
        if lender is None and not claim_of(message).credits.closed:
            return False
        nbytes = None if lender is None else self._chain.parkable(lender)
        if lender is not None and nbytes is not None:
            self._lent[id(lender)] = nbytes
            self._chain.park(lender, nbytes)
        return self._chain.unpark(message, charged, forced=True)

    def _with_data(self, message: Message, parked: _Parked) -> Message:
        if parked.form is _Form.VALUE:
            assert message.record is not None
            return message.with_data(message.record.value)
        if parked.form is _Form.BYTES:
            return message.with_data(parked.data)
        assert self._spill.decode is not None
        assert parked.data is not None
        try:
            return message.with_data(self._spill.decode(parked.data))
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            return failed(message, error, self._stage)

    def _forget(self, name: Hashable, claim: Claim, count: int) -> None:
        self._spool.drop((name, claim))
        self._chain.forget_parked(claim, count)
        self.pending -= count
