"""From one array to another in one pass, or in several where one would decode the source again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from streamzarr.jobs.planner.blocks import one_pass
from streamzarr.jobs.planner.boxes import intermediates
from streamzarr.jobs.planner.cost import TASK_SECONDS, Requests, idle, reading, writing
from streamzarr.jobs.planner.ends import Axes, Pass, Source, Target

Passes: TypeAlias = tuple[Pass, ...]

SELDOM = 1.1
"""Where one pass decodes the source no more often than this, there is nothing to gain by another one."""
OFTEN = 2.1
"""How often one pass may decode the source, and so may several together: more is looked to be avoided."""
WORTH = 10
"""Times the cost of one pass, at most, that is paid for decoding no more often than that."""
MORE = 0.5
"""Times the cost with one intermediate array, at most, for which there are more of them."""

LIKE = 1.05
"""Times the least cost at which another plan with smaller tasks is as good."""
LEAST_CHUNKS = 3
"""Source chunks for which a task has room at least: stored, decoded, and in the box that is read."""


def passes_of(
    source: Source, target: Target, max_bytes: int, requests: Requests, *, single: bool = False
) -> Passes:
    """Return the passes that make `target` of `source`; each but the last writes an intermediate array.

    Parameters
    ----------
    max_bytes
        What a task may hold, unless it writes or reads one chunk.
    requests
        What requests cost of both stores.
    single
        There is no intermediate array.

    Examples
    --------
    >>> from streamzarr.jobs.planner.cost import FILES
    >>> maps = Source.of((2048, 512, 1024), (1, 512, 1024), 4)
    >>> series = Target((2048, 512, 1024), (2048, 16, 32), 4)
    >>> [found.decoded for found in passes_of(maps, series, 128 << 20, FILES)]
    [1.0, 1.0]
    """
    direct = one_pass(source, target, max_bytes, requests)
    if single or direct.decoded <= SELDOM:
        return (direct,)
    if direct.decoded > OFTEN:
        # Whoever decodes a chunk holds it: a task may always read one whole, or would decode it many times.
        chunk = source.itemsize * math.prod(axis.largest for axis in source.chunks)
        max_bytes = max(max_bytes, LEAST_CHUNKS * chunk)
        direct = one_pass(source, target, max_bytes, requests)
    plans = [
        _through(source, target, chunks, max_bytes, requests)
        for chunks in intermediates(source, target, max_bytes)
    ]
    return _best((direct,), plans, requests)


def _best(direct: Passes, plans: Sequence[Passes], requests: Requests) -> Passes:
    """Return the best of one pass and of the plans with intermediate arrays."""

    def best(found: Sequence[Passes]) -> Passes:
        """Return the one with the smallest tasks among those that cost about the least."""
        least = min(map(cost, found))
        return min(
            (passes for passes in found if cost(passes) <= least * LIKE),
            key=lambda passes: max(each.held_bytes for each in passes),
        )

    def cost(passes: Passes) -> float:
        return cost_of(passes, requests)

    two = [passes for passes in plans if len(passes) == 2]
    seldom = [
        passes
        for passes in two
        if direct[0].decoded > OFTEN >= sum(each.decoded for each in passes)
        and cost(passes) <= cost(direct) * WORTH
    ]
    found = best(seldom or [direct, *two])
    more = [passes for passes in plans if len(passes) > 2 and cost(passes) < cost(found) * MORE]
    return best(more) if more else found


def _through(
    source: Source, target: Target, chunks: Sequence[Axes], max_bytes: int, requests: Requests
) -> Passes:
    """Return the passes by way of intermediate arrays with these chunks."""
    shape, itemsize = source.shape, source.itemsize
    found, reads = [], source
    for each in chunks:
        between = Target(shape, each, itemsize, in_flight=target.in_flight, readers=target.readers)
        found.append(one_pass(reads, between, max_bytes, requests))
        reads = Source.of(shape, each, itemsize, target.readers)
    return (*found, one_pass(reads, target, max_bytes, requests))


def cost_of(passes: Passes, requests: Requests) -> float:
    """Return the seconds that one worker takes for the passes, about."""
    return sum(
        idle(float(max(each.tasks, 1)))
        * (
            reading(float(each.bytes_read), float(each.reads), requests)
            + writing(each.bytes_written, each.writes, requests)
            + each.tasks * TASK_SECONDS
        )
        for each in passes
    )
