"""The end of a chain whose results somebody reads in a loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from reactivex import Observable
from reactivex.abc import ObserverBase

from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import staged
from streamzarr.flow.message import Batch, Marker, Message
from streamzarr.flow.stage import Belongs, Stage

FULL = 1000
"""Results that are settled already and wait for their reader, above which nothing more enters the chain."""


def read_from(
    observable: Observable[Any], reading: list[Reading], notify: Callable[[], None]
) -> Observable[Batch]:
    """Return `observable` with a stage at its end, put into `reading`, that holds results for a reader."""

    def make(chain: Chain, observer: ObserverBase[Batch]) -> Stage:
        stage = Reading(chain, observer, notify)
        reading.append(stage)
        return stage

    return observable.pipe(staged(make))


class Reading(Stage):
    """Holds results until the reader has taken them, and settles those that the reader is done with.

    Threads: the reader calls :meth:`next`, :meth:`done` and :meth:`leave` on its own thread, the chain's
    thread does the rest; `_lock` guards what both change.
    """

    settles = reads = True

    def __init__(self, chain: Chain, observer: ObserverBase[Batch], notify: Callable[[], None]) -> None:
        super().__init__(chain, observer)
        self._notify = notify
        self._lock = chain.runtime.lock()
        self._results: deque[Message | Marker] = deque()
        self._done: deque[Message | Marker] = deque()
        self._in_hand: Message | None = None
        self._left = False
        self._refuses: Belongs = lambda message: False

    @property
    def _settled(self) -> bool:
        """True when all that comes is settled already."""
        return all(upstream.settled for upstream in self.above)

    # -- on the reader's thread --------------------------------------------------------------------------

    def next(self) -> Message | None:
        """Return the next result; ``None``: there is none just now."""
        with self._lock:
            while self._results:
                item = self._results.popleft()
                if isinstance(item, Message):
                    self._in_hand = item
                    return item
                self._done.append(item)
                self.chain.bell.ring()
        return None

    def done(self, message: Message) -> None:
        """Have `message` settled: the reader asks for the next one."""
        with self._lock:
            self._in_hand = None
            self._done.append(message)
        self.chain.bell.ring()

    def leave(self) -> None:
        """Take no more: what is not settled is handed back."""
        self._left = True
        self.chain.bell.ring()

    # -- on the chain's thread ---------------------------------------------------------------------------

    def receive(self, messages: Sequence[Message]) -> None:
        """Hold `messages` for the reader."""
        if not self._settled:
            refused = [message for message in messages if self._refuses(message)]
            self.chain.hand_back(refused)
            messages = tuple(message for message in messages if not self._refuses(message))
        self._put(messages)

    def mark(self, marker: Marker) -> None:
        """Hold `marker` until the reader is done with what came before it."""
        self._put([marker])

    def _put(self, items: Sequence[Message | Marker]) -> None:
        if items:
            with self._lock:
                self._results.extend(items)
                self.waiting += len(items)
                self.full = self._settled and len(self._results) >= FULL
            self._notify()

    def turn(self) -> None:
        """Settle what the reader is done with."""
        with self._lock:
            done, self._done = self._done, deque()
            self.full = self._settled and len(self._results) >= FULL
        self.waiting -= len(done)
        for item in done:
            if not isinstance(item, Message):
                self.emit_marker(item)
            elif not self._settled:
                self.chain.settle([item])

    def withdraw(self, belongs: Belongs) -> list[Message]:
        """Give up what is not read; what still comes of the same kind as well, since it may never be read."""
        self._refuses = belongs
        if self._settled:
            return []
        with self._lock:
            unread = list(self._results)
            withdrawn = [item for item in unread if isinstance(item, Message) and belongs(item)]
            kept = (item for item in unread if not isinstance(item, Message) or not belongs(item))
            self._results = deque(kept)
            self.waiting -= len(withdrawn)
            if self._left and self._in_hand is not None and belongs(self._in_hand):
                withdrawn.append(self._in_hand)
                self._in_hand = None
        return withdrawn

    def close(self, timeout: float) -> None:
        """Forget what is not read, unless it is settled already."""
        with self._lock:
            if not self._settled:
                self._results.clear()
            self._done.clear()
        self.waiting = 0
