"""Handlers of a pipeline in a process of their own: for those that hold Python's lock, or may kill it.

What runs here is named by the program that started this process, never by a message.
"""

from __future__ import annotations

import atexit
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

from streamzarr.errors import ProcessError, describe
from streamzarr.flow.dispatch.process import sendable
from streamzarr.pipeline.batches import BatchInfo
from streamzarr.pipeline.handlers import Handlers, Rules
from streamzarr.pipeline.message import Message, acknowledging
from streamzarr.runtime import SYSTEM

WORK = f"{__name__}:work"
"""What a :class:`~streamzarr.flow.dispatch.process.ChildProcess` runs."""

Answer: TypeAlias = tuple[list[Message], list[Message], float, list[Message]]
"""The parts of an :class:`~streamzarr.pipeline.bisect.Outcome`; last what was acknowledged before its time,
as it was then."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done: by which handlers, with which messages."""

    pipeline: str
    """``"module:Class"``."""
    rules: Rules
    messages: tuple[Message, ...]
    batch: tuple[str, BatchInfo] | None = None
    """The batcher, and what is known of the batch; ``None``: they are prepared and handled one by one."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """An acknowledger's place in another process: ``configure_ack`` is checked by the real one, later."""

    options: tuple[tuple[str, Any], ...] = ()

    def configure(self, ref: object, ack_data: Any, options: Mapping[str, Any]) -> Any:
        """Take note."""
        before = ack_data.options if isinstance(ack_data, Deferred) else ()
        return Deferred((*before, *options.items()))

    def ack(self, ref: object, successful: Sequence[Message], failed: Sequence[Message]) -> None:
        """Never called: messages are acknowledged where they came from."""


def work(order: Order) -> Answer:
    """Call handlers, and return what :class:`~streamzarr.pipeline.bisect.Outcome` has.

    ``handle_failed`` is not among them: it is called where messages are acknowledged.

    Raises
    ------
    streamzarr.errors.ProcessError
        There are no handlers in this process: no message is to blame.
    """
    try:
        handlers = _handlers(order.pipeline, order.rules)
    except BaseException as error:
        raise ProcessError(
            f"{order.pipeline} cannot be made in another process: {describe(error)}"
        ) from error
    early: dict[int, Message] = {}
    acknowledging(lambda message: _note(early, message))
    if order.batch is None:
        outcome = handlers.process(order.messages, list)
    else:
        name, info = order.batch
        outcome = handlers.batch(name, order.messages, info, list)
    decided, again, acked = (
        list(map(_sent, each)) for each in (outcome.decided, outcome.again, early.values())
    )
    return decided, again, outcome.after, acked


def _note(early: dict[int, Message], message: Message) -> None:
    early.setdefault(message.place, message)


@cache
def _handlers(pipeline: str, rules: Rules) -> Handlers:
    """Return the handlers of a pipeline, which has a context of its own in this process."""
    made = find(pipeline)()
    context = made.make_context()
    atexit.register(made.close_context, context)  # not if it is killed
    return Handlers(made, context, rules, SYSTEM)


def find(pipeline: str) -> Any:
    """Import a pipeline by ``"module:Class"``."""
    module, _, name = pipeline.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _sent(message: Message) -> Message:
    """Return `message`, whose error has to travel."""
    if message.failure is None:
        return message
    return message.replace(failure=replace(message.failure, error=sendable(message.failure.error)))
