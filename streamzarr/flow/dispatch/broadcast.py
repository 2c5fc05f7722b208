"""Every consumer gets every item, or those it wants; the slowest one sets the pace."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import checked, function, optional
from streamzarr.flow.dispatch.base import Consumer, Dispatcher, Sent, T
from streamzarr.flow.dispatch.demand import withdraw_from


@checked("dispatch.broadcast", selector=optional(function))
def broadcast(selector: Callable[[Consumer, Any], bool] | None = None) -> Dispatcher[Any]:
    """Return a dispatcher that sends each item to all consumers.

    An item goes when all who get it have asked for it, so together they demand what the least of them does,
    and none falls behind the others by more than it has asked for.

    Parameters
    ----------
    selector
        Tells whether a consumer gets an item; ``None``: all do. What nobody wants is gone when its turn
        comes.

    Examples
    --------
    >>> dispatcher = broadcast()
    >>> dispatcher.subscribe("fast"), dispatcher.subscribe("slow")
    (None, None)
    >>> dispatcher.ask("fast", 10), dispatcher.ask("slow", 1), dispatcher.demand
    ([], [], 1)
    >>> dispatcher.dispatch([1, 2])
    [('fast', (1,)), ('slow', (1,))]
    >>> dispatcher.ask("slow")
    [('fast', (2,)), ('slow', (2,))]
    """
    return _Broadcast(selector or _everyone)


def _everyone(consumer: Consumer, item: object) -> bool:
    return True


class _Broadcast(Dispatcher[T]):
    """One queue, and for each consumer what it shall get once more."""

    def __init__(self, selector: Callable[[Consumer, T], bool]) -> None:
        super().__init__()
        self._selector = selector
        self._queue: deque[T] = deque()
        self._again: dict[Consumer, deque[T]] = {}

    def cancel(self, consumer: Consumer) -> Sent[T]:
        self._again.pop(consumer, None)
        super().cancel(consumer)
        return self.serve()  # the others may have waited for it alone

    def dispatch(self, items: Sequence[T]) -> Sent[T]:
        self._queue.extend(items)
        return self.serve()

    def retry(self, consumer: Consumer, item: T) -> Sent[T]:
        if consumer not in self.demands:
            raise ConfigError(f"{consumer!r} has left, so it cannot be sent {item!r} again")
        self._again.setdefault(consumer, deque()).append(item)
        return self.serve()

    def serve(self) -> Sent[T]:
        batches: dict[Consumer, list[T]] = {}
        for consumer, again in list(self._again.items()):
            while again and self.demands[consumer]:
                self._send(batches, consumer, again.popleft())
            if not again:
                del self._again[consumer]
        while self._queue and self.demands:
            takers = [consumer for consumer in self.demands if self._selector(consumer, self._queue[0])]
            if not all(self.demands[consumer] for consumer in takers):
                break
            item = self._queue.popleft()
            for consumer in takers:
                self._send(batches, consumer, item)
        return [(consumer, tuple(items)) for consumer, items in batches.items()]

    def _send(self, batches: dict[Consumer, list[T]], consumer: Consumer, item: T) -> None:
        self.demands[consumer] -= 1
        batches.setdefault(consumer, []).append(item)

    @property
    def demand(self) -> int:
        return max(0, min(self.demands.values(), default=0) - len(self._queue))

    @property
    def queued(self) -> int:
        return len(self._queue) + sum(len(again) for again in self._again.values())

    def withdraw(self, belongs: Callable[[T], bool]) -> list[T]:
        withdrawn = [item for again in self._again.values() for item in withdraw_from(again, belongs)]
        return withdrawn + withdraw_from(self._queue, belongs)
