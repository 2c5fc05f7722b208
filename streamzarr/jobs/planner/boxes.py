"""The chunks that an intermediate array may have: what divides both a box that is read and one written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice, pairwise, permutations

from streamzarr.jobs.planner.ends import Axes, Source, Target
from streamzarr.jobs.planner.memory import COPIES, GROUP_BYTES, writers_of

ORDERS = 6
"""In which boxes are grown along the axes, at most."""
ROOMS = (1.0, 0.5, 0.25)
"""Parts of the bound that a box may fill."""
PARTS = 64
"""How many ways to cut a box evenly are tried."""
SPLITS = (2, 3)
"""Passes before the last, where several intermediate arrays are looked at."""


def intermediates(source: Source, target: Target, max_bytes: int) -> list[tuple[Axes, ...]]:
    """Return the chunks of intermediate arrays that are worth a look: of one, or of several in a row.

    Examples
    --------
    >>> maps = Source.of((2048, 512, 1024), (1, 512, 1024), 4)
    >>> intermediates(maps, Target((2048, 512, 1024), (2048, 16, 32), 4), 64 << 20)[0]
    ((30, 16, 352),)
    """
    shape, steps = source.shape, tuple(map(min, target.steps, source.shape))
    chunks = tuple(axis.largest for axis in source.chunks)
    # Beside the box there are chunks that are being read, but no more than all of it; or made and written.
    nbytes = math.prod(chunks) * source.itemsize
    beside = 2 * source.readers * max(nbytes, GROUP_BYTES)
    to_read = _boxes(shape, chunks, steps, max(max_bytes - beside, max_bytes // 3) // source.itemsize)
    nbytes = math.prod(steps) * source.itemsize
    beside = max(
        2 * target.readers * GROUP_BYTES, (1 + COPIES) * writers_of(target.in_flight, nbytes) * nbytes
    )
    to_write = _boxes(shape, steps, chunks, max(max_bytes - beside, max_bytes // 3) // source.itemsize)
    pairs = [(read, write) for read in to_read for write in to_write]
    chains = [[read, write] for read, write in pairs]
    chains += [_chain(read, write, between) for between in SPLITS for read, write in pairs[:1]]

    def shared(one: Axes, other: Axes) -> Axes:
        return tuple(map(_shared, shape, one, other, chunks, steps))

    return list(dict.fromkeys(tuple(shared(*pair) for pair in pairwise(boxes)) for boxes in chains))


def _boxes(shape: Axes, chunks: Axes, others: Axes, most: int) -> list[Axes]:
    """Return multiples of `chunks` of about `most` cells, which grow first where the `others` are longer."""
    first = [axis for axis in reversed(range(len(shape))) if others[axis] > chunks[axis]]
    rest = [axis for axis in reversed(range(len(shape))) if axis not in first]
    orders = [(*order, *rest) for order in islice(permutations(first), ORDERS)]
    return list(
        dict.fromkeys(_box(shape, chunks, order, int(most * room)) for room in ROOMS for order in orders)
    )


def _box(shape: Axes, chunks: Axes, order: Iterable[int], most: int) -> Axes:
    found = list(chunks)
    for axis in order:
        room = most // (math.prod(found) // found[axis])
        if room >= shape[axis]:
            found[axis] = shape[axis]
        elif room > found[axis]:
            boxes = -(-shape[axis] // (room // chunks[axis] * chunks[axis]))
            # Boxes of about the same length, not a small one at the end.
            found[axis] = -(-shape[axis] // (boxes * chunks[axis])) * chunks[axis]
    return tuple(found)


def _shared(size: int, read: int, write: int, chunk: int, step: int) -> int:
    """Return the length of which both boxes are made along one axis; some are made shorter for it."""
    least, longer = sorted((read, write))
    if longer >= size:
        return least
    unit = chunk if read < write else step
    first = -(-longer // least)
    for parts in range(first, first + PARTS):
        if longer % (parts * unit) == 0:
            return longer // parts
    return least


def _chain(read: Axes, write: Axes, between: int) -> list[Axes]:
    """Return boxes that go from one to the other in so many even steps."""
    return [read, *(_between(read, write, part / between) for part in range(1, between)), write]


def _between(read: Axes, write: Axes, part: float) -> Axes:
    """Return a box between two: of each axis a multiple of the shorter length."""
    return tuple(
        least * max(1, round((one / least) ** (1 - part) * (other / least) ** part))
        for one, other in zip(read, write, strict=True)
        for least in [min(one, other)]
    )
