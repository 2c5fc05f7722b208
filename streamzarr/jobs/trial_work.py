"""What the process of a trial does: carry out what is left of one task, and say so line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import msgspec

from streamzarr.errors import message_of, name_of
from streamzarr.jobs.execute import TaskExecutor
from streamzarr.jobs.options import WorkerOptions
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.transforms import load_transforms
from streamzarr.jobs.trial_child import Ending
from streamzarr.jobs.trial_process import BEGUN, ENDED
from streamzarr.jobs.wanted import Wanted
from streamzarr.jobs.wire import decode_task, encode
from streamzarr.queue import Broker, open_broker
from streamzarr.queue.retry import is_transient

LONGEST = 4000
"""Characters of an error's text."""


def carry_out(
    order: Mapping[str, Any],
    say: Callable[[bytes], None],
    open_: Callable[[str], Broker] = open_broker,
) -> None:
    """Carry out the task of `order`; blocks until it is done.

    Parameters
    ----------
    say
        Told of each :class:`~streamzarr.jobs.trial_child.Ending` as it comes, and of each step; thread-safe.
    open_
        Opens the broker that the order names.
    """
    try:
        _carry_out(order, say, open_)
    except BaseException as error:  # noqa: BLE001 - judged by the worker, as one of its own would be
        say(encode(_lost(None, error)))


def _carry_out(
    order: Mapping[str, Any], say: Callable[[bytes], None], open_: Callable[[str], Broker]
) -> None:
    def tell(number: int, end: int | BaseException) -> None:
        say(encode(Ending(number, end) if isinstance(end, int) else _lost(number, end)))

    @contextmanager
    def in_flight(chunks: Sequence[int]) -> Iterator[None]:
        step = b"%d" % chunks[0] if len(chunks) == 1 else b""
        say(BEGUN + step)
        try:
            yield
        finally:
            say(ENDED + step)

    options = msgspec.convert(order["options"], WorkerOptions)
    load_transforms(options.transforms)
    task, numbers = decode_task(order["task"].encode()), order["numbers"]
    with open_(options.broker) as broker, closing(Wanted(broker, JobTopics(options.prefix))) as wanted:
        execute = TaskExecutor(
            options.roots,
            is_wanted=wanted.certainly,
            goes_on=wanted.lately,
            max_bytes=options.max_bytes,
            runtime=broker.runtime,
        )
        for part in [[number] for number in numbers] if order["singly"] else [numbers]:
            if not execute(task, part, tell, in_flight):
                say(encode(Ending()))
                return


def _lost(number: int | None, error: BaseException) -> Ending:
    text = message_of(error, LONGEST)
    return Ending(number, error=name_of(error), text=text, transient=is_transient(error))
