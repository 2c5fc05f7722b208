"""No faster than a rate: messages wait until their tokens are there."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from reactivex.abc import ObserverBase

from streamzarr.flow.arguments import checked, instance
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Marker, Message
from streamzarr.flow.rate import Rate
from streamzarr.flow.stage import Belongs, Stage


@checked("ops.rate_limit", rate=instance(Rate, "a Rate, e.g. Rate(messages=1_000)"))
def rate_limit(rate: Rate) -> Operator:
    """Pass on messages, in order, as fast as `rate` allows and no faster.

    What waits keeps its credit, so the source is slowed down and nothing is dropped. The rate holds in a
    drain as well: what has not passed by then is handed back. Failed messages take nothing of the rate.

    Parameters
    ----------
    rate
        In messages and bytes a second; it can be changed meanwhile, by any thread, and shared: all who use
        the same object keep the rate together. Batches of columns count for their records.

    Examples
    --------
    >>> from streamzarr.flow import Demand, Rate, from_iterable, ops, run
    >>> rate = Rate(messages=1_000)
    >>> report = run(from_iterable(range(200), Demand(50)).pipe(ops.rate_limit(rate), ops.settle()))
    >>> report.ok, report.seconds >= 0.1
    (200, True)
    """
    return staged(lambda chain, observer: _RateLimit(chain, observer, rate))


class _RateLimit(Stage):
    """A queue; markers wait in it for their turn."""

    def __init__(self, chain: Chain, observer: ObserverBase[Batch], rate: Rate) -> None:
        super().__init__(chain, observer)
        self._rate = rate
        self._queue: deque[Message | Marker] = deque()
        self._subscribed = False

    def receive(self, messages: Sequence[Message]) -> None:
        if not self._subscribed:
            self._subscribed = True
            self._rate.subscribe(self.chain.bell.ring)
        if not self._queue and self._rate.unlimited:
            self.emit(messages)
            return
        self._queue.extend(messages)
        self.working += len(messages)
        self.turn()

    def mark(self, marker: Marker) -> None:
        self._queue.append(marker)
        self.turn()

    def due(self) -> float | None:
        if not self._queue or not isinstance(first := self._queue[0], Message):
            return None
        return self._rate.due(first.count, first.nbytes, self.chain.runtime.now())

    def turn(self) -> None:
        now = self.chain.runtime.now()
        passed: list[Message] = []
        while self._queue:
            first = self._queue[0]
            if not isinstance(first, Message):
                self._pass_on(passed)
                passed = []
                self.emit_marker(first)
            elif first.failure is not None or self._rate.take(first.count, first.nbytes, now):
                passed.append(first)
            else:
                break
            self._queue.popleft()
        self._pass_on(passed)

    def _pass_on(self, messages: list[Message]) -> None:
        self.working -= len(messages)
        self.emit(messages)

    def withdraw(self, belongs: Belongs) -> list[Message]:
        withdrawn = [entry for entry in self._queue if isinstance(entry, Message) and belongs(entry)]
        if withdrawn:
            gone = set(map(id, withdrawn))
            self._queue = deque(entry for entry in self._queue if id(entry) not in gone)
            self.working -= len(withdrawn)
        return withdrawn

    def close(self, timeout: float) -> None:
        self._rate.unsubscribe(self.chain.bell.ring)
        self._queue.clear()
        self.working = 0
