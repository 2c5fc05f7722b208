"""The only place where a chain is concurrent: workers between two turns of the chain.

::

    chain's thread      receive ──► schedule ──► workers: fn(data) ─────────┐
                                       ▲   due again, after backoff ◄───────┤ transient error
    chain's thread      turn ◄──────── done ◄───────────────────────────────┘ result, or failed for good

The queue is bounded by the chain's demand, since a message keeps its credit until it is settled.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from reactivex.abc import ObserverBase

from streamzarr.errors import ConfigError, ProcessDiedError, ProcessError, describe
from streamzarr.flow.arguments import (
    checked,
    either,
    flag,
    function,
    instance,
    integer,
    optional,
    shown,
    text,
)
from streamzarr.flow.chain import Chain
from streamzarr.flow.dispatch.base import Dispatcher
from streamzarr.flow.dispatch.demand import by_demand
from streamzarr.flow.dispatch.keys import by_key
from streamzarr.flow.dispatch.process import ChildProcess, import_path
from streamzarr.flow.dispatch.workers import Workers
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Marker, Message
from streamzarr.flow.ops.crew import Callee, Crew
from streamzarr.flow.ops.each import failed
from streamzarr.flow.ops.schedule import Item, Schedule
from streamzarr.flow.ops.spill import Spill, Spillway
from streamzarr.flow.stage import Belongs, Stage
from streamzarr.queue.retry import RetryPolicy, is_transient
from streamzarr.runtime import Runtime

_log = logging.getLogger(__name__)

By: TypeAlias = Literal["key"] | Callable[[], Dispatcher[Item]]


_workers = either(integer(1), instance(Workers, "Workers"))


def _by(value: object) -> str | None:
    fits = value == "key" or function(value) is None
    return None if fits else '"key", or what makes a Dispatcher, such as dispatch.by_demand'


@checked(
    "ops.dispatch",
    fn=function,
    workers=optional(_workers),
    processes=optional(_workers),
    ordered=flag,
    by=optional(_by),
    spill=optional(instance(Spill, 'a Spill, e.g. Spill("1GB")')),
    stage=text,
    retry=optional(instance(RetryPolicy, "a RetryPolicy, e.g. RetryPolicy(attempts=5)")),
    is_transient=function,
)
def dispatch(
    fn: Callable[[Any], Any],
    *,
    workers: int | Workers | None = None,
    processes: int | Workers | None = None,
    ordered: bool = False,
    by: By | None = None,
    spill: Spill | None = None,
    stage: str = "dispatch",
    retry: RetryPolicy | None = None,
    is_transient: Callable[[BaseException], bool] = is_transient,
) -> Operator:
    """Replace the data of each message by ``fn(data)``, computed by several workers.

    Results come out as they finish, in batches of all that are ready; with one worker and without `retry`
    they keep their order.

    Parameters
    ----------
    fn
        An exception, of whatever class, fails this message only, or has it tried again.
    workers
        Threads; 1 without `processes`. They live from the chain's first message to its end. A
        :class:`~streamzarr.flow.Workers` changes their number meanwhile.
    processes
        Processes instead, for functions that hold Python's lock. `fn` is found there by its import path, so
        it stands at the top of a module. Arrays and bytes go through shared memory. The message of a process
        that dies is tried again, or failed without `retry`, and the process is replaced.
    ordered
        Results leave in the order in which messages came; one that is not ready holds back those behind it.
    by
        ``"key"``: messages of one key (see :func:`partition_by`) one at a time, in order, also when tried
        again; different keys side by side. Or what makes a :class:`~streamzarr.flow.dispatch.Dispatcher`,
        whose items have the `message`. ``None``: whoever is free takes the next.
    spill
        With ``by="key"``: what a key has more of than its share waits on disk, so that it leaves credit to
        other keys. Without it a hot key waits in memory, and holds up the source when that is full.
    stage
        Its name in failures, and of the workers.
    retry
        How often to try again after a transient error, and when. Waiting costs memory only: neither a worker
        nor the partition is held up, just the commit of its offset. ``None``: never.
    is_transient
        Tells which errors are; the others fail the message at the first attempt. It belongs to the program
        around: if it raises, the chain breaks.

    Raises
    ------
    streamzarr.errors.ConfigError
        The number of workers is below 1, or the arguments do not go together.

    Notes
    -----
    Stopping: queued messages and those that wait for another attempt are handed back; running ones end. If
    they do not end within the deadline processes are killed, and threads left behind as daemons; the results
    are ignored.

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
    if workers is not None and processes is not None:
        raise ConfigError("ops.dispatch(workers=, processes=): expected one of them")
    if spill is not None and (by != "key" or ordered):
        raise ConfigError('ops.dispatch(spill=) is for by="key", where each key has an order of its own')
    given = workers if processes is None else processes
    size = 1 if given is None else given
    hire = _threads(fn) if processes is None else _processes(import_path(fn))
    work = _Work(stage, retry, is_transient)
    kind = _Kind(size, hire, _by_message_key if by == "key" else by or by_demand, ordered, spill)
    return staged(lambda chain, observer: _Dispatch(chain, observer, work, kind))


def _by_message_key() -> Dispatcher[Item]:
    return by_key(lambda item: item.message.key)


class _Inline:
    """A function that runs in the worker's own thread."""

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self._fn = fn

    def __call__(self, data: Any) -> Any:
        return self._fn(data)

    def kill(self) -> bool:
        return False  # a thread cannot be ended

    def close(self) -> None:
        pass


def _threads(fn: Callable[[Any], Any]) -> Callable[[str], Callee]:
    return lambda name: _Inline(fn)


def _processes(path: str) -> Callable[[str], Callee]:
    return lambda name: ChildProcess(path, name)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Who works, and in which order."""

    size: Workers | int
    hire: Callable[[str], Callee]
    by: Callable[[], Dispatcher[Item]]
    ordered: bool
    spill: Spill | None


@dataclass(frozen=True, slots=True)
class _Work:
    """One attempt at one message, and what its error means."""

    stage: str
    retry: RetryPolicy | None
    is_transient: Callable[[BaseException], bool]

    def attempt(self, call: Callee, message: Message, runtime: Runtime) -> tuple[Message, float | None]:
        """Return the message as it is now, and the seconds until it shall be tried again, if it shall."""
        attempts = message.attempts + 1
        try:
            return message.replace(data=call(message.data), attempts=attempts), None
        except ProcessError:
            raise  # the machine is at fault, not the message
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class (design §7 rule 6)
            return self._judge(message.replace(attempts=attempts), error, runtime.random())

    def _judge(self, message: Message, error: BaseException, chance: float) -> tuple[Message, float | None]:
        delay = None
        if self.retry is not None and (isinstance(error, ProcessDiedError) or self.is_transient(error)):
            delay = self.retry.delay(message.attempts, chance)
        if delay is None:
            return message.fail(error, self.stage, message.attempts), None
        _log.info(
            "%s: attempt %d failed, again in %.1f s: %s", self.stage, message.attempts, delay, describe(error)
        )
        return message, delay


class _Dispatch(Stage):
    """What the chain's thread does around a crew: order, markers, and the surplus of hot keys.

    A message is behind a marker, or spilled, or with the crew, or (ordered) ended behind one that is not.
    """

    def __init__(self, chain: Chain, observer: ObserverBase[Batch], work: _Work, kind: _Kind) -> None:
        super().__init__(chain, observer)
        dispatcher: object = kind.by()
        if not isinstance(dispatcher, Dispatcher):
            raise ConfigError(f"ops.dispatch: by made {shown(dispatcher)}, expected a dispatch.Dispatcher")
        self._check, self._name = dispatcher.check, work.stage
        self._crew = Crew(
            chain,
            work.stage,
            Schedule(dispatcher),
            kind.size if isinstance(kind.size, Workers) else Workers(kind.size, runtime=chain.runtime),
            kind.hire,
            lambda call, message: work.attempt(call, message, chain.runtime),
        )
        self._spillway = None if kind.spill is None else Spillway(chain, kind.spill, work.stage)
        self._order: deque[Item] | None = deque() if kind.ordered else None
        self._with_crew = 0
        self._behind: deque[Sequence[Message] | Marker] = deque()  # a marker first, and what came after it

    # -- coming ------------------------------------------------------------------------------------------

    def receive(self, messages: Sequence[Message]) -> None:
        if self._behind:
            self._behind.append(messages)
        else:
            self._enter(messages)
        self._count()

    def mark(self, marker: Marker) -> None:
        self._behind.append(marker)
        self._catch_up()
        self._count()

    def _enter(self, messages: Sequence[Message]) -> None:
        messages = [self._checked(message) for message in messages]
        if self._order is None:
            ready = [message for message in messages if message.failure is None]
            if len(ready) < len(messages):
                self.emit([message for message in messages if message.failure is not None])
            if self._spillway is not None:
                ready = self._spillway.admit(ready)
                self.emit(self._spillway.take_failed())
            self._begin([Item(message) for message in ready])
            return
        items = [Item(message) for message in messages]
        for item in items:
            item.ended = item.message.failure is not None
        self._order.extend(items)
        self._begin([item for item in items if not item.ended])
        self.emit(self._in_order(self._order))

    def _checked(self, message: Message) -> Message:
        if message.failure is None:
            try:
                self._check(Item(message))
            except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                return failed(message, error, self._name)
        return message

    def _begin(self, items: list[Item]) -> None:
        if items:
            self._with_crew += len(items)
            self._crew.add(items)

    # -- going -------------------------------------------------------------------------------------------

    def due(self) -> float | None:
        return self._crew.due()

    def turn(self) -> None:
        done = self._crew.collect()
        self._with_crew -= len(done)
        if self._spillway is not None:
            for item in done:
                self._spillway.leave(item.message)
        self.emit([item.message for item in done] if self._order is None else self._in_order(self._order))
        if self._spillway is not None:
            self._begin([Item(message) for message in self._spillway.resume(list(self._live_behind()))])
            self.emit(self._spillway.take_failed())
        self._catch_up()
        self._count()

    @staticmethod
    def _in_order(order: deque[Item]) -> list[Message]:
        """Take the items from the front that have ended."""
        ended = []
        while order and order[0].ended:
            ended.append(order.popleft().message)
        return ended

    def _catch_up(self) -> None:
        """Pass on markers that nothing is at work before, and begin with what came behind them."""
        while self._behind:
            first = self._behind[0]
            if isinstance(first, Sequence):
                self._enter(first)
            elif self._within == 0:
                self.emit_marker(first)
            else:
                return
            self._behind.popleft()

    @property
    def _within(self) -> int:
        """Messages that a marker has to wait for."""
        spilled = 0 if self._spillway is None else self._spillway.pending
        return spilled + (self._with_crew if self._order is None else len(self._order))

    def _live_behind(self) -> Iterator[Message]:
        """Yield the messages behind a marker that are to be worked on."""
        for held in self._behind:
            if isinstance(held, Sequence):
                yield from (message for message in held if message.failure is None)

    def _count(self) -> None:
        """Tell what is held. What is spilled moves when others of its key end, or else waits for credit."""
        held = self._within + sum(len(entry) for entry in self._behind if isinstance(entry, Sequence))
        self.working, self.waiting = (held, 0) if self._with_crew else (0, held)

    # -- stopping ----------------------------------------------------------------------------------------

    def withdraw(self, belongs: Belongs) -> list[Message]:
        items = self._crew.withdraw(belongs)
        self._with_crew -= len(items)
        withdrawn = [item.message for item in items]
        if self._order is not None:
            gone = set(map(id, items))
            self._order = deque(item for item in self._order if id(item) not in gone)
        if self._spillway is not None:
            for message in withdrawn:
                self._spillway.leave(message)
            withdrawn += self._spillway.withdraw(belongs)
        for index, held in enumerate(self._behind):
            if isinstance(held, Sequence):
                leaving = [message for message in held if belongs(message)]
                withdrawn += leaving if self._spillway is None else self._spillway.settle_loans(leaving)
                self._behind[index] = tuple(message for message in held if not belongs(message))
        self._count()
        return withdrawn

    def close(self, timeout: float) -> None:
        self._crew.close(timeout)
        if self._spillway is not None:
            self._spillway.close()
        self.working = self.waiting = 0
