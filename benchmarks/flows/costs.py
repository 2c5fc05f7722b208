"""What operators cost: a batch, and a message, beside a plain loop and RxPY's own ``map``."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import reactivex
from reactivex import operators as rx

from streamzarr.flow import Demand, from_iterable, ops, run, windows
from streamzarr.flow.graph import Operator

BATCHES = (1, 10, 100, 1000)
"""Messages in a batch."""
MESSAGES = {1: 20_000, 10: 50_000, 100: 100_000, 1000: 100_000}
"""Messages that one measurement takes, by their number in a batch."""
COPIES = 5
"""How often an operator stands in the chain that is measured."""


def increment(number: int) -> int:
    return number + 1


ALIKE: dict[str, Callable[[int], Operator]] = {
    "map": lambda size: ops.map(increment),
    "map_batch": lambda size: ops.map_batch(lambda numbers: [number + 1 for number in numbers]),
    "filter": lambda size: ops.filter(lambda number: number >= 0),
    "partition_by": lambda size: ops.partition_by(lambda number: number % 100),
    "batch": lambda size: ops.batch(size),
    "charge": lambda size: ops.charge(lambda number: 8),
    "tap": lambda size: ops.tap(lambda message: None),
    "route": lambda size: ops.route(lambda message: "one", {"one": [], "other": []}),
}
"""What makes an operator, for batches of this size. As many messages leave it as come, so that it can be
measured several times in a chain."""
OTHER: dict[str, Callable[[int], Operator]] = {
    "split in two": lambda size: ops.split(lambda number: (number, number)),
    "broadcast to two": lambda size: ops.broadcast({"one": [], "other": []}),
    "combine": lambda size: ops.combine(sum, size=max(2, size)),
    "reduce in windows of 1,000": lambda size: ops.reduce(
        lambda total, number: total + number,
        initial=0,
        window=windows.Fixed(1000),
        time=float,
    ),
}
"""Others, with what becomes of their messages behind them."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds a message, by messages in a batch: of each round."""

    name: str
    rounds: dict[int, list[float]]

    def median(self, size: int) -> float:
        return statistics.median(self.rounds[size])

    def least(self, size: int) -> float:
        return min(self.rounds[size])

    @property
    def per_message(self) -> float:
        """Of a message alone: what is left in large batches."""
        return self.median(BATCHES[-1])

    @property
    def per_batch(self) -> float:
        """Of a batch alone: what a batch of one message costs more than a message."""
        return self.median(1) - self.per_message


def costs(rounds: int) -> list[Cost]:
    """Measure everything in turn, again and again."""
    found: dict[str, Cost] = {}
    for _ in range(rounds):
        for size in BATCHES:
            for name, micros in _round(size, MESSAGES[size]):
                found.setdefault(name, Cost(name, {each: [] for each in BATCHES})).rounds[size].append(micros)
    return list(found.values())


def _round(size: int, messages: int) -> Iterator[tuple[str, float]]:
    def chain(operators: Sequence[Operator]) -> float:
        demand = Demand(max_demand=2 * size, min_demand=size)
        chained = from_iterable(range(messages), demand).pipe(*operators, ops.settle())
        return _micros(lambda: run(chained), messages)

    def plain(maps: int) -> float:
        numbers = reactivex.from_iterable(range(messages))
        return _micros(lambda: numbers.pipe(*[rx.map(increment)] * maps).subscribe(), messages)

    yield "a loop that calls", _micros(lambda: _loop(messages), messages)
    yield "RxPY's map, of items", (plain(COPIES) - plain(0)) / COPIES
    bare = chain([])
    yield "source and settle", bare
    for name, make in ALIKE.items():
        yield name, (chain([make(size) for _ in range(COPIES)]) - bare) / COPIES
    for name, make in OTHER.items():
        yield name, chain([make(size)]) - bare


def _loop(messages: int) -> None:
    for number in range(messages):
        increment(number)


def _micros(work: Callable[[], Any], messages: int) -> float:
    gc.collect()
    begun = time.process_time()  # a chain is one thread, and others may be busy
    work()
    return (time.process_time() - begun) / messages * 1e6
