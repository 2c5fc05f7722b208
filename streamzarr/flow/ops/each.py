"""Operators on the data of one message after the other; a run of them is one call and one new message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace
from reactivex import Observable
from reactivex.abc import ObserverBase

from streamzarr.errors import is_interrupt
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, subscriber
from streamzarr.flow.lazy import LazyMessages
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.stage import Stage


class Step(NamedTuple):
    """What one operator does to the data of a message."""

    fn: Callable[[Any], Any]
    stage: str
    """Its name in the failure, when `fn` raises."""
    drops: bool = False
    """`fn` tells whether to drop the message; else it returns new data."""


class _Run(Observable[Batch]):
    """What comes out of a run of steps; a step that follows takes its place, from `begin` on."""

    def __init__(self, begin: Observable[Batch], steps: tuple[Step, ...]) -> None:
        super().__init__(subscriber(lambda chain, observer: _Each(chain, observer, steps), begin))
        self.begin, self.steps = begin, steps


def each(step: Step) -> Operator:
    """Return the operator of `step`; behind others of its kind it takes them in."""

    def operator(source: Observable[Batch]) -> Observable[Batch]:
        if isinstance(source, _Run):
            return _Run(source.begin, (*source.steps, step))
        return _Run(source, (step,))

    return operator


class _Each(Stage):
    """Settles what it drops; holds nothing."""

    def __init__(self, chain: Chain, observer: ObserverBase[Batch], steps: Sequence[Step]) -> None:
        super().__init__(chain, observer)
        self._steps = steps

    def receive(self, messages: Sequence[Message]) -> None:
        if isinstance(messages, LazyMessages) and not any(step.drops for step in self._steps):
            self.emit(mapped(messages, self._steps, self._changed))
        else:
            self.emit(self._changed(messages))

    def _changed(self, messages: Sequence[Message]) -> list[Message]:
        steps, kept, dropped = self._steps, [], []
        for message in messages:
            if message.failure is not None:
                kept.append(message)
                continue
            data = message.data
            try:
                for step in steps:
                    if not step.drops:
                        data = step.fn(data)
                    elif step.fn(data):
                        dropped.append(message)
                        break
                else:
                    kept.append(message if data is message.data else replace(message, data=data))
            except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                kept.append(failed(replace(message, data=data), error, step.stage))
        if dropped:
            self.chain.settle(dropped, skipped=True)
        return kept


def mapped(
    messages: LazyMessages,
    steps: Sequence[Step],
    one_by_one: Callable[[Sequence[Message]], list[Message]],
) -> Sequence[Message]:
    """Return `messages` with what `steps` make of their data: none is made, unless one fails.

    What comes behind the first one that fails is given to `one_by_one`.
    """
    datas: list[Any] = []
    try:
        for data in messages.datas:
            for step in steps:
                data = step.fn(data)
            datas.append(data)
    except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
        place = len(datas)
        bad = failed(replace(messages[place], data=data), error, step.stage)
        return [*messages.cut(0, place).with_datas(datas), bad, *one_by_one(messages[place + 1 :])]
    return messages.with_datas(datas)


def failed(message: Message, error: BaseException, stage: str) -> Message:
    """Return `message` failed by `error`: bad data is a value (design §7 rule 6), only Ctrl-C is not."""
    if is_interrupt(error):
        raise error
    return message.fail(error, stage)
