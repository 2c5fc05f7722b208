"""The items of one key in order and no more at once than the key's credit; keys side by side."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import checked, function, integer, optional
from streamzarr.flow.dispatch.base import Consumer, Dispatcher, Sent, T
from streamzarr.flow.dispatch.demand import withdraw_from


@checked("dispatch.by_key", key=function, n=optional(integer(1)), credit=integer(1))
def by_key(key: Callable[[Any], Hashable], n: int | None = None, *, credit: int = 1) -> Dispatcher[Any]:
    """Return a dispatcher that starts the items of one key in order, `credit` of them at a time.

    Any consumer may get them. A key waits for its own items only: however many of them are queued, another
    key's next item goes before the second one of this.

    Parameters
    ----------
    key
        Returns what to keep in order; with `n` a ``str``, ``bytes`` or ``int``.
    n
        Put the keys into so many partitions, by a hash that is the same on every machine, and go by these.
        ``None``: each key by itself.
    credit
        Items of one key that are sent and not done, at most. Above 1 they are sent in order, but may end in
        another.

    Raises
    ------
    streamzarr.errors.ConfigError
        `n` or `credit` is below 1.

    Examples
    --------
    >>> dispatcher = by_key(lambda item: item[0])
    >>> dispatcher.subscribe(1), dispatcher.ask(1, 10)
    (None, [])
    >>> dispatcher.dispatch(["a1", "a2", "b1"])
    [(1, ('a1',)), (1, ('b1',))]
    >>> dispatcher.done(1, "a1")
    [(1, ('a2',))]
    """
    if n is None:
        return _ByKey(key, credit)
    return _ByKey(lambda item: partition_of(key(item), n), credit)


def partition_of(key: Hashable, n: int) -> int:
    """Return the partition of `key`, 0 to ``n - 1``: the same one in every process.

    Raises
    ------
    streamzarr.errors.ConfigError
        A key that is neither ``str``, ``bytes`` nor ``int``.

    Examples
    --------
    >>> partition_of("EURUSD", 8), partition_of(b"EURUSD", 8), partition_of(11, 8)
    (3, 3, 3)
    """
    if isinstance(key, int):
        return key % n
    if isinstance(key, str):
        key = key.encode()
    if not isinstance(key, bytes):
        raise ConfigError(f"a key is {key!r}, expected str, bytes or int")
    return zlib.crc32(key) % n


@dataclass(slots=True)
class _Turn(Generic[T]):
    """The items of one key."""

    queue: deque[T] = field(default_factory=deque)
    away: int = 0
    """Items that are sent and not done."""
    listed: bool = False
    """It is among the keys whose next item may go."""


class _ByKey(Dispatcher[T]):
    """A queue for each key that has items, and the keys whose next item may go, in order of their turn."""

    def __init__(self, key: Callable[[T], Hashable], credit: int) -> None:
        super().__init__()
        self._key, self._credit = key, credit
        self._turns: dict[Hashable, _Turn[T]] = {}
        self._ready: deque[_Turn[T]] = deque()
        self._askers: deque[Consumer] = deque()  # in order of asking; left ones are passed over
        self._queued = 0

    def cancel(self, consumer: Consumer) -> Sent[T]:
        self._askers = deque(other for other in self._askers if other != consumer)
        return super().cancel(consumer)

    def ask(self, consumer: Consumer, count: int = 1) -> Sent[T]:
        if not self.demands[consumer] and count:
            self._askers.append(consumer)
        return super().ask(consumer, count)

    def check(self, item: T) -> None:
        hash(self._key(item))

    def dispatch(self, items: Sequence[T]) -> Sent[T]:
        for item in items:
            key = self._key(item)
            turn = self._turns.get(key)
            if turn is None:
                turn = self._turns[key] = _Turn()
            turn.queue.append(item)
            self._list(turn)
        self._queued += len(items)
        return self.serve()

    def done(self, consumer: Consumer, item: T) -> Sent[T]:
        key = self._key(item)
        turn = self._turns[key]
        turn.away -= 1
        if not turn.queue and not turn.away:
            del self._turns[key]
        self._list(turn)
        return self.serve()

    def retry(self, consumer: Consumer, item: T) -> Sent[T]:
        turn = self._turns[self._key(item)]
        turn.away -= 1
        turn.queue.appendleft(item)
        self._queued += 1
        self._list(turn)
        return self.serve()

    def _list(self, turn: _Turn[T]) -> None:
        if turn.queue and turn.away < self._credit and not turn.listed:
            turn.listed = True
            self._ready.append(turn)

    def serve(self) -> Sent[T]:
        sent: Sent[T] = []
        while self._ready and self._askers:
            turn = self._ready.popleft()
            turn.listed = False
            if not turn.queue:
                continue  # withdrawn
            turn.away += 1
            self._queued -= 1
            sent.append((self._next_asker(), (turn.queue.popleft(),)))
            self._list(turn)
        return sent

    def _next_asker(self) -> Consumer:
        consumer = self._askers.popleft()
        self.demands[consumer] -= 1
        if self.demands[consumer]:
            self._askers.append(consumer)
        return consumer

    @property
    def demand(self) -> int:
        return max(0, sum(self.demands.values()) - self._queued)

    @property
    def queued(self) -> int:
        return self._queued

    def withdraw(self, belongs: Callable[[T], bool]) -> list[T]:
        withdrawn: list[T] = []
        for key, turn in list(self._turns.items()):
            withdrawn += withdraw_from(turn.queue, belongs)
            if not turn.queue and not turn.away:
                del self._turns[key]
        self._queued -= len(withdrawn)
        return withdrawn
