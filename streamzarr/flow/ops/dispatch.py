"""The only place where a chain is concurrent: worker threads between two turns of the chain.

::

    chain's thread      receive ──► schedule ──► worker threads: fn(data) ──┐
                                       ▲   due again, after backoff ◄───────┤ transient error
    chain's thread      turn ◄──────── done ◄───────────────────────────────┘ result, or failed for good

The queue is bounded by the chain's demand, since a message keeps its credit until it is settled.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reactivex.abc import ObserverBase

from streamzarr.errors import ConfigError, StreamzarrError, describe
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Marker, Message
from streamzarr.flow.ops.schedule import Schedule
from streamzarr.flow.stage import Belongs, Stage
from streamzarr.queue.retry import RetryPolicy, is_transient
from streamzarr.runtime import Runtime

_log = logging.getLogger(__name__)


def dispatch(
    fn: Callable[[Any], Any],
    *,
    workers: int = 1,
    stage: str = "dispatch",
    retry: RetryPolicy | None = None,
    is_transient: Callable[[BaseException], bool] = is_transient,
) -> Operator:
    """Replace the data of each message by ``fn(data)``, computed in `workers` threads.

    Results come out as they finish, in batches of all that are ready; with one worker and without `retry`
    they keep their order.

    Parameters
    ----------
    fn
        Runs in a worker thread. An exception, of whatever class, fails this message only, or has it tried
        again.
    workers
        Threads; they live from the chain's first message to its end.
    stage
        Its name in failures, and of the threads.
    retry
        How often to try again after a transient error, and when. Waiting costs memory only: neither a thread
        nor the partition is held up, just the commit of its offset. ``None``: never.
    is_transient
        Tells which errors are; the others fail the message at the first attempt.

    Raises
    ------
    streamzarr.errors.ConfigError
        `workers` is below 1.

    Notes
    -----
    Stopping: queued messages and those that wait for another attempt are handed back; running ones end. If
    they do not end within the deadline their threads are left behind as daemons and their results ignored.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> results = []
    >>> chain = from_iterable(range(100), Demand(16)).pipe(
    ...     ops.dispatch(lambda number: number * number, workers=4),
    ...     ops.settle(results.extend),
    ... )
    >>> run(chain).ok, sum(message.data for message in results)
    (100, 328350)
    """
    if workers < 1:
        raise ConfigError(f"ops.dispatch(workers={workers}): expected at least 1")
    work = _Work(fn, stage, retry, is_transient)
    return staged(lambda chain, observer: _Dispatch(chain, observer, work, workers))


@dataclass(frozen=True, slots=True)
class _Work:
    """One attempt at one message, and what its error means."""

    fn: Callable[[Any], Any]
    stage: str
    retry: RetryPolicy | None
    is_transient: Callable[[BaseException], bool]

    def attempt(self, message: Message, runtime: Runtime) -> tuple[Message, float | None]:
        """Return the message as it is now, and the seconds until it shall be tried again, if it shall."""
        attempts = message.attempts + 1
        try:
            return message.replace(data=self.fn(message.data), attempts=attempts), None
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class (design §7 rule 6)
            return self._judge(message.replace(attempts=attempts), error, runtime.random())

    def _judge(self, message: Message, error: BaseException, chance: float) -> tuple[Message, float | None]:
        delay = None
        if self.retry is not None and self.is_transient(error):
            delay = self.retry.delay(message.attempts, chance)
        if delay is None:
            return message.fail(error, self.stage, message.attempts), None
        _log.info(
            "%s: attempt %d failed, again in %.1f s: %s", self.stage, message.attempts, delay, describe(error)
        )
        return message, delay


class _Dispatch(Stage):
    """A schedule between the chain's thread and the workers'.

    Threads: `_schedule` and `_closing` are guarded by `_changed`; `_done` and `_broken` go one way, from the
    workers to the chain; the rest is the chain's.

    Waking: at least one idle worker always knows the queue as it is. Whoever changes the queue wakes one,
    who either takes a message, and wakes the next if more are queued, or waits until the earliest is due. A
    worker that has finished looks at the queue by itself.
    """

    def __init__(self, chain: Chain, observer: ObserverBase[Batch], work: _Work, workers: int) -> None:
        super().__init__(chain, observer)
        self._work = work
        self._changed = chain.runtime.condition()
        self._schedule = Schedule()
        self._done: deque[Message] = deque()  # appended to by workers, popped by the chain
        self._broken: BaseException | None = None
        self._closing = False
        self._threads = [
            chain.runtime.thread(self._serve, f"streamzarr-{work.stage}-{number}")
            for number in range(workers)
        ]
        self._started = False
        self._begun = 0  # messages given to the workers and not passed on
        self._behind: deque[tuple[Message, ...] | Marker] = deque()  # a marker first, and what came after it

    # -- on the chain's thread ---------------------------------------------------------------------------

    def receive(self, messages: tuple[Message, ...]) -> None:
        self.working += sum(message.failure is None for message in messages)
        if self._behind:
            self._behind.append(messages)
        else:
            self._begin(messages)

    def mark(self, marker: Marker) -> None:
        self._behind.append(marker)
        self._catch_up()

    def _begin(self, messages: tuple[Message, ...]) -> None:
        if not self._started:  # here, not when connected: a chain that is never driven has no threads
            self._started = True
            for thread in self._threads:
                thread.start()
        ready = [message for message in messages if message.failure is None]
        if ready:
            self._begun += len(ready)
            with self._changed:
                for message in ready:
                    self._schedule.add(message)
                self._changed.notify()
        if len(ready) < len(messages):
            self.emit([message for message in messages if message.failure is not None])

    def turn(self) -> None:
        if self._broken is not None:
            what = describe(self._broken)
            raise StreamzarrError(f"{self._work.stage}: a worker thread ended with {what}") from self._broken
        done = [self._done.popleft() for _ in range(len(self._done))]
        self.working -= len(done)
        self._begun -= len(done)
        self.emit(done)
        self._catch_up()

    def _catch_up(self) -> None:
        """Pass on markers that nothing is at work before, and begin with what came behind them."""
        while self._behind:
            first = self._behind[0]
            if isinstance(first, tuple):
                self._begin(first)
            elif self._begun == 0:
                self.emit_marker(first)
            else:
                return
            self._behind.popleft()

    def withdraw(self, belongs: Belongs) -> list[Message]:
        with self._changed:
            withdrawn = self._schedule.withdraw(belongs)
        self._begun -= len(withdrawn)
        for index, held in enumerate(self._behind):
            if isinstance(held, tuple):
                withdrawn += [message for message in held if belongs(message)]
                self._behind[index] = tuple(message for message in held if not belongs(message))
        self.working -= sum(message.failure is None for message in withdrawn)
        return withdrawn

    def close(self, timeout: float) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            idle = self._changed.wait_for(lambda: not self._schedule.running, timeout)
            running = self._schedule.running
        if idle:
            for thread in self._threads if self._started else ():
                thread.join()
        else:
            _log.warning("%s: %d messages still at work at the end are left", self._work.stage, running)
        self.working = 0

    # -- on the worker threads ---------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            message = self._next()
            while message is not None:
                message, delay = self._work.attempt(message, self.chain.runtime)
                if delay is None:
                    self._done.append(message)
                    self.chain.bell.ring()
                    message = self._next(ended=True)
                else:
                    message = self._next(ended=True, again=message, delay=delay)
        except BaseException as error:  # noqa: BLE001 - raised on the chain's thread, by turn()
            self._broken = error
            self.chain.bell.ring()
            self._next(ended=True)

    def _next(
        self, *, ended: bool = False, again: Message | None = None, delay: float = 0.0
    ) -> Message | None:
        """Give back a message that ended, or shall be tried again, and wait for one; ``None``: no more."""
        now = self.chain.runtime.now()
        with self._changed:
            if again is not None:
                self._schedule.retry(again, now + delay)
            elif ended:
                self._schedule.finish()
            if self._closing:
                self._changed.notify_all()  # close() waits for the last one
            while not self._closing and self._broken is None:
                message = self._schedule.start(now)
                if message is not None:
                    if self._schedule.queued:
                        self._changed.notify()  # somebody else has to watch the queue and its times now
                    return message
                due = self._schedule.next_due()
                self._changed.wait(None if due is None else max(0.0, due - now))
                now = self.chain.runtime.now()
            return None
