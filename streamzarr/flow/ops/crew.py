"""The workers of a dispatch: threads that take items from a schedule, and bring back results."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from streamzarr.errors import StreamzarrError, describe
from streamzarr.flow.chain import Chain
from streamzarr.flow.dispatch.base import Sent
from streamzarr.flow.dispatch.workers import Workers
from streamzarr.flow.message import Message
from streamzarr.flow.ops.schedule import Item, Schedule
from streamzarr.flow.stage import Belongs

_log = logging.getLogger(__name__)

_LONG: Final = 3600.0
"""Seconds that an idle worker waits before it looks again; nothing depends on it."""
KILLED_TIMEOUT: Final = 10.0
"""Seconds for a thread to notice that the process it waits for was killed."""


class Callee(Protocol):
    """What a worker calls; owned by its thread, which may block in it."""

    def __call__(self, data: Any) -> Any:
        """Return the result, or raise."""

    def kill(self) -> bool:
        """End a call that runs, if that can be done, and say whether it can; any thread may call it."""

    def close(self) -> None:
        """End what it needs; nothing runs."""


Attempt = Callable[[Callee, Message], tuple[Message, float | None]]
"""Return the message as it is after one attempt, and the seconds until it shall be tried again, if so."""


class _Worker:
    def __init__(self, number: int, crew: Crew) -> None:
        runtime, name = crew.chain.runtime, f"streamzarr-{crew.name}-{number}"
        self.number = number
        self.callee = crew.hire(name)
        self.bell = runtime.bell()
        self.inbox: deque[Item] = deque()
        self.leaving = False
        self.thread = runtime.thread(lambda: crew.serve(self), name)


class Crew:
    """Workers, as many as `size` says, between two turns of a chain.

    Threads: the schedule, `_workers`, and the workers' inboxes and `leaving` are changed under `_lock`;
    `_done` and `_broken` go one way, from the workers to the chain. Public methods are the chain's, but for
    :meth:`serve`, which is the workers'; only :meth:`close` blocks.

    Waking: a worker asks the schedule for an item each time it has none and waits on its own bell. Whoever
    makes the schedule let go items puts them into the inboxes of their workers and rings.
    """

    def __init__(
        self,
        chain: Chain,
        name: str,
        schedule: Schedule,
        size: Workers,
        hire: Callable[[str], Callee],
        attempt: Attempt,
    ) -> None:
        self.chain, self.name, self.hire = chain, name, hire
        self._schedule, self._size, self._attempt = schedule, size, attempt
        self._lock = chain.runtime.lock()
        self._numbers = itertools.count()
        self._workers: dict[int, _Worker] = {}
        self._threads: list[_Worker] = []  # with those that leave
        self._done: deque[Item] = deque()
        self._broken: BaseException | None = None

    # -- on the chain's thread ---------------------------------------------------------------------------

    def add(self, items: Sequence[Item]) -> None:
        """Work on `items`. The first ones start the workers: a chain with nothing to do has no threads."""
        if not self._threads:
            self._size.subscribe(self.chain.bell.ring)
        self._resize()
        with self._lock:
            self._hand_out(self._schedule.add(items))

    def collect(self) -> list[Item]:
        """Return the items that have ended; start others that are due, and as many workers as there shall be.

        Raises
        ------
        streamzarr.errors.StreamzarrError
            A worker has failed, not a message.
        """
        if self._broken is not None:
            what = describe(self._broken)
            raise StreamzarrError(f"{self.name}: a worker thread ended with {what}") from self._broken
        if self._threads:
            self._resize()
            due = self._schedule.next_due()
            if due is not None and due <= (now := self.chain.runtime.now()):
                with self._lock:
                    self._hand_out(self._schedule.wake(now))
        return [self._done.popleft() for _ in range(len(self._done))]

    def due(self) -> float | None:
        """Return when :meth:`collect` is wanted next."""
        return self._schedule.next_due()

    def withdraw(self, belongs: Belongs) -> list[Item]:
        """Give up the items that `belongs` picks and that no worker has."""
        with self._lock:
            withdrawn, sent = self._schedule.withdraw(belongs)
            self._hand_out(sent)
        return withdrawn

    def close(self, timeout: float) -> None:
        """End the workers within `timeout` seconds; what does not end by then is killed, or left behind."""
        self._size.unsubscribe(self.chain.bell.ring)
        self._let_go(0)
        runtime = self.chain.runtime
        deadline = runtime.now() + timeout
        while (running := self._schedule.running) and (left := deadline - runtime.now()) > 0:
            self.chain.bell.wait(left)
        ends = True
        if running:
            _log.warning("%s: %d messages still at work at the end are left", self.name, running)
            for worker in self._threads:
                ends = worker.callee.kill() and ends
        for worker in self._threads if ends else ():
            worker.thread.join(KILLED_TIMEOUT)

    def _resize(self) -> None:
        """Start workers that are missing, and let go those that are too many.

        Of a crew that works, as many are started as the machine lets us.
        """
        wanted, at_work = self._size.size, bool(self._workers)
        if wanted == len(self._workers):
            return
        self._threads = [worker for worker in self._threads if worker.thread.is_alive()]
        self._let_go(wanted)
        while len(self._workers) < wanted:
            worker = _Worker(next(self._numbers), self)
            with self._lock:  # which its thread asks for first: one that cannot start takes no part
                try:
                    worker.thread.start()
                except RuntimeError as error:
                    worker.callee.close()
                    if not at_work:
                        raise
                    _log.error("%s: %d workers, not %d: %s", self.name, len(self._workers), wanted, error)
                    self._size.resize(len(self._workers))
                    return
                self._threads.append(worker)
                self._workers[worker.number] = worker
                self._schedule.join(worker.number)

    def _let_go(self, left: int) -> None:
        """Have all workers but `left` end; they end what they have first."""
        with self._lock:
            while len(self._workers) > left:
                _, worker = self._workers.popitem()
                worker.leaving = True
                self._hand_out(self._schedule.leave(worker.number))
                worker.bell.ring()

    # -- under the lock ----------------------------------------------------------------------------------

    def _hand_out(self, sent: Sent[Item], awake: _Worker | None = None) -> None:
        for number, items in sent:
            worker = self._workers[number]  # type: ignore[index]  # the consumers are our numbers
            worker.inbox.extend(items)
            if worker is not awake:
                worker.bell.ring()

    # -- on the worker threads ---------------------------------------------------------------------------

    def serve(self, worker: _Worker) -> None:
        """Work until there is nothing more to do for `worker`."""
        item = None
        try:
            item = self._next(worker)
            while item is not None:
                message, delay = self._attempt(worker.callee, item.message)
                item = self._next(worker, (item, message, delay))
        except BaseException as error:  # noqa: BLE001 - raised on the chain's thread, by collect()
            self._broken = error
            with self._lock:
                self._schedule.lose(item)
        finally:
            worker.callee.close()
            self.chain.bell.ring()

    def _next(
        self, worker: _Worker, attempted: tuple[Item, Message, float | None] | None = None
    ) -> Item | None:
        """Give back what was attempted, ended or to be tried again, and wait for an item; ``None``: end."""
        with self._lock:
            if attempted is not None:
                self._give_back(worker, *attempted)
            if not worker.leaving:
                self._hand_out(self._schedule.ask(worker.number), worker)
        if attempted is not None:
            self.chain.bell.ring()
        inbox = worker.inbox
        while not inbox:
            if worker.leaving:  # from then on nothing is put into the inbox
                return inbox.popleft() if inbox else None
            worker.bell.wait(_LONG)
        return inbox.popleft()

    def _give_back(self, worker: _Worker, item: Item, message: Message, delay: float | None) -> None:
        if delay is None:
            sent = self._schedule.finish(worker.number, item)  # by the key of what came, not of the result
            item.message = message
            self._done.append(item)
            self._hand_out(sent, worker)
        else:
            item.message = message
            self._schedule.put_off(worker.number, item, self.chain.runtime.now() + delay)
