"""Which message a dispatch starts next: pure decisions over explicit state, no threads, no clock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

from streamzarr.errors import ConfigError
from streamzarr.flow.dispatch.base import Consumer, Dispatcher, Sent
from streamzarr.flow.message import Message
from streamzarr.flow.stage import Belongs


class Item:
    """A message on its way through a dispatch; what a dispatcher deals out."""

    __slots__ = ("ended", "message", "running")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.running = False
        """A worker has it."""
        self.ended = False
        """No worker will have it any more; its `message` is the result."""


class Schedule:
    """Items that are queued, running, or put off until they are tried again.

    Not thread-safe: the dispatch calls it under its lock. Times are seconds of whatever clock the caller has.

    Examples
    --------
    >>> from streamzarr.flow.dispatch import by_demand
    >>> schedule = Schedule(by_demand())
    >>> schedule.join("worker"), schedule.add([Item(Message(data="a"))])
    (None, [])
    >>> [(worker, (item,))] = schedule.ask("worker")
    >>> schedule.put_off("worker", item, due=5.0), schedule.ask("worker"), schedule.wake(now=4.9)
    (None, [], [])
    >>> schedule.next_due(), schedule.wake(now=5.0) == [("worker", (item,))]
    (5.0, True)
    """

    def __init__(self, dispatcher: Dispatcher[Item]) -> None:
        self._dispatcher = dispatcher
        # A heap; the number keeps equal times in order.
        self._later: list[tuple[float, int, Consumer, Item]] = []
        self._numbers = itertools.count()
        self.running = 0
        """Items that workers have."""

    @property
    def queued(self) -> int:
        """Items that wait, for a worker or for their time."""
        return self._dispatcher.queued + len(self._later)

    def join(self, worker: Consumer) -> None:
        """Let `worker` take part."""
        self._dispatcher.subscribe(worker)

    def leave(self, worker: Consumer) -> Sent[Item]:
        """Give `worker` nothing more; it ends what it has."""
        return self._begin(self._dispatcher.cancel(worker))

    def ask(self, worker: Consumer) -> Sent[Item]:
        """Give `worker` one item, now or as soon as there is one."""
        return self._begin(self._dispatcher.ask(worker))

    def add(self, items: Sequence[Item]) -> Sent[Item]:
        """Queue items behind the others."""
        return self._begin(self._dispatcher.dispatch(items))

    def finish(self, worker: Consumer, item: Item) -> Sent[Item]:
        """Note that `worker` has ended an item for good."""
        self._stop(item)
        item.ended = True
        return self._begin(self._dispatcher.done(worker, item))

    def put_off(self, worker: Consumer, item: Item, due: float) -> None:
        """Note that `worker` is through with an item that shall be tried again at `due`."""
        self._stop(item)
        heapq.heappush(self._later, (due, next(self._numbers), worker, item))

    def lose(self, item: Item | None) -> None:
        """Forget that an item is running: its worker has failed."""
        if item is not None and item.running:
            self._stop(item)

    def wake(self, now: float) -> Sent[Item]:
        """Queue what is due again, before the others: it is the oldest, and its offset holds back commits."""
        due: list[tuple[Consumer, Item]] = []
        while self._later and self._later[0][0] <= now:
            due.append(heapq.heappop(self._later)[2:])
        sent: Sent[Item] = []
        for worker, item in reversed(due):  # each goes to the front
            sent += self._begin(self._dispatcher.retry(worker, item))
        return sent

    def next_due(self) -> float | None:
        """Return when the next item that was put off may start; ``None`` if there is none."""
        return self._later[0][0] if self._later else None

    def withdraw(self, belongs: Belongs) -> tuple[list[Item], Sent[Item]]:
        """Take out the items that `belongs` picks and that are not running; what they held up may go."""

        def picked(item: Item) -> bool:
            return belongs(item.message)

        later = [entry for entry in sorted(self._later) if picked(entry[3])]
        if later:
            self._later = [entry for entry in self._later if not picked(entry[3])]
            heapq.heapify(self._later)
        withdrawn = [entry[3] for entry in later] + self._dispatcher.withdraw(picked)
        sent: Sent[Item] = []
        for _, _, worker, item in later:
            sent += self._begin(self._dispatcher.done(worker, item))
        return withdrawn, sent

    def _begin(self, sent: Sent[Item]) -> Sent[Item]:
        begun = 0
        for _, items in sent:
            for item in items:
                if item.running:
                    raise ConfigError(f"{self._dispatcher!r} gave a message to several workers, expected one")
                item.running = True
                begun += 1
        self.running += begun
        return sent

    def _stop(self, item: Item) -> None:
        item.running = False
        self.running -= 1
