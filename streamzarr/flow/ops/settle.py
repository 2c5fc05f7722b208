"""The end of a chain: results are stored, then credit returns and offsets are released."""

from __future__ import annotations

import heapq
import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from reactivex.abc import ObserverBase

from streamzarr.errors import ConfigError, StoreError, describe, is_interrupt
from streamzarr.flow.arguments import checked, function, instance, optional, seconds, text
from streamzarr.flow.chain import Chain, claim_of
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.lazy import LazyMessages, together
from streamzarr.flow.limit import DeadLetterLimit
from streamzarr.flow.message import Batch, Marker, Message, leaves, letters_of
from streamzarr.flow.ops.behind import Behind
from streamzarr.flow.ops.gate import Gate, pause
from streamzarr.flow.pausing import Pause
from streamzarr.flow.stage import Stage
from streamzarr.queue.outage import Contact
from streamzarr.queue.retry import OUTAGE_RETRY, RetryPolicy, is_transient

_failure = attrgetter("failure")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """A message is stored, durably."""


@checked("ops.Failed", error=instance(BaseException, "an exception"))
@dataclass(frozen=True, slots=True)
class Failed:
    """A message cannot be stored, ever."""

    error: BaseException


@checked("ops.Again", after=seconds())
@dataclass(frozen=True, slots=True)
class Again:
    """A message shall be given to the sink again, after some seconds."""

    after: float = 0.0


DONE = Done()
Report: TypeAlias = Done | Failed | Again | Pause
"""What a sink says of one message."""

Sink: TypeAlias = Callable[[Sequence[Message]], Sequence[Report] | None]
"""Stores messages, and reports on each of them in their order; ``None``: all are done.

A :class:`~streamzarr.flow.Pause` says that what it needs is not there: the message is handed back, and
delivered again when its partition goes on."""


@checked(
    "ops.settle",
    sink=optional(function),
    dead_letters=optional(function),
    limit=optional(instance(DeadLetterLimit, "a DeadLetterLimit, e.g. DeadLetterLimit(in_a_row=10)")),
    retry=instance(RetryPolicy, "a RetryPolicy, e.g. RetryPolicy(attempts=5)"),
    is_transient=function,
    contact=optional(instance(Contact, "the contact of a broker, e.g. broker.contact")),
    target=optional(instance(Contact, "the contact of a store, e.g. Contact(store.url)")),
    stage=text,
)
def settle(
    sink: Sink | None = None,
    *,
    dead_letters: Sink | None = None,
    limit: DeadLetterLimit | None = None,
    retry: RetryPolicy = OUTAGE_RETRY,
    is_transient: Callable[[BaseException], bool] = is_transient,
    contact: Contact | None = None,
    target: Contact | None = None,
    stage: str = "settle",
) -> Operator:
    """End the chain: give finished messages to `sink`; what it reports as done is settled.

    Only then does their credit return and may their offsets be committed. The settled batches go on
    downstream, to be watched.

    Parameters
    ----------
    sink
        Called on the chain's thread with all messages that have finished since the last call, ok and failed.
        What it stores must be durable when it returns. It may see a message again after a crash or after its
        own error. It reports each message: done, failed for good, or again; ``None`` says that all are done.
    dead_letters
        Gets the failed messages instead, those that `sink` reported as failed included. Of a record that was
        split only the first failed piece, of a combined message each record that it was made of, of a run
        each of its records. Without it
        `sink` gets them; a message that it reports as failed is given to it again, with that failure.
    limit
        How many of a partition's messages may become dead letters before it pauses. Nothing is lost by that:
        what failed beyond the limit, or for want of a store, a broker or a password, is handed back and
        delivered again (:class:`~streamzarr.flow.DeadLetterLimit`). Of sources that are no topics, the chain
        breaks instead.
    retry
        How to go on after a transient error of a sink: the same messages again, in the same order, while
        their offsets and credit are held. Messages of a partition that is lost meanwhile are left out.
    is_transient
        Tells which errors are. Any other error, and the last attempt's, break the chain.
    contact
        Of the broker that the sink writes to: it says, in few lines, when that is away. Without it each retry
        is logged.
    target
        The same, of a store that the sink writes to.
    stage
        Its name in the failures that the sink reports.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> def store(messages):
    ...     print([message.data for message in messages])
    >>> run(from_iterable("abcd", Demand(2, min_demand=0)).pipe(ops.settle(store))).ok
    ['a', 'b']
    ['c', 'd']
    4

    A sink that refuses one message and keeps the others:

    >>> from streamzarr.flow.ops.settle import DONE, Failed
    >>> def picky(messages):
    ...     return [Failed(ValueError("b")) if message.data == "b" else DONE for message in messages]
    >>> letters = []
    >>> run(from_iterable("abc", Demand(9)).pipe(ops.settle(picky, dead_letters=letters.extend)))
    RunReport(delivered=3, ok=2, failed=1, ...)
    >>> [(letter.data, letter.failure.stage) for letter in letters]
    [('b', 'settle')]
    """

    def make(chain: Chain, observer: ObserverBase[Batch]) -> Stage:
        if sink is None and dead_letters is None:
            return _Settle(chain, observer)
        gate = None if limit is None else Gate(limit)
        contacts = (contact, target)
        return _Sinking(chain, observer, sink, dead_letters, gate, retry, is_transient, contacts, stage)

    if limit is not None and dead_letters is None:
        raise ConfigError("ops.settle(limit=...) bounds dead letters: expected dead_letters= as well")

    return staged(make)


class _Settle(Stage):
    """Settles at once."""

    settles = True

    def receive(self, messages: Sequence[Message]) -> None:
        self.chain.settle(messages)
        self.emit(messages)


class _Sinking(Stage):
    """Settles what the sinks have taken; one call takes all that is ready (group commit)."""

    settles = True

    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        sink: Sink | None,
        dead_letters: Sink | None,
        gate: Gate | None,
        retry: RetryPolicy,
        is_transient: Callable[[BaseException], bool],
        contacts: tuple[Contact | None, Contact | None],
        stage: str,
    ) -> None:
        super().__init__(chain, observer)
        self._sink, self._dead_letters, self._gate = sink, dead_letters, gate
        self._retry, self._is_transient = retry, is_transient
        (self._broker, self._target), self._name = contacts, stage
        self._missed: set[Contact] = set()  # whom the sink could not reach, at its last calls
        self._ready: list[Sequence[Message]] = []  # for the sink
        self._given: Sequence[Message] = ()  # what the sink raised on: it gets the same again
        self._later: list[tuple[float, int, Message]] = []  # what the sink wants again: a heap by time
        self._numbers = itertools.count()
        self._failed: list[Message] = []  # for the gate
        self._letters: list[Message] = []  # for the dead letters
        self._behind = Behind()
        self._failures = 0
        self._retry_at: float | None = None

    def receive(self, messages: Sequence[Message]) -> None:
        if not _any_failed(messages):
            self._ready.append(messages)
            self._came(messages)
            return
        for has_failed, stretch in itertools.groupby(messages, key=_has_failed):
            coming = list(stretch)
            if has_failed:
                coming = [leaf for message in coming for leaf in leaves(message)]
                self._fail(coming)
            else:
                self._ready.append(coming)
            self._came(coming)

    def _came(self, messages: Sequence[Message]) -> None:
        self.working += len(messages)
        self._behind.came(messages)

    def _fail(self, messages: list[Message]) -> None:
        """Put failed messages where they wait, each of the records that one was combined of by itself."""
        if self._dead_letters is None:
            self._ready.append(messages)
        elif self._gate is not None:
            self._failed += messages
        else:
            self._letters += messages

    def mark(self, marker: Marker) -> None:
        self._behind.mark(marker, self.working)
        self.chain.bell.ring()

    def due(self) -> float | None:
        if self._retry_at is not None:
            return self._retry_at
        return self._later[0][0] if self._later else None

    def turn(self) -> None:
        self._store()
        for marker in self._behind.passing():
            self.emit_marker(marker)

    def _store(self) -> None:
        """Give the sinks what is ready."""
        if self._retry_at is not None:
            if self.chain.runtime.now() < self._retry_at:
                return
            self._retry_at = None
        while self._later and self._later[0][0] <= self.chain.runtime.now():
            self._ready.append([heapq.heappop(self._later)[2]])
        if self._letters and not self._attempt(self._bury, self._letters):
            return
        if self._gate is not None and not self._letters:
            self._gate.let_pause()
        if not self._given:
            self._given, self._ready = together(self._ready), []
        if self._given and not self._attempt(self._give, self._given):
            return
        if self._failed:
            self._judge(())
        if self._gate is not None and not self._letters:
            self._gate.let_pause()
        if self._ready or self._letters:
            self.chain.bell.ring()  # what the sink has just reported as failed

    def _attempt(self, store: Callable[[], None], what: Sequence[Message]) -> bool:
        """Call `store`; tell whether the sink went along, else it is called again later."""
        try:
            store()
        except BaseException as error:
            self._failures += 1
            delay = self._retry.delay(self._failures, self.chain.runtime.random())
            if delay is None or is_interrupt(error) or not self._is_transient(error):
                raise
            self._tell(error, f"storing {len(what)} results: {describe(error)}", delay)
            self._retry_at = self.chain.runtime.now() + delay
            return False
        self._failures = 0
        while self._missed:
            self._missed.pop().reached(self)
        return True

    def _give(self) -> None:
        """Give messages to the sink, and go by its reports."""
        given = self._given = self._ours(self._given)
        shown, hidden = _once_failed(given)
        reports = self._reports(self._sink, shown)
        self._given = ()
        if reports is None:
            self._judge(shown)
            self._done([*shown, *hidden] if hidden else shown)
            return
        done, again = [], []
        for message, report in zip(shown, reports, strict=True):
            match report:
                case Done():
                    done.append(message)
                case Failed(error):
                    if message.failure is not None:
                        raise ConfigError(
                            f"the sink cannot store {message!r} as failed either; expected dead_letters="
                        ) from error
                    found = list(leaves(message.fail(error, self._name, message.attempts + 1)))
                    self._fail(found)
                    self.working += len(found) - 1
                    self._behind.became(message, found)
                case Again(after):
                    again.append(message)
                    self._put_off(message, after)
                case Pause():
                    pause(message, report)
                    self._hand_back([message])
        if left := _settled_with(hidden, again, done):
            self._ready.append(left)
        self._judge(done)
        self._done(done)

    def _judge(self, done: Sequence[Message]) -> None:
        """Let failed messages become letters, as far as they may, beside those that are `done`."""
        if self._gate is not None:
            failed, self._failed = self._failed, []
            letters, back = self._gate.judge(done, failed)
            self._letters += letters
            self._hand_back([message for message, _ in back])

    def _hand_back(self, messages: Sequence[Message]) -> None:
        """Give messages up unsettled: their partitions pause, and deliver them again."""
        if messages:
            self._leave(messages)
            self.chain.hand_back(messages)
            self.chain.bell.ring()  # their source has something to do

    def _bury(self) -> None:
        """Give failed messages to the dead letters; those that it wants again it gets again."""
        letters = self._letters = list(self._ours(self._letters))
        shown, hidden = _once_failed(letters)
        again: list[Message] = []
        done: list[Message] = []
        owners = [(message, list(letters_of(message))) for message in shown]
        buried = [letter for _, found in owners for letter in found]
        reports = iter(self._reports(self._dead_letters, buried) or itertools.repeat(DONE))
        pause = 0.0
        for message, found in owners:
            said = list(itertools.islice(reports, len(found)))
            for report in said:
                if isinstance(report, Failed):
                    raise ConfigError(
                        f"the dead letters refused {message!r}, which must not be lost"
                    ) from report.error
            pauses = [report.after for report in said if isinstance(report, Again)]
            (again if pauses else done).append(message)
            pause = max(pause, *pauses, 0.0)
        self._letters = [*again, *_settled_with(hidden, again, done)]
        if self._letters:
            self._retry_at = self.chain.runtime.now() + pause
        self._done(done)

    def _reports(self, sink: Sink | None, messages: Sequence[Message]) -> Sequence[Report] | None:
        """Give `messages` to `sink`; return what it says of each, or None: all are done."""
        reports = sink(tuple(messages)) if messages and sink is not None else None
        if reports is None:
            return None
        said = list(reports) if isinstance(reports, Iterable) else reports
        if not isinstance(said, list) or not all(isinstance(each, Report) for each in said):
            raise ConfigError(
                f"the sink reported {reports!r}, expected ops.DONE, ops.Failed, ops.Again or a Pause for "
                "each message, or None for all"
            )
        if len(said) != len(messages):
            raise ConfigError(f"the sink reported on {len(said)} messages, expected {len(messages)} reports")
        return said

    def _put_off(self, message: Message, seconds: float) -> None:
        due = self.chain.runtime.now() + seconds
        heapq.heappush(self._later, (due, next(self._numbers), message))

    def _done(self, messages: Sequence[Message]) -> None:
        self._leave(messages)
        self.chain.settle(messages)
        self.emit(messages)

    def _ours(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages that are still ours to settle; the others only return their credit."""
        ours = self.chain.owned(messages)
        if len(ours) < len(messages):
            lost = [message for message in messages if not self.chain.owns(message)]
            self._leave(lost)
            self.chain.settle(lost)
        return ours

    def _leave(self, messages: Sequence[Message]) -> None:
        self.working -= len(messages)
        self._behind.left(messages)

    def _tell(self, error: BaseException, what: str, delay: float) -> None:
        contact = self._target if isinstance(error, StoreError | OSError) else self._broker
        if contact is not None:
            self._missed.add(contact)
            contact.failed(what, self)
        else:
            _log.warning("%s; again in %.1f s", what, delay)

    def close(self, timeout: float) -> None:
        self._ready, self._given, self._later = [], (), []
        self._failed, self._letters = [], []
        self._behind = Behind()
        self.working = 0
        for contact in self._missed:
            contact.gone(self)


def _has_failed(message: Message) -> bool:
    return message.failure is not None


def _any_failed(messages: Sequence[Message]) -> bool:
    return not isinstance(messages, LazyMessages) and any(map(_failure, messages))


def _once_failed(messages: Sequence[Message]) -> tuple[Sequence[Message], list[Message]]:
    """Return the messages to show, and failed pieces of records of which another piece is shown, or was."""
    if not _any_failed(messages):
        return messages, []
    shown: list[Message] = []
    hidden: list[Message] = []
    failed: set[tuple[int, int]] = set()
    for message in messages:
        if message.failure is not None:
            record = _record(message)
            if record in failed or claim_of(message).failed(message.seq):
                hidden.append(message)
                continue
            failed.add(record)
        shown.append(message)
    return shown, hidden


def _settled_with(hidden: list[Message], again: list[Message], done: list[Message]) -> list[Message]:
    """Put hidden pieces to `done`, but for those whose shown piece is not buried yet: return them."""
    open_ones = {_record(message) for message in again if message.failure is not None}
    done += [message for message in hidden if _record(message) not in open_ones]
    return [message for message in hidden if _record(message) in open_ones]


def _record(message: Message) -> tuple[int, int]:
    return id(claim_of(message)), message.seq
