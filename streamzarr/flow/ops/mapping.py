"""Operators that change messages one by one or batch by batch, and hold none back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import reactivex.operators as rx
from msgspec.structs import replace

from streamzarr.errors import TransformError
from streamzarr.flow.arguments import checked, function, text
from streamzarr.flow.graph import Operator
from streamzarr.flow.lazy import LazyMessages
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.ops.each import Step, each, failed


@checked("ops.map_messages", fn=function, stage=text)
def map_messages(fn: Callable[[Message], Message], *, stage: str = "map") -> Operator:
    """Replace each message by ``fn(message)``: a copy made by ``message.replace`` or ``message.fail``.

    For what needs more than the data, such as key, headers or timestamp of the record.

    Parameters
    ----------
    fn
        Runs on the chain's thread. An exception fails this message only, and so does what is no message, or
        a key that cannot be hashed.
    stage
        Its name in the failure.
    """

    def apply(message: Message) -> Message:
        if message.failure is not None:
            return message
        try:
            changed = fn(message)
            if not isinstance(changed, Message):
                raise TransformError(f"{stage} returned {type(changed).__name__}, expected a Message")
            if changed.key is not message.key:
                hash(changed.key)
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            return failed(message, error, stage)
        return changed

    return rx.map(lambda batch: batch.with_messages([apply(message) for message in batch.held]))


@checked("ops.map", fn=function, stage=text)
def map(fn: Callable[[Any], Any], *, stage: str = "map") -> Operator:  # noqa: A001
    """Replace the data of each message by ``fn(data)``.

    Parameters
    ----------
    fn
        Runs on the chain's thread. An exception fails this message only.
    stage
        Its name in the failure.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> report = run(from_iterable(["1", "x", "3"], Demand(10)).pipe(ops.map(int), ops.settle()))
    >>> report.ok, report.failed
    (2, 1)
    """
    return each(Step(fn, stage))


@checked("ops.map_batch", fn=function, stage=text)
def map_batch(fn: Callable[[list[Any]], Sequence[Any]], *, stage: str = "map_batch") -> Operator:
    """Replace the data of all messages of a batch at once by ``fn(list of data)``.

    For what is cheaper in bulk: a vectorised parser, one request for many records.

    Parameters
    ----------
    fn
        Returns as many values as it was given, in the same order. Runs on the chain's thread. An exception,
        or another number of values, fails all messages of the batch.
    stage
        Its name in the failure.
    """

    def apply(batch: Batch) -> Batch:
        live, datas = _live(batch.held)
        if not live:
            return batch
        try:
            values = _in_order(fn(datas), len(live), stage)
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            changed = iter([failed(message, error, stage) for message in live])
        else:
            if isinstance(live, LazyMessages):
                return batch.with_messages(live.with_datas(values))
            changed = iter(
                [replace(message, data=value) for message, value in zip(live, values, strict=True)]
            )
        if len(live) == len(batch):
            return batch.with_messages(tuple(changed))
        return batch.with_messages(
            [next(changed) if message.failure is None else message for message in batch.held]
        )

    return rx.map(apply)


def _in_order(values: Iterable[Any], count: int, stage: str) -> list[Any]:
    """Return what a function of the user's gave for so many messages."""
    if isinstance(values, Set | Mapping):
        raise TransformError(f"{stage} returned {type(values).__name__}, expected values in their order")
    listed = list(values)
    if len(listed) != count:
        raise TransformError(f"{stage} returned {len(listed)} values for {count} messages, expected as many")
    return listed


def _live(messages: Sequence[Message]) -> tuple[Sequence[Message], list[Any]]:
    """Return the messages that have not failed, and a new list of their data."""
    if isinstance(messages, LazyMessages):
        return messages, list(messages.datas)
    live = [message for message in messages if message.failure is None]
    return live, [message.data for message in live]


@checked("ops.drop_if", predicate=function, stage=text)
def drop_if(predicate: Callable[[Any], bool], *, stage: str = "drop_if") -> Operator:
    """Settle the messages whose data `predicate` picks, as skipped, and pass on the others.

    The stock ``filter`` would lose them with their credit; a chain that runs dry that way says so.

    Parameters
    ----------
    predicate
        Runs on the chain's thread. An exception fails this message only.
    stage
        Its name in the failure.
    """
    return each(Step(predicate, stage, drops=True))


@checked("ops.filter", predicate=function, stage=text)
def filter(predicate: Callable[[Any], bool], *, stage: str = "filter") -> Operator:  # noqa: A001
    """Pass on the messages whose data `predicate` picks, and settle the others, as skipped.

    Parameters
    ----------
    predicate
        Runs on the chain's thread. An exception fails this message only.
    stage
        Its name in the failure.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> report = run(from_iterable(range(10), Demand(4)).pipe(ops.filter(lambda n: n > 6), ops.settle()))
    >>> report.ok, report.skipped
    (3, 7)
    """
    return drop_if(lambda data: not predicate(data), stage=stage)
