# ruff: noqa: D102 - methods are documented by Axis
"""``rectilinear``: chunks that differ in length along an axis, each length given in the metadata.

Specification: https://github.com/zarr-developers/zarr-extensions/tree/main/chunk-grids/rectilinear
``{"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[3, [4, 2]], 5]}}``

An axis is a list of chunk lengths, in which a pair stands for repetition: ``[4, 2]`` is ``4, 4``; or one
integer, which is repeated over the whole axis. Compatible with zarr-python >= 3.2, whose rules for resizing
are ours: an axis that shrinks keeps its lengths, so they may reach past the array; one that grows past them
gets one more chunk.

Repetitions are never written out: metadata of a few bytes may name 10^18 chunks.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby, starmap
from operator import mul, ne
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from streamzarr.zarr.grids.grid import Axis, Grid, RegularAxis

Runs: TypeAlias = tuple[tuple[int, int], ...]
"""Chunk lengths along one axis: pairs of a length and how often it is repeated."""

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RunAxis:
    """Chunks in runs of one length. The array may end inside of a chunk, and before the last ones.

    Examples
    --------
    >>> axis = RunAxis(9, ((3, 1), (4, 2)))
    >>> axis.count, [axis.start(c) for c in range(3)], axis.size(2), axis.valid(2), axis.chunk_of(6)
    (3, [0, 3, 7], 4, 2, 1)
    """

    extent: int
    runs: Runs
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The first position of each run that the array reaches."""
    _firsts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The number of the first chunk of each."""

    def __post_init__(self) -> None:
        starts = tuple(accumulate(starmap(mul, self.runs[:-1]), initial=0))
        reached = max(1, bisect_left(starts, self.extent))
        object.__setattr__(self, "_starts", starts[:reached])
        counts = [count for _, count in self.runs[: reached - 1]]
        object.__setattr__(self, "_firsts", tuple(accumulate(counts, initial=0)))

    @property
    def count(self) -> int:
        return self.chunk_of(self.extent - 1) + 1 if self.extent else 0

    def chunk_of(self, position: int) -> int:
        run = bisect_right(self._starts, position) - 1
        return self._firsts[run] + (position - self._starts[run]) // self.runs[run][0]

    def chunks_of(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        starts, firsts = np.array(self._starts), np.array(self._firsts)
        lengths = np.array([length for length, _ in self.runs[: len(starts)]])
        run = np.searchsorted(starts, positions, side="right") - 1
        chunks: npt.NDArray[np.intp] = firsts[run] + (positions - starts[run]) // lengths[run]
        return chunks

    def start(self, chunk: int) -> int:
        run = self._run(chunk)
        return self._starts[run] + (chunk - self._firsts[run]) * self.runs[run][0]

    def size(self, chunk: int) -> int:
        return self.runs[self._run(chunk)][0]

    def valid(self, chunk: int) -> int:
        return min(self.size(chunk), self.extent - self.start(chunk))

    def _run(self, chunk: int) -> int:
        return bisect_right(self._firsts, chunk) - 1


@dataclass(frozen=True, slots=True)
class RectilinearChunks:
    """The ``rectilinear`` chunk grid of v3 metadata.

    Examples
    --------
    >>> chunks = RectilinearChunks.of([[3, 4, 4], 5])
    >>> chunks.to_json()["configuration"]["chunk_shapes"]
    [[3, [4, 2]], 5]
    >>> chunks.grid((9, 10)).slices((2, 1))
    (slice(7, 9, None), slice(5, 10, None))
    """

    edges: tuple[int | Runs, ...]
    """For each axis its runs, or the one length of all its chunks."""
    _lengths: tuple[frozenset[int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lengths = [
            frozenset([edges] if isinstance(edges, int) else [length for length, _ in edges])
            for edges in self.edges
        ]
        object.__setattr__(self, "_lengths", tuple(lengths))

    @classmethod
    def of(cls, chunk_shapes: Iterable[Any]) -> Self:
        """Return the grid for the ``chunk_shapes`` of a document; ``ValueError`` when they are not valid."""
        return cls(
            tuple(
                _runs(axis, each) if isinstance(each, list | tuple) else _length(axis, each)
                for axis, each in enumerate(chunk_shapes)
            )
        )

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        """Return the grid for the ``configuration`` of a document; ``ValueError`` when it is not valid."""
        if configuration.keys() != {"kind", "chunk_shapes"} or configuration["kind"] != "inline":
            raise ValueError(f"expected kind 'inline' and chunk_shapes, got {configuration!r}")
        if not isinstance(configuration["chunk_shapes"], list | tuple):
            raise ValueError(f"expected a list of chunk_shapes, got {configuration['chunk_shapes']!r}")
        return cls.of(configuration["chunk_shapes"])

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """The largest length along each axis: no chunk is larger."""
        return tuple(map(max, self._lengths))

    def lengths(self, axis: int) -> frozenset[int]:
        """Return the lengths that chunks have along `axis`."""
        return self._lengths[axis]

    def covered(self, axis: int) -> float:
        """Return how long an array may be along `axis`; infinity where one length is repeated."""
        edges = self.edges[axis]
        return math.inf if isinstance(edges, int) else _total(edges)

    def grid(self, shape: tuple[int, ...]) -> Grid:
        """Return the chunks of an array of `shape`."""
        return Grid(tuple(_axis(extent, edges) for extent, edges in zip(shape, self.edges, strict=True)))

    def resized(self, shape: tuple[int, ...], unit: tuple[int, ...] | None = None) -> Self:
        """Return the grid of an array that changes to `shape`: what exceeds an axis becomes one chunk.

        Parameters
        ----------
        unit
            What the lengths of new chunks must be multiples of: the chunks inside of shards.
        """
        edges = zip(shape, self.edges, unit or (1,) * len(shape), strict=True)
        return type(self)(tuple(_grown(extent, each, step) for extent, each, step in edges))

    @property
    def lists(self) -> list[int | list[int | list[int]]]:
        """The ``chunk_shapes`` of a document, as short as they can be."""
        return [each if isinstance(each, int) else _short(each) for each in self.edges]

    def to_json(self) -> dict[str, Any]:
        """Return the v3 ``chunk_grid``."""
        return {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": self.lists}}

    def __str__(self) -> str:
        """Return the chunk shapes as in the metadata."""
        return str(tuple(self.lists))


def _axis(extent: int, edges: int | Runs) -> Axis:
    return RegularAxis(extent, edges) if isinstance(edges, int) else RunAxis(extent, edges)


def _grown(extent: int, edges: int | Runs, unit: int) -> int | Runs:
    if isinstance(edges, int) or extent <= _total(edges):
        return edges
    more = -(-(extent - _total(edges)) // unit) * unit
    length, count = edges[-1]
    return (*edges[:-1], (length, count + 1)) if length == more else (*edges, (more, 1))


def _total(runs: Runs) -> int:
    return sum(starmap(mul, runs))


def _short(runs: Runs) -> list[int | list[int]]:
    return [length if count == 1 else [length, count] for length, count in runs]


def _runs(axis: int, lengths: Iterable[Any]) -> Runs:
    """Return integers and pairs as pairs, neighbours of one length joined."""
    given = [(each, 1) if type(each) is int else each for each in lengths]
    if given and set(map(type, given)) <= {tuple, list} and set(map(len, given)) == {2}:
        numbers = [*chain.from_iterable(given)]
        if set(map(type, numbers)) == {int} and min(numbers) >= 1 and max(numbers) <= _MOST:
            return _merged(given)  # at once, what is checked one by one below to say where it is wrong
    pairs: list[tuple[int, int]] = []
    for each in given:
        pair = each if isinstance(each, list | tuple) else (each, 1)
        if len(pair) != 2:
            raise ValueError(f"axis {axis}: expected a length or a pair of length and count, got {each!r}")
        pairs.append((_length(axis, pair[0]), _length(axis, pair[1])))
    if not pairs:
        raise ValueError(f"axis {axis}: expected at least one chunk length, got none")
    return _merged(pairs)


def _merged(pairs: Sequence[tuple[int, int]]) -> Runs:
    lengths = [length for length, _ in pairs]
    if all(map(ne, lengths, lengths[1:])):
        return tuple([(length, count) for length, count in pairs])
    grouped = groupby(pairs, key=lambda pair: pair[0])
    return tuple((length, sum(count for _, count in group)) for length, group in grouped)


def _length(axis: int, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= _MOST:
        raise ValueError(f"axis {axis}: expected positive integers, got {value!r}")
    return int(value)
