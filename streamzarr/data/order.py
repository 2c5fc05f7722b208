"""Which rows of an array come when, in one epoch: pure arithmetic, no I/O.

An order is a sequence of as many places as there are rows. Any stretch of it can be asked for alone, so that
processes share an epoch by taking a stretch each. A stretch is cut into windows, the rows that are read at
once. Memory grows with the number of chunks along the first axis, not with the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Positions: TypeAlias = npt.NDArray[np.intp]
Seed: TypeAlias = tuple[int, ...]

_IN_MEMORY = 1 << 20
"""Up to so many rows an order is an array that numpy shuffles."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Rows that are read together: runs of them, or positions in ascending order."""

    reads: tuple[slice, ...] | Positions
    order: Positions | None
    """How to arrange the rows that were read; None: as they are."""


class Order(Protocol):
    """The rows of one epoch."""

    def windows(self, start: int, stop: int) -> Iterator[Window]:
        """Yield the rows at places `start` to `stop`, of which each window holds some."""


@dataclass(frozen=True, slots=True, eq=False)
class InOrder:
    """Row after row. Windows end where chunks do, so that no chunk is read twice."""

    edges: Positions
    """First row of each chunk, and the number of rows."""
    buffer: int

    def windows(self, start: int, stop: int) -> Iterator[Window]:
        """Yield runs of at least `buffer` rows; see :class:`Order`."""
        while start < stop:
            enough = int(np.searchsorted(self.edges, start + self.buffer))
            end = min(int(self.edges[enough]), stop) if enough < len(self.edges) else stop
            yield Window((slice(start, end),), None)
            start = end


class ByChunks:
    """Chunks in random order; the rows of as many chunks as make up `buffer` rows are mixed."""

    def __init__(self, edges: Positions, buffer: int, seed: Seed) -> None:
        self._buffer, self._seed = buffer, seed
        chunks = np.random.default_rng(seed).permutation(len(edges) - 1)
        self._first = edges[chunks]
        self._places = np.concatenate([[0], np.cumsum(np.diff(edges)[chunks])])

    def windows(self, start: int, stop: int) -> Iterator[Window]:
        """Yield the mixed rows of some chunks each; see :class:`Order`."""
        runs: list[slice] = []
        rows, first = 0, start
        chunk = int(np.searchsorted(self._places, start, side="right")) - 1
        while start < stop:
            end = min(int(self._places[chunk + 1]), stop)
            row = int(self._first[chunk]) + start - int(self._places[chunk])
            runs.append(slice(row, row + end - start))
            rows += end - start
            start, chunk = end, chunk + 1
            if rows >= self._buffer or start == stop:
                yield Window(tuple(runs), np.random.default_rng((*self._seed, first)).permutation(rows))
                runs, rows, first = [], 0, start


class ByRows:
    """All rows in random order, `buffer` of them a window."""

    def __init__(self, rows: int, buffer: int, seed: Seed) -> None:
        self._buffer = buffer
        self._shuffled = shuffled(rows, seed)

    def windows(self, start: int, stop: int) -> Iterator[Window]:
        """Yield `buffer` rows each; see :class:`Order`."""
        for first in range(start, stop, self._buffer):
            rows = self._shuffled[np.arange(first, min(first + self._buffer, stop))]
            places = np.argsort(rows)
            yield Window(rows[places], np.argsort(places))


class _Shuffled(Protocol):
    def __getitem__(self, places: Positions) -> Positions: ...


def shuffled(size: int, seed: Seed) -> _Shuffled:
    """Return the numbers below `size` in random order, to be indexed by an array of places.

    >>> sorted(shuffled(5, (1, 2))[np.arange(5)].tolist())
    [0, 1, 2, 3, 4]
    """
    random = np.random.default_rng(seed)
    if size <= _IN_MEMORY:
        return random.permutation(size)
    return Feistel(size, tuple(random.integers(1 << 63, size=8).tolist()))


@dataclass(frozen=True, slots=True)
class Feistel:
    """A pseudo-random order of the numbers below `size` that is computed where it is asked for.

    A Feistel network permutes the numbers of an even number of bits, whatever its round function (here that
    of splitmix64); a result that is not below `size` is permuted again until it is, which is a permutation,
    too (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002: cycle walking). Not for secrets.

    >>> sorted(Feistel(10, (1, 2, 3, 4))[np.arange(10)].tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    size: int
    keys: Sequence[int]

    def __getitem__(self, places: Positions) -> Positions:
        numbers = self._permute(places.astype(np.uint64))
        while (outside := numbers >= self.size).any():
            numbers[outside] = self._permute(numbers[outside])
        return numbers.astype(np.intp)

    def _permute(self, numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        half = np.uint64(((self.size - 1).bit_length() + 1) // 2)
        mask = (np.uint64(1) << half) - np.uint64(1)
        left, right = numbers >> half, numbers & mask
        for key in self.keys:
            left, right = right, left ^ (_mix(right + np.uint64(key)) & mask)
        mixed: npt.NDArray[np.uint64] = left << half | right
        return mixed


def _mix(x: Any) -> Any:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
