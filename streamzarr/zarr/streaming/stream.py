"""Streaming an array chunk by chunk, in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from streamzarr.errors import ConfigError, KeyNotFoundError
from streamzarr.zarr.chunks.chunkio import Missing
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.elements import Elements
from streamzarr.zarr.grids.grid import Grid
from streamzarr.zarr.indexing import Selection, count_parts, parse_basic, plan
from streamzarr.zarr.streaming.inflight import for_async, in_flight
from streamzarr.zarr.streaming.progress import Progress, as_progress

ChunkFilter: TypeAlias = Callable[[tuple[int, ...]], bool]
Place: TypeAlias = tuple[tuple[int, ...], tuple[slice, ...]]
"""Index of a chunk, and where what is wanted of it lies in the array."""
MissingInStream: TypeAlias = Literal["fill", "skip", "error"]


@dataclass(frozen=True, slots=True)
class ChunkBlock:
    """One chunk, cut at the array's end and at the region that was asked for: ``array[slices] == data``."""

    index: tuple[int, ...]
    slices: tuple[slice, ...]
    data: NDArray


def parse_region(region: Any, shape: tuple[int, ...]) -> Selection:
    """Parse slices without steps, and an ellipsis.

    >>> parse_region(slice(2, 5), (10, 4)).full_shape
    (3, 4)
    """
    box = parse_basic(region, shape)
    if not box.is_box:
        raise IndexError(f"region: expected slices without steps, got {region!r}")
    return box


def places(region: Selection, grid: Grid, where: ChunkFilter | None = None) -> Iterator[Place]:
    """Yield index and place of each chunk of `grid` that touches `region`, a box, in C order."""
    for part in plan(region, grid):
        if where is None or where(part.chunk):
            starts = [axis.start(c) for axis, c in zip(grid.axes, part.chunk, strict=True)]
            yield (
                part.chunk,
                tuple(
                    slice(start + inside.start, start + inside.stop)
                    for start, inside in zip(starts, part.source, strict=True)
                ),
            )


def count_places(region: Selection, grid: Grid, where: ChunkFilter | None = None) -> int:
    """Return how many :func:`places` there are."""
    return count_parts(region, grid) if where is None else sum(1 for _ in places(region, grid, where))


def read_place(array: Elements, place: Place, missing: MissingInStream) -> NDArray | None:
    """Return what lies at `place`; None where that is not stored and missing chunks are skipped."""
    otherwise: Missing = "fill" if missing == "fill" else "error"
    try:
        return array.read(place[1], missing=otherwise)
    except KeyNotFoundError:
        if missing == "skip":
            return None
        raise


@dataclass(frozen=True, slots=True)
class ChunkStream:
    """The chunks of a region of an array, read ahead by at most `concurrency` chunks.

    An iterable that starts anew each time, for ``for`` and for ``async for``. Leaving a loop early stops the
    reading. A chunk that cannot be read or decoded raises; none is skipped.
    Memory: `concurrency` chunks in flight or waiting, and the one that the consumer holds.
    """

    array: Elements
    region: Selection
    concurrency: int
    ordered: bool
    missing: MissingInStream
    progress: Progress | bool | None
    where: ChunkFilter | None

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigError(f"concurrency: expected at least 1, got {self.concurrency}")
        if self.missing not in ("fill", "skip", "error"):
            raise ConfigError(f"missing: expected 'fill', 'skip' or 'error', got {self.missing!r}")

    def __len__(self) -> int:
        return count_places(self.region, self.array.grid, self.where)

    def __iter__(self) -> Generator[ChunkBlock]:
        report = as_progress(self.progress)
        total = len(self)
        report(0, total)
        for done, block in enumerate(self._blocks(), 1):
            if block is not None:
                yield block
            report(done, total)

    def __aiter__(self) -> AsyncGenerator[ChunkBlock]:
        return for_async(iter(self))

    def _blocks(self) -> Iterator[ChunkBlock | None]:
        wanted = places(self.region, self.array.grid, self.where)
        if self.concurrency == 1:
            yield from map(self._read, wanted)
            return
        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="streamzarr-stream") as pool:
            yield from in_flight(
                lambda place: pool.submit(self._read, place),
                wanted,
                limit=self.concurrency,
                ordered=self.ordered,
            )

    def _read(self, place: Place) -> ChunkBlock | None:
        data = read_place(self.array, place, self.missing)
        return None if data is None else ChunkBlock(*place, data)
