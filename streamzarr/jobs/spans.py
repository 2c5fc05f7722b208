"""Sets of numbers that follow mostly on one another, kept as ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from typing import Final, Self


@dataclass(frozen=True, slots=True)
class Spans:
    """A set of numbers, as long as it has gaps, not as it has numbers.

    Examples
    --------
    >>> spans = Spans.of([range(8, 12), range(0, 2), range(10, 14)])
    >>> spans.ranges, len(spans)
    ((range(0, 2), range(8, 14)), 8)
    >>> list(spans.split(range(6, 20)))
    [(range(6, 8), False), (range(8, 14), True), (range(14, 20), False)]
    """

    ranges: tuple[range, ...] = ()
    """Ascending, none of them empty, with gaps between them."""

    @classmethod
    def of(cls, ranges: Iterable[range]) -> Self:
        """Return the numbers of all `ranges`, which come in any order and may overlap."""
        merged: list[range] = []
        for each in sorted(filter(None, ranges), key=lambda each: each.start):
            if merged and each.start <= merged[-1].stop:
                merged[-1] = range(merged[-1].start, max(merged[-1].stop, each.stop))
            else:
                merged.append(each)
        return cls(tuple(merged))

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    def split(self, numbers: range) -> Iterator[tuple[range, bool]]:
        """Cut `numbers` into those parts that are in the set and those that are not, in order."""
        at, index = numbers.start, bisect_right(self.ranges, numbers.start, key=lambda each: each.stop)
        while at < numbers.stop:
            each = self.ranges[index] if index < len(self.ranges) else range(numbers.stop, numbers.stop)
            inside = each.start <= at
            part = range(at, min(each.stop if inside else each.start, numbers.stop))
            yield part, inside
            at, index = part.stop, index + inside


NOTHING: Final = Spans()


def topmost(layers: Sequence[range]) -> list[list[range]]:
    """Return of each range those parts that no later one covers.

    Examples
    --------
    >>> topmost([range(0, 8), range(2, 4), range(6, 12)])
    [[range(0, 2), range(4, 6)], [range(2, 4)], [range(6, 12)]]
    """
    parts: list[list[range]] = [[] for _ in layers]
    entering = sorted(range(len(layers)), key=lambda layer: layers[layer].start, reverse=True)
    on_top: list[int] = []  # a heap of layers, each as its negative
    for at, end in pairwise(sorted({edge for each in layers for edge in (each.start, each.stop)})):
        while entering and layers[entering[-1]].start <= at:
            heappush(on_top, -entering.pop())
        while on_top and layers[-on_top[0]].stop <= at:
            heappop(on_top)
        if on_top:
            own = parts[-on_top[0]]
            joins = bool(own) and own[-1].stop == at
            own.append(range(own.pop().start if joins else at, end))
    return parts
