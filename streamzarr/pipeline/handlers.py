"""The handlers of one pipeline, called as it promises: what fails is bisected, tried again, or held.

Workers call them from their threads; nothing here is kept between calls.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard

from streamzarr.errors import ConfigError, HandlerError, describe, is_interrupt
from streamzarr.flow.arguments import function, shown
from streamzarr.flow.message import Failure
from streamzarr.pipeline.batches import BatchInfo
from streamzarr.pipeline.bisect import Again, Outcome, Verdict, bisect
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.misfit import misfit
from streamzarr.pipeline.telemetry import Teller
from streamzarr.queue.retry import RetryPolicy, is_transient
from streamzarr.runtime import Runtime

if TYPE_CHECKING:
    from streamzarr.pipeline.pipeline import Pipeline

_log = logging.getLogger(__name__)

HANDLERS: Final = ("prepare_messages", "handle_message", "handle_batch", "handle_failed", "retryable")

HOLD: Final = RetryPolicy(attempts=sys.maxsize, base=0.1, max_delay=30.0)
"""When to call ``handle_failed`` again that has raised: always, until it does not."""

Ours: TypeAlias = Callable[[Sequence[Message]], Sequence[Message]]
"""Leaves out messages whose partition somebody else has by now."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How handlers are called."""

    batchers: tuple[str, ...]
    """Names of the batchers."""
    ordered: bool
    """The messages of one call of :meth:`Handlers.process` keep their order."""
    retry: RetryPolicy
    tiers: int = 0
    """Retry topics there are."""
    pauses_on: Callable[[BaseException], bool] | None = None
    """Tells errors that make a partition pause: a batch is not searched for whom to blame. ``None``: none."""


class Handlers:
    """Calls the handlers of a pipeline. Threads: any number of workers, each of which may block for long."""

    def __init__(self, pipeline: Pipeline, context: Any, rules: Rules, runtime: Runtime) -> None:
        self._pipeline, self._context = pipeline, context
        self._teller = Teller(type(pipeline).__name__, runtime)
        self._batchers, self._ordered, self._retry = rules.batchers, rules.ordered, rules.retry
        self._runtime, self._tiers, self._pauses_on = runtime, rules.tiers, rules.pauses_on

    @property
    def prepares(self) -> bool:
        """Whether the pipeline wants to see many messages at once before they are handled."""
        return self._pipeline.overrides("prepare_messages")

    def process(self, messages: Sequence[Message], ours: Ours) -> Outcome:
        """Prepare and handle messages; those that have failed before are left as they are."""
        outcome = Outcome([message for message in messages if message.failure is not None])
        live = ours([message for message in messages if message.failure is None])
        if self.prepares:
            before = {message.place: message for message in live}
            prepared = bisect(live, self._prepare, self._judge, "prepare_messages", ours)
            outcome.put_off(Again(prepared.again, prepared.after))
            live = [
                message.replace(attempts=before[message.place].attempts)  # those of handle_message count on
                for message in prepared.decided
                if message.failure is None
            ]
            outcome.decided += [message for message in prepared.decided if message.failure is not None]
        else:
            before = {}
        for number, message in enumerate(live):
            verdict = self._handle(message)
            if isinstance(verdict, Message):
                outcome.decided.append(verdict)
                continue
            rest = live[number:] if self._ordered else [message]
            tried = {each.place: each.attempts for each in verdict.messages}
            unprepared = [before.get(each.place, each) for each in rest]
            outcome.put_off(
                Again(
                    [each.replace(attempts=tried.get(each.place, each.attempts)) for each in unprepared],
                    verdict.after,
                )
            )
            if self._ordered:
                break
        return outcome

    def batch(self, name: str, messages: Sequence[Message], info: BatchInfo, ours: Ours) -> Outcome:
        """Handle a batch; the messages in it that have failed are left as they are."""
        live = [message for message in messages if message.failure is None]
        outcome = bisect(
            live, lambda group: self._handle_batch(name, group, info), self._judge, "handle_batch", ours
        )
        outcome.decided += [message for message in messages if message.failure is not None]
        return outcome

    # -- one handler each --------------------------------------------------------------------------------

    def _prepare(self, messages: Sequence[Message]) -> list[Message]:
        returned = self._pipeline.prepare_messages(messages, self._context)
        return _checked("prepare_messages", messages, returned)

    def _handle(self, message: Message) -> Message | Again:
        try:
            with self._teller.span("streamzarr.pipeline.processor.message", 1, messages=[message]):
                result: object = self._pipeline.handle_message(message, self._context)
            if not _is_message(result) or result.place != message.place:
                raise HandlerError(f"handle_message returned {shown(result)}, expected the message")
            if result is not message and (wrong := misfit(result)) is not None:
                raise ConfigError(f"handle_message returned a message whose {wrong}")
            if result.failure is not None:
                return _staged(result, "handle_message")
            if self._batchers and result.batcher not in self._batchers:
                known = ", ".join(map(repr, self._batchers))
                raise ConfigError(f"handle_message chose batcher {result.batcher!r}, expected one of {known}")
        except BaseException as error:
            if is_interrupt(error):
                raise
            verdict = self._judge(error, [message])
            if isinstance(verdict, Again):
                return verdict
            return message.fail(error, "handle_message")
        return result.replace(attempts=0) if result.attempts else result

    def _handle_batch(self, name: str, messages: Sequence[Message], info: BatchInfo) -> list[Message]:
        if len(messages) != info.size:  # a part of the batch
            nbytes = sum(message.nbytes for message in messages)
            info = BatchInfo(info.key, len(messages), nbytes, info.trigger)
        about = {"batcher": name, "info": info, "messages": messages}
        with self._teller.span("streamzarr.pipeline.batch_processor", len(messages), **about):
            returned = self._pipeline.handle_batch(name, messages, info, self._context)
        return _checked("handle_batch", messages, returned)

    def tell_failed(self, outcome: Outcome) -> Outcome:
        """Call ``handle_failed``; what it raises on is held, and it is called with that again.

        It does not see what goes to a retry topic: that has not failed for good.
        """
        if self._tiers:
            outcome.decided = list(map(self._tiered, outcome.decided))
        failed = [each for each in outcome.decided if each.failure is not None and not each.waits]
        if not failed or not self._pipeline.overrides("handle_failed"):
            return outcome
        outcome.decided = [each for each in outcome.decided if each.failure is None or each.waits]
        try:
            with self._teller.span("streamzarr.pipeline.handle_failed", len(failed), messages=failed):
                returned = self._pipeline.handle_failed(failed, self._context)
            outcome.decided += _kept(failed, returned)
        except BaseException as error:
            if is_interrupt(error):
                raise
            held = [message.replace(attempts=message.attempts + 1) for message in failed]
            after = HOLD.delay(max(message.attempts for message in held), self._runtime.random())
            assert after is not None
            _log.error(
                "handle_failed raised %s; %d failed messages are held, again in %.1f s",
                describe(error),
                len(failed),
                after,
            )
            outcome.put_off(Again(held, after))
        return outcome

    def _tiered(self, message: Message) -> Message:
        """Return `message`, which goes to the next retry topic if there is one and it may work later."""
        if message.failure is None or message.tier >= self._tiers or message.row is None:
            return message
        return message.replace(waits=True) if self._may_work_later(message.failure.error) else message

    def _judge(self, error: BaseException, messages: Sequence[Message]) -> Again | Verdict:
        """Say what an error of a handler means: a transient one has its messages tried again, for a while."""
        if isinstance(error, HandlerError):
            return Verdict.SOME
        if not self._may_work_later(error):
            pauses = self._pauses_on is not None and self._pauses_on(error)
            return Verdict.ALL if pauses else Verdict.SOME
        tried = [message.replace(attempts=message.attempts + 1) for message in messages]
        after = self._retry.delay(max(message.attempts for message in tried), self._runtime.random())
        if after is None:
            return Verdict.SOME_OR_ALL
        _log.info("%d messages again in %.1f s: %s", len(tried), after, describe(error))
        return Again(tried, after)

    def _may_work_later(self, error: BaseException) -> bool:
        """Ask ``retryable``; where it raises itself, what it would have said if it was not overridden."""
        try:
            return bool(self._pipeline.retryable(error))
        except BaseException as second:
            if is_interrupt(second):
                raise
            _log.error("retryable raised %s when it was asked about %s", describe(second), describe(error))
            return is_transient(error)


def check_handlers(pipeline: Pipeline, batchers: Collection[str]) -> None:
    """Find what each message would stumble over before the first one comes.

    Raises
    ------
    streamzarr.errors.ConfigError
        A handler is async, or a generator, or would never be called.
    """
    name = type(pipeline).__name__
    for handler in HANDLERS:
        given = getattr(pipeline, handler)
        if (expected := function(given)) is not None:
            raise ConfigError(f"{name}: {handler} is {shown(given)}, expected {expected}")
        if isgeneratorfunction(given):
            raise ConfigError(
                f"{name}: {handler} has a yield, expected a function that returns what it was given"
            )
    said = bool(batchers) or hasattr(pipeline, "batchers")  # {} says that none is wanted
    if pipeline.overrides("handle_batch") and not said:
        raise ConfigError(
            f"{name}: handle_batch would never be called without batchers, "
            "expected such as batchers = {'default': Batcher(size=100)}"
        )


def _checked(handler: str, given: Sequence[Message], returned: object) -> list[Message]:
    """Return all of `given` as `handler` returned them; those that it did not return have failed.

    None of them is given to it again: it has ended, so its work is done.
    """
    if returned is given:
        return [_staged(message, handler) for message in given]
    found = _by_place(handler, given, returned)
    if isinstance(found, HandlerError):
        return [message.fail(found, handler) for message in given]
    missing = HandlerError(f"{handler} returned {len(found)} of {len(given)} messages, without this one")
    return [
        _fitting(message, found[message.place], handler)
        if message.place in found
        else message.fail(missing, handler)
        for message in given
    ]


def _fitting(given: Message, returned: Message, handler: str) -> Message:
    """Return what `handler` made of `given`, unless that would break the pipeline."""
    if returned is not given and (wrong := misfit(returned)) is not None:
        return given.fail(ConfigError(f"{handler} returned a message whose {wrong}"), handler)
    return _staged(returned, handler)


def _kept(failed: Sequence[Message], returned: object) -> list[Message]:
    """Return all of `failed` as ``handle_failed`` returned them."""
    found = _by_place("handle_failed", failed, returned)
    if isinstance(found, HandlerError):
        raise found
    if wrong := [each for each in map(misfit, found.values()) if each is not None]:
        raise HandlerError(f"handle_failed returned a message whose {wrong[0]}")
    kept = [found.get(message.place, message).replace(attempts=0) for message in failed]
    return [each.replace(recovered=True) if each.failure is None else each for each in kept]


def _by_place(handler: str, given: Sequence[Message], returned: object) -> dict[int, Message] | HandlerError:
    """Return what `handler` returned, by place; or what is wrong with it."""
    if not isinstance(returned, Sequence) or not all(map(_is_message, returned)):
        return HandlerError(f"{handler} returned {shown(returned)}, expected its messages")
    found = {message.place: message for message in returned}
    if len(found) < len(returned) or not found.keys() <= {message.place for message in given}:
        return HandlerError(
            f"{handler} returned a message twice, or one that it was not given; expected its messages"
        )
    return found


def _is_message(value: object) -> TypeGuard[Message]:
    """Tell whether this is a message, and whether its failure, if it has one, is a failure."""
    return isinstance(value, Message) and (value.failure is None or isinstance(value.failure, Failure))


def _staged(message: Message, handler: str) -> Message:
    """Return `message`, whose failure says where: its handler returned it as failed."""
    if message.failure is None or message.failure.stage:
        return message.replace(attempts=0) if message.attempts else message
    return message.fail(message.failure.error, handler)
