"""The end of a chain: results are stored, then credit returns and offsets are released."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence

from reactivex.abc import ObserverBase

from streamzarr.errors import describe, is_interrupt
from streamzarr.flow.lane import Lane
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.stage import Operator, Stage, staged
from streamzarr.queue.outage import Contact
from streamzarr.queue.retry import RetryPolicy, is_transient

_log = logging.getLogger(__name__)

Sink = Callable[[Sequence[Message]], None]

SINK_RETRY = RetryPolicy(attempts=12, base=0.1, factor=2.0, max_delay=5.0)
"""About half a minute: long enough for a broker to restart, short enough for a supervisor to notice."""


def settle(
    sink: Sink | None = None,
    *,
    retry: RetryPolicy = SINK_RETRY,
    is_transient: Callable[[BaseException], bool] = is_transient,
    contact: Contact | None = None,
) -> Operator:
    """End the chain: give finished messages to `sink`; when it returns they are settled.

    Only then does their credit return and may their offsets be committed. The settled batches go on
    downstream, to be watched.

    Parameters
    ----------
    sink
        Called on the chain's thread with all messages that have finished since the last call, ok and failed.
        What it stores must be durable when it returns, above all the dead letters. It may see a message again
        after a crash or after its own error.
    retry
        How to go on after a transient error of the sink: the same messages again, in the same order, while
        their offsets and credit are held. Messages of a partition that is lost meanwhile are left out.
    is_transient
        Tells which errors are. Any other error, and the last attempt's, break the chain.
    contact
        Of the broker that the sink writes to: it says, in few lines, when that is away. Without it each retry
        is logged.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> def store(messages):
    ...     print([message.data for message in messages])
    >>> run(from_iterable("abcd", Demand(2, min_demand=0)).pipe(ops.settle(store))).ok
    ['a', 'b']
    ['c', 'd']
    4
    """

    def make(lane: Lane, observer: ObserverBase[Batch]) -> Stage:
        if sink is None:
            return _Settle(lane, observer)
        return _Sinking(lane, observer, sink, retry, is_transient, contact)

    return staged(make)


class _Settle(Stage):
    """Settles at once."""

    def receive(self, messages: tuple[Message, ...]) -> None:
        self.lane.settle(messages)
        self.emit(messages)


class _Sinking(Stage):
    """Settles what the sink has taken; one call takes all that is ready (group commit)."""

    def __init__(
        self,
        lane: Lane,
        observer: ObserverBase[Batch],
        sink: Sink,
        retry: RetryPolicy,
        is_transient: Callable[[BaseException], bool],
        contact: Contact | None,
    ) -> None:
        super().__init__(lane, observer)
        self._sink, self._retry, self._is_transient = sink, retry, is_transient
        self._contact = contact
        self._ready: list[Message] = []
        self._refused: list[Message] = []  # what the sink raised on: it gets the same again
        self._failures = 0
        self._retry_at: float | None = None

    def receive(self, messages: tuple[Message, ...]) -> None:
        self._ready.extend(messages)
        self.working += len(messages)

    def due(self) -> float | None:
        return self._retry_at

    def turn(self) -> None:
        if self._retry_at is not None and self.lane.clock.now() < self._retry_at:
            return
        if self._refused and not self._store(self._refused):
            return
        self._refused = []
        if self._ready:
            ready, self._ready = self._ready, []
            if not self._store(ready):
                self._refused = ready

    def _store(self, messages: list[Message]) -> bool:
        """Give `messages` to the sink and settle them; tell whether it took them."""
        owned = [message for message in messages if self.lane.owns(message)]
        if owned:
            try:
                self._sink(owned)
            except BaseException as error:
                self._failures += 1
                delay = self._retry.delay(self._failures, random.random())
                if delay is None or is_interrupt(error) or not self._is_transient(error):
                    raise
                self._tell(f"storing {len(owned)} results: {describe(error)}", delay)
                self._retry_at = self.lane.clock.now() + delay
                return False
        self._failures, self._retry_at = 0, None
        if owned and self._contact is not None:
            self._contact.reached()
        self.working -= len(messages)
        self.lane.settle(messages)  # those that are not ours only return their credit
        self.emit(owned)
        return True

    def _tell(self, what: str, delay: float) -> None:
        if self._contact is not None:
            self._contact.failed(what)
        else:
            _log.warning("%s; again in %.1f s", what, delay)

    def close(self, timeout: float) -> None:
        self._ready, self._refused, self.working = [], [], 0
