"""How one axis of the source is cut, and what is read again where a block begins inside of a chunk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt


class Again(NamedTuple):
    """What is read once more: how many chunks, and how many cells they have along the axis together."""

    chunks: int
    cells: int


@dataclass(frozen=True, slots=True)
class Even:
    """Chunks of one length; the last ends with the array.

    Examples
    --------
    >>> axis = Even(10, 4)
    >>> axis.count, axis.largest, axis.again(5), axis.again(4), axis.touched(5)
    (3, 4, Again(chunks=1, cells=4), Again(chunks=0, cells=0), 2)
    """

    size: int
    step: int

    @property
    def count(self) -> int:
        """Number of chunks."""
        return -(-self.size // self.step)

    @property
    def largest(self) -> int:
        """Cells of the largest chunk."""
        return min(self.step, self.size)

    def again(self, every: int) -> Again:
        """Return what is read once more where a block begins at each multiple of `every`."""
        last = max(self.size - 1, 0)
        inside = last // every - last // math.lcm(self.step, every)
        tail = self.size % self.step
        in_tail = last // every - (self.size - tail) // every if tail else 0
        return Again(inside, (inside - in_tail) * self.step + in_tail * tail)

    def touched(self, every: int) -> int:
        """Return how many chunks a block of `every` cells lies in, at most."""
        furthest = self.step - math.gcd(self.step, every)  # from the start of a chunk to that of a block
        return min(self.count, (furthest + min(every, self.size) - 1) // self.step + 1)


@dataclass(frozen=True)
class Uneven:
    """Chunks of the given lengths, which are the whole axis together.

    Examples
    --------
    >>> axis = Uneven((3, 1, 6))
    >>> axis.size, axis.count, axis.largest, axis.again(5), axis.again(4), axis.touched(5)
    (10, 3, 6, Again(chunks=1, cells=6), Again(chunks=1, cells=6), 3)
    """

    lengths: tuple[int, ...]

    @property
    def size(self) -> int:
        """Cells along the axis."""
        return int(self._edges[-1])

    @property
    def count(self) -> int:
        """Number of chunks."""
        return len(self.lengths)

    @property
    def largest(self) -> int:
        """Cells of the largest chunk."""
        return max(self.lengths, default=0)

    def again(self, every: int) -> Again:
        """Return what is read once more where a block begins at each multiple of `every`."""
        cuts = np.arange(every, self.size, every)
        chunks = self._chunk_of(cuts)
        inside = chunks[self._edges[chunks] != cuts]
        return Again(len(inside), int((self._edges[inside + 1] - self._edges[inside]).sum()))

    def touched(self, every: int) -> int:
        """Return how many chunks a block of `every` cells lies in, at most."""
        starts = np.arange(0, self.size, every)
        ends = np.minimum(starts + every, self.size)
        return int((self._chunk_of(ends - 1) - self._chunk_of(starts) + 1).max(initial=0))

    @cached_property
    def _edges(self) -> npt.NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    def _chunk_of(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        # From the right: a chunk of no length is never the one.
        return np.searchsorted(self._edges, positions, side="right") - 1


Steps: TypeAlias = Even | Uneven
