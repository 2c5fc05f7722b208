"""Operators that change messages one by one or batch by batch, and hold none back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import reactivex.operators as rx
from msgspec.structs import replace
from reactivex.abc import ObserverBase

from streamzarr.errors import TransformError, is_interrupt
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.stage import Stage


def map_messages(fn: Callable[[Message], Message], *, stage: str = "map") -> Operator:
    """Replace each message by ``fn(message)``: a copy made by ``message.replace`` or ``message.fail``.

    For what needs more than the data, such as key, headers or timestamp of the record.

    Parameters
    ----------
    fn
        Runs on the chain's thread. An exception fails this message only.
    stage
        Its name in the failure.
    """

    def apply(message: Message) -> Message:
        if message.failure is not None:
            return message
        try:
            return fn(message)
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            return failed(message, error, stage)

    return rx.map(lambda batch: batch.with_messages([apply(message) for message in batch.messages]))


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

    def apply(batch: Batch) -> Batch:
        changed = []
        for message in batch.messages:
            if message.failure is None:
                try:
                    message = replace(message, data=fn(message.data))
                except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                    message = failed(message, error, stage)
            changed.append(message)
        return Batch(tuple(changed), batch.marker)

    return rx.map(apply)


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
        live = [message for message in batch.messages if message.failure is None]
        if not live:
            return batch
        try:
            values = list(fn([message.data for message in live]))
            if len(values) != len(live):
                raise TransformError(
                    f"{stage} returned {len(values)} values for {len(live)} messages, expected as many"
                )
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            changed = iter([failed(message, error, stage) for message in live])
        else:
            changed = iter(
                [replace(message, data=value) for message, value in zip(live, values, strict=True)]
            )
        if len(live) == len(batch):
            return batch.with_messages(tuple(changed))
        return batch.with_messages(
            [next(changed) if message.failure is None else message for message in batch.messages]
        )

    return rx.map(apply)


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
    return staged(lambda chain, observer: _Filter(chain, observer, predicate, stage))


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


class _Filter(Stage):
    """Settles what it drops; holds nothing."""

    def __init__(
        self, chain: Chain, observer: ObserverBase[Batch], drops: Callable[[Any], bool], stage: str
    ) -> None:
        super().__init__(chain, observer)
        self._drops, self._name = drops, stage

    def receive(self, messages: tuple[Message, ...]) -> None:
        kept, dropped = [], []
        for message in messages:
            if message.failure is None:
                try:
                    if self._drops(message.data):
                        dropped.append(message)
                        continue
                except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                    message = failed(message, error, self._name)
            kept.append(message)
        if dropped:
            self.chain.settle(dropped, skipped=True)
        self.emit(kept)


def failed(message: Message, error: BaseException, stage: str) -> Message:
    """Return `message` failed by `error`: bad data is a value (design §7 rule 6), only Ctrl-C is not."""
    if is_interrupt(error):
        raise error
    return message.fail(error, stage)
