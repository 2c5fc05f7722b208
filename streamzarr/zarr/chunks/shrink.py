"""Which chunks an array that shrinks has to remove or to clear: those outside of its new, smaller grid.

A grid may have billions of positions of which few are stored, or the reverse. So neither are positions tried
one after another, nor is everything listed, whatever the other would cost: of keys that stay, no more are
listed than there are positions to try.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from streamzarr.zarr.grids.grid import each_of

Index: TypeAlias = tuple[int, ...]

FEW = 1000
"""So many chunks are tried whether they are stored or not: a listing takes at least one request, too."""


def concerned(old: Index, new: Index, stored: Callable[[], Iterable[Index]]) -> Iterator[Index]:
    """Yield each index that a grid of `old` shape has and one of `new` shape has not, if it may be stored.

    Some may come twice.

    Parameters
    ----------
    stored
        Lists the indices of a grid of `old` shape that are stored; they may be removed meanwhile.

    Examples
    --------
    >>> list(concerned((2, 3), (2, 1), lambda: [(0, 1)]))
    [(0, 1), (0, 2), (1, 1), (1, 2)]
    >>> list(concerned((10**9, 3), (2, 3), lambda: [(0, 1), (7, 0), (10**8, 2)]))
    [(7, 0), (100000000, 2)]
    """
    count = math.prod(old) - math.prod(map(min, old, new))
    if count > FEW:
        kept = 0
        for index in stored():
            if any([at >= n for at, n in zip(index, new, strict=True)]):  # noqa: C419
                yield index
                continue
            kept += 1
            if kept > count:  # more stays than could have to go
                break
        else:
            return
    yield from outside(old, new)


def outside(old: Index, new: Index) -> Iterator[Index]:
    """Yield each index of a grid of `old` shape that a grid of `new` shape does not have, once."""
    for axis in range(len(old)):
        ranges = [range(min(o, n)) for o, n in zip(old[:axis], new[:axis], strict=True)]
        ranges.append(range(new[axis], old[axis]))
        ranges += map(range, old[axis + 1 :])
        yield from each_of(ranges)
