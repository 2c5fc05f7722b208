"""Who has asked for most gets the next items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from streamzarr.flow.dispatch.base import Consumer, Dispatcher, Sent, T


def by_demand() -> Dispatcher[Any]:
    """Return a dispatcher that sends each item to one consumer: the one with the highest demand.

    Of several with the same, the one that was served the longest ago.

    Examples
    --------
    >>> dispatcher = by_demand()
    >>> dispatcher.subscribe("a"), dispatcher.subscribe("b")
    (None, None)
    >>> dispatcher.ask("a", 1), dispatcher.ask("b", 2)
    ([], [])
    >>> dispatcher.dispatch([1, 2, 3, 4, 5])
    [('b', (1, 2)), ('a', (3,))]
    >>> dispatcher.ask("a")
    [('a', (4,))]
    """
    return _ByDemand()


class _ByDemand(Dispatcher[T]):
    """One queue, and each consumer's demand."""

    def __init__(self) -> None:
        super().__init__()
        self._queue: deque[T] = deque()

    def dispatch(self, items: Sequence[T]) -> Sent[T]:
        self._queue.extend(items)
        return self.serve()

    def retry(self, consumer: Consumer, item: T) -> Sent[T]:
        self._queue.appendleft(item)
        return self.serve()

    def serve(self) -> Sent[T]:
        sent: Sent[T] = []
        queue, demands = self._queue, self.demands
        while queue and demands:
            consumer = max(demands, key=demands.__getitem__)
            count = min(demands[consumer], len(queue))
            if count == 0:
                break
            left = demands.pop(consumer) - count
            demands[consumer] = left  # behind the others that have asked for as much
            sent.append((consumer, tuple([queue.popleft() for _ in range(count)])))
        return sent

    @property
    def demand(self) -> int:
        return max(0, sum(self.demands.values()) - len(self._queue))

    @property
    def queued(self) -> int:
        return len(self._queue)

    def withdraw(self, belongs: Callable[[T], bool]) -> list[T]:
        return withdraw_from(self._queue, belongs)


def withdraw_from(queue: deque[T], belongs: Callable[[T], bool]) -> list[T]:
    """Take out of `queue` the items that `belongs` picks, in order."""
    withdrawn = [item for item in queue if belongs(item)]
    if withdrawn:
        kept = [item for item in queue if not belongs(item)]
        queue.clear()
        queue.extend(kept)
    return withdrawn
