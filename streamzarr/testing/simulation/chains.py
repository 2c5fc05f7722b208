"""Chains that streamzarr itself is tested with."""

from __future__ import annotations

from typing import Any

from reactivex import Observable

from streamzarr.errors import StoreError
from streamzarr.flow import Batch, ops
from streamzarr.queue.retry import RetryPolicy
from streamzarr.testing.simulation.bench import Bench, Fate
from streamzarr.testing.simulation.chain import ChainScenario

RETRY = RetryPolicy(attempts=4, base=0.05)


def _square(bench: Bench) -> Any:
    tries: dict[int, int] = {}

    def square(value: bytes) -> int:
        number = int(value)
        if number % 7 == 3:
            raise ValueError(f"{number} cannot be squared")
        if number % 5 == 1 and tries.setdefault(number, 0) < 2:
            tries[number] += 1
            raise StoreError(f"{number} does not work yet")
        bench.runtime.bell().wait(bench.runtime.random() * 0.2)
        return number * number

    return square


def _chain(bench: Bench) -> Observable[Batch]:
    return bench.source(max_demand=20, max_bytes=200).pipe(
        ops.dispatch(_square(bench), workers=2, retry=RETRY),
        ops.drop_if(lambda square: square % 4 == 0),
        ops.batch(5, timeout=0.5),
        ops.settle(bench.sink),
    )


def _chain_fate(value: bytes) -> Fate:
    number = int(value)
    if number % 7 == 3:
        return "dead"
    return "skipped" if number % 2 == 0 else "written"


CHAIN = ChainScenario(_chain, name="chain", fate=_chain_fate)
"""Work on threads with retries, some dropped, in batches, into a sink."""
