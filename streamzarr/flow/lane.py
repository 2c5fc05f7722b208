"""One running chain: what is in flight in it, its stages, and the thread that drives it.

Rx composes the operators; everything that Rx lacks is here. A :class:`Lane` is made when an observable is
subscribed to and travels with each batch, so operators find their chain without being told.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from streamzarr.errors import ConfigError
from streamzarr.flow.clock import MONOTONIC, Bell, Clock
from streamzarr.flow.demand import Credits
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.stage import Belongs, Stage
from streamzarr.flow.stop import Stop
from streamzarr.queue.base import TopicPartition
from streamzarr.queue.offsets import OffsetWindow

LONGEST_WAIT = 0.2
"""Seconds between two turns of an idle chain, at most: heartbeats and commits depend on it."""
JOIN_TIMEOUT = 30.0
"""Seconds to wait for running work when a chain breaks; it is not waited for after a drain's deadline."""


class Claim:
    """Our right to one partition, from its assignment until it is revoked or lost.

    The object itself is the epoch: a partition that comes back gets a new claim, so what was delivered under
    the old one can neither be committed nor hold back the new one. Owned by the chain's thread.
    """

    __slots__ = ("committed", "open", "ours", "partition", "window")

    def __init__(self, partition: TopicPartition | None = None, start: int | None = None) -> None:
        self.partition = partition
        self.window = OffsetWindow(start)
        self.open: dict[int, int] = {}  # messages in flight: seq -> bytes
        self.ours = True
        self.committed: int | None = None  # position stored for the group, as far as we know

    def deliver(self, message: Message) -> None:
        """Note that `message` is in flight."""
        self.open[message.seq] = message.nbytes
        if message.record is not None:
            offset = message.record.offset
            if self.window.watermark is None:
                self.committed = offset  # reading began here, so there is nothing to store yet
            self.window.deliver(offset)

    def release(self, message: Message, *, ack: bool) -> int:
        """Note that `message` is not in flight any more, and whether it is settled; return its bytes.

        Raises
        ------
        streamzarr.errors.ConfigError
            It is not in flight: it was settled twice, or copied.
        """
        try:
            nbytes = self.open.pop(message.seq)
        except KeyError:
            raise ConfigError(
                f"{message!r} is settled a second time: operators may not multiply messages"
            ) from None
        if ack and message.record is not None:
            self.window.ack(message.record.offset)
        return nbytes


@dataclass(slots=True)
class Tally:
    """What became of the messages of a chain.

    ``delivered`` is the sum of all others and of what is in flight.
    """

    delivered: int = 0
    ok: int = 0
    failed: int = 0
    """Settled with a failure; where they went is the sink's affair."""
    skipped: int = 0
    handed_back: int = 0
    """Not settled: their work had not begun, or their partition was lost. They will be delivered again."""
    left: int = 0
    """Not settled: their work had begun and did not end in time. They will be delivered again."""


class Lane:
    """The context of one running chain: credits, messages in flight, stages, the call to stop.

    Parameters
    ----------
    credits
        Bounds what is in flight.
    stops
        Any of them stops the chain; the earliest deadline counts.
    on_turn
        Called at every turn, at least five times a second: the place for a heartbeat.

    Notes
    -----
    Threads: owned by the one thread that drives the chain. Other threads may only call :meth:`cancel` and
    ring :attr:`bell`. Only :meth:`wait` and :meth:`drain` block.
    """

    def __init__(
        self,
        credits: Credits,  # noqa: A002 - the field's word; the builtin of this name is for the prompt
        *,
        stops: Sequence[Stop] = (),
        clock: Clock = MONOTONIC,
        on_turn: Callable[[], None] | None = None,
    ) -> None:
        self.credits = credits
        self.clock = clock
        self.bell = Bell()
        self.tally = Tally()
        self.seq = itertools.count(1)
        self.cancelled = False
        self._stops = tuple(stops)
        self._on_turn = on_turn
        self._stages: list[Stage] = []
        self._claims: list[Claim] = []

    def __enter__(self) -> Self:
        self.credits.subscribe(self.bell.ring)
        for stop in self._stops:
            stop.subscribe(self.bell.ring)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- messages ----------------------------------------------------------------------------------------

    def claim(self, partition: TopicPartition | None = None, start: int | None = None) -> Claim:
        """Return a new claim, to admit messages under; `start` is a position that is still to be stored."""
        self._claims = [claim for claim in self._claims if claim.ours or claim.open]
        claim = Claim(partition, start)
        self._claims.append(claim)
        return claim

    def admit(self, waiting: list[Message]) -> Batch | None:
        """Move messages from the front of `waiting` into the chain, as many as credit allows.

        Those whose claim has ended in the meantime are forgotten: they were never delivered.
        """
        waiting[:] = [message for message in waiting if _claim_of(message).ours]
        count = self.credits.take([message.nbytes for message in waiting])
        if count == 0:
            return None
        messages = tuple(waiting[:count])
        del waiting[:count]
        for message in messages:
            _claim_of(message).deliver(message)
        self.tally.delivered += count
        return Batch(messages, self)

    def settle(self, messages: Iterable[Message], *, skipped: bool = False) -> None:
        """Acknowledge `messages` and return their credit. For good: nothing is delivered again.

        Messages whose partition is not ours any more only return their credit; the new owner has them.
        """
        tally = self.tally
        count = nbytes = 0
        try:
            for message in messages:
                claim = _claim_of(message)
                nbytes += claim.release(message, ack=claim.ours)
                count += 1
                if not claim.ours:
                    tally.handed_back += 1
                elif skipped:
                    tally.skipped += 1
                elif message.failure is None:
                    tally.ok += 1
                else:
                    tally.failed += 1
        finally:
            if count:
                self.credits.settle(count, nbytes)

    def hand_back(self, messages: Sequence[Message]) -> None:
        """Return the credit of `messages` without acknowledging them: they will be delivered again."""
        if messages:
            nbytes = sum(_claim_of(message).release(message, ack=False) for message in messages)
            self.tally.handed_back += len(messages)
            self.credits.settle(len(messages), nbytes)

    @staticmethod
    def owns(message: Message) -> bool:
        """Tell whether `message` is still ours to settle."""
        return _claim_of(message).ours

    @property
    def in_flight(self) -> int:
        """Messages of this chain that are delivered and not settled."""
        return sum(len(claim.open) for claim in self._claims)

    # -- stages ------------------------------------------------------------------------------------------

    def join(self, stage: Stage) -> None:
        """Take part in the turns of this chain; upstream stages join before those downstream."""
        self._stages.append(stage)

    @property
    def working(self) -> int:
        """Messages that will move on by themselves."""
        return sum(stage.working for stage in self._stages)

    def turn(self) -> None:
        """Let every stage pass on what is ready, from upstream to downstream."""
        self.bell.wait(0.0)  # lowered before looking, so that what comes later rings again
        if self._on_turn is not None:
            self._on_turn()
        for stage in self._stages:
            if self.cancelled:
                return
            stage.turn()

    def flush(self) -> None:
        """Let go what waits for more messages, as far downstream as none is still to come."""
        for stage in self._stages:
            if self.cancelled:
                return
            if stage.waiting:
                stage.flush()
                self.bell.ring()  # whoever got it wants a turn
            if stage.working:
                return

    def withdraw(self, belongs: Belongs) -> None:
        """Hand back the messages that `belongs` picks and whose work has not begun.

        What waits for more messages is let go first, so that it is found where its work would begin.
        """
        for stage in self._stages:
            if stage.waiting:
                stage.flush()
                self.bell.ring()
            self.hand_back(stage.withdraw(belongs))

    def patience(self, limit: float) -> float:
        """Return for how many seconds nothing has to be done, at most `limit`."""
        if self.bell.rung:
            return 0.0
        limit = min(limit, LONGEST_WAIT)
        dues = [due for stage in self._stages if (due := stage.due()) is not None]
        return max(0.0, min(limit, min(dues) - self.clock.now())) if dues else limit

    def wait(self, limit: float) -> None:
        """Block until something has finished, a timer is due, or `limit` seconds have passed."""
        self.clock.wait(self.bell, self.patience(limit))

    def unstick(self) -> None:
        """Make sure that something will still happen: called when no message can enter.

        Raises
        ------
        streamzarr.errors.ConfigError
            Messages are in flight that no stage holds, so their credit will never return.
        """
        if self.working:
            return
        if any(stage.waiting for stage in self._stages):
            self.flush()
        elif self.in_flight and not self.cancelled:
            raise ConfigError(
                f"{self.in_flight} messages left the chain without being settled: is ops.settle() missing, "
                "or did a stock operator drop them (use ops.drop_if, which settles)?"
            )

    # -- stopping ----------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """End the chain at its next turn, without settling anything; any thread may call it."""
        self.cancelled = True
        self.bell.ring()

    @property
    def stopping(self) -> bool:
        """True when the chain has been asked to stop."""
        return any(stop.requested for stop in self._stops)

    def remaining(self) -> float:
        """Return the seconds left for draining; infinity when no stop was asked for."""
        return min((stop.remaining() for stop in self._stops), default=float("inf"))

    def drain(
        self,
        claims: Sequence[Claim] | None,
        remaining: Callable[[], float],
        each_turn: Callable[[], None] | None = None,
    ) -> None:
        """Go on without new messages until nothing of `claims` (``None``: of any) is in flight.

        Returns early when ``remaining()`` seconds are 0, or when the chain is cancelled. Other claims' work
        goes on meanwhile.
        """
        while not self.cancelled:
            self.turn()
            if each_turn is not None:
                each_turn()
            if not any(claim.open for claim in (self._claims if claims is None else claims)):
                return
            self.flush()
            self.unstick()
            left = remaining()
            if left <= 0:
                return
            self.wait(left)

    def close(self) -> None:
        """End the stages' threads and return all credit; what is still in flight counts as left behind.

        Blocks while running work ends: not at all after a drain's deadline, else up to `JOIN_TIMEOUT`.
        """
        deadline = self.clock.now() + min(JOIN_TIMEOUT, self.remaining())
        for stage in self._stages:
            stage.close(max(0.0, deadline - self.clock.now()))
        self._stages.clear()
        for claim in self._claims:
            count, nbytes = len(claim.open), sum(claim.open.values())
            claim.open.clear()
            if count:
                self.tally.left += count
                self.credits.settle(count, nbytes)
        self.credits.unsubscribe(self.bell.ring)
        for stop in self._stops:
            stop.unsubscribe(self.bell.ring)


def _claim_of(message: Message) -> Claim:
    if message.claim is None:
        raise ConfigError(f"{message!r} was made by hand: operators may only change messages they were given")
    return message.claim
