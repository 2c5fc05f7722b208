"""A pipeline as a chain of the flow.

::

sources ─► enter ─► rate ─► bunch ─► processors ─┬─► batch ─► batch handlers ─┬─► acknowledge ─► settle
└────────────────────────────┘
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final

import reactivex
from reactivex import Observable

from streamzarr.errors import ConfigError
from streamzarr.flow.demand.credits import Demand
from streamzarr.flow.dispatch.process import ChildProcess
from streamzarr.flow.dispatch.workers import Workers
from streamzarr.flow.graph import Operator
from streamzarr.flow.message import Batch
from streamzarr.flow.message import Message as Part
from streamzarr.flow.ops.crew import Callee
from streamzarr.flow.ops.rate import rate_limit
from streamzarr.flow.ops.route import route
from streamzarr.flow.ops.settle import settle
from streamzarr.flow.rate import Rate
from streamzarr.options import parse_bytes
from streamzarr.pipeline.acknowledger import Acknowledger
from streamzarr.pipeline.acks import Acks
from streamzarr.pipeline.bisect import Outcome
from streamzarr.pipeline.child import WORK
from streamzarr.pipeline.desk import Bench, desk
from streamzarr.pipeline.detached import Detached, is_detached
from streamzarr.pipeline.figures import Figures
from streamzarr.pipeline.handlers import Ours
from streamzarr.pipeline.limits import Limits
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.notices import Notices
from streamzarr.pipeline.options import PROCESSORS, Options
from streamzarr.pipeline.pace import Pace
from streamzarr.pipeline.retries import until_due
from streamzarr.pipeline.sources import Brokers, Source, TopicSource, connect, split
from streamzarr.pipeline.stages import batching, bunching, enter, leaving
from streamzarr.pipeline.telemetry import Teller
from streamzarr.pipeline.works import Works
from streamzarr.runtime import Runtime

LANES: Final = 16
"""Lanes of the processors, at least, where order counts: a slow key holds up those of its own lane."""
_DONE: Final = "done"
"""Branch of messages that meet no batcher."""
_BATCHER: Final = "batcher "


@dataclass(frozen=True, slots=True)
class Controls:
    """What can be changed while a pipeline runs."""

    rate: Rate
    sizes: dict[str, Workers]
    """Of the processors, and of each batcher."""
    figures: dict[str, Figures]
    """What they have done."""
    demands: list[Demand] = field(default_factory=list)
    """Of the sources that have none of their own."""


def controls(options: Options, runtime: Runtime) -> Controls:
    """Return what `options` begin with."""
    if options.rate is not None:
        rate = options.rate
    else:
        rate = Rate(messages=1.0, runtime=runtime)
        rate.set()
    sizes = {PROCESSORS: Workers(options.processors.concurrency, runtime=runtime)}
    for name, batcher in options.batchers.items():
        sizes[name] = Workers(batcher.concurrency, runtime=runtime)
    return Controls(rate, sizes, {name: Figures(runtime) for name in sizes})


def assemble(
    options: Options,
    works: Works,
    controls: Controls,
    acknowledger: Acknowledger,
    brokers: Brokers,
    notices: Notices | None,
    beat: Callable[[], None],
    teller: Teller,
    runtime: Runtime,
) -> Observable[Batch]:
    """Return the chain of a pipeline; subscribed to once.

    Parameters
    ----------
    notices
        Tells other processes of partitions that pause; ``None``: nobody asks.
    beat
        Called at every turn, at least five times a second unless something blocks.
    """
    entering = enter(acknowledger, order_of(options), itertools.count(), beat)

    def connected(source: Source, demand: Demand) -> Observable[Batch]:
        return connect(source, demand, brokers, teller, notices)

    observables = [entering(each) for each in _sources(options, controls, connected, runtime)]
    chain = observables[0] if len(observables) == 1 else reactivex.merge(*observables)
    detached = Detached()
    operators = [
        rate_limit(controls.rate),
        *_processors(options, works, controls, detached, runtime),
        _batchers(options, works, controls, detached, teller),
        leaving(detached),
        settle(Acks(teller, None if options.limit is None else Limits(options.limit), runtime)),
    ]
    return reduce(lambda before, operator: operator(before), operators, chain)


def _sources(
    options: Options,
    controls: Controls,
    connected: Callable[[Source, Demand], Observable[Batch]],
    runtime: Runtime,
) -> Iterator[Observable[Batch]]:
    """Yield what single sources emit; each has its share of what may be in flight, so that none starves."""
    own = split(options.source)
    every = [*own, *_retry_sources(options, own)]
    messages = shares(options.in_flight, len(every), "max_in_flight")
    sizes: Sequence[int | None] = [None] * len(every)
    if options.max_bytes is not None:
        sizes = shares(parse_bytes(options.max_bytes), len(every), "max_bytes")
    for number, (each, most, nbytes) in enumerate(zip(every, messages, sizes, strict=True)):
        demand = Demand(most, max_bytes=nbytes, runtime=runtime)
        controls.demands.append(demand)
        observable = connected(each, demand)
        waits = number >= len(own)
        yield observable.pipe(until_due(options.retry_topics[number - len(own)])) if waits else observable


def shares(amount: int, count: int, option: str) -> list[int]:
    """Return `count` shares of `amount`, as even as can be; together they are no more.

    >>> shares(10, 3, "max_in_flight")
    [4, 3, 3]

    Raises
    ------
    streamzarr.errors.ConfigError
        Some would have nothing.
    """
    if amount < count:
        raise ConfigError(
            f"{option} is {amount}, expected at least {count}: there are so many topics and other sources"
        )
    each, rest = divmod(amount, count)
    return [each + (number < rest) for number in range(count)]


def _retry_sources(options: Options, sources: Sequence[Source]) -> list[TopicSource]:
    """Return what reads the retry topics, as the first source of topics reads its own."""
    first = next((each for each in sources if isinstance(each, TopicSource)), None)
    if first is None:
        return []
    return [replace(first, topics=(tier.topic,)) for tier in options.retry_topics]


def order_of(options: Options) -> Callable[[Message], Hashable] | None:
    """Return what tells the key of a message whose order counts."""
    match options.order:
        case "none":
            return None
        case "partition":
            return lambda message: None if message.row is None else message.row[:2]
        case "key":
            return options.processors.partition_by or (lambda message: message.key)


def _processors(
    options: Options, works: Works, controls: Controls, detached: Detached, runtime: Runtime
) -> list[Operator]:
    size = controls.sizes[PROCESSORS]
    lanes = None if options.order == "none" else max(LANES, 4 * options.processors.concurrency)
    pace, figures = Pace(runtime), controls.figures[PROCESSORS]
    hire = _process if options.processors.kind == "processes" else _thread
    most = options.processors.max_demand if works.prepares else None

    def bunch_size(count: int) -> int:
        fair = -(-count // size.size)
        return max(1, fair if most is not None else min(pace.size, fair))

    def work(callee: Callee, messages: Sequence[Message], _: Any, ours: Ours) -> Outcome:
        with pace.measured(len(messages)), figures.working(len(messages)):
            return figures.count(works.process(callee, messages, ours))

    return [
        bunching(lanes, bunch_size),
        desk(Bench(PROCESSORS, size, hire, work, detached)),
    ]


def _batchers(
    options: Options, works: Works, controls: Controls, detached: Detached, teller: Teller
) -> Operator:
    branches: dict[str, list[Operator]] = {_DONE: []}
    for name in options.batchers:
        branches[_BATCHER + name] = _batcher(name, options, works, controls, detached, teller)

    named = {name: _BATCHER + name for name in options.batchers}

    def branch(part: Part) -> str:
        message: Message = part.data
        if not named or message.recovered or (message.acked and not is_detached(part)):
            return _DONE
        return named.get(message.batcher, message.batcher)

    return route(branch, branches, stage="batcher")


def _batcher(
    name: str, options: Options, works: Works, controls: Controls, detached: Detached, teller: Teller
) -> list[Operator]:
    batcher, figures = options.batchers[name], controls.figures[name]
    lanes = None if options.order == "none" else batcher.concurrency

    def work(callee: Callee, messages: Sequence[Message], info: Any, ours: Ours) -> Outcome:
        with figures.working(len(messages)):
            return figures.count(works.batch(name, messages, info, ours))

    return [
        batching(name, batcher, lanes, teller),
        desk(Bench(name, controls.sizes[name], _thread, work, detached)),
    ]


class _Thread:
    """A worker that does everything in its own thread."""

    def __call__(self, data: Any) -> Any:
        return data

    def kill(self) -> bool:
        return False  # a thread cannot be ended

    def close(self) -> None:
        pass


def _thread(name: str) -> Callee:
    return _Thread()


def _process(name: str) -> Callee:
    return ChildProcess(WORK, name)
