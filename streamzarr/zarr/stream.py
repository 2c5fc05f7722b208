"""Streaming an array chunk by chunk, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeAlias

from streamzarr.errors import ConfigError, KeyNotFoundError
from streamzarr.zarr.chunkio import Missing
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.indexing import Selection, count_parts, plan
from streamzarr.zarr.progress import Progress, as_progress

if TYPE_CHECKING:
    from streamzarr.zarr.array import Array

ChunkFilter: TypeAlias = Callable[[tuple[int, ...]], bool]
Target: TypeAlias = tuple[tuple[int, ...], tuple[slice, ...]]


@dataclass(frozen=True, slots=True)
class ChunkBlock:
    """One chunk, cut at the array's end and at the region that was asked for: ``array[slices] == data``."""

    index: tuple[int, ...]
    slices: tuple[slice, ...]
    data: NDArray


@dataclass(frozen=True, slots=True)
class ChunkStream:
    """The chunks of a region of an array, read ahead by at most `concurrency` chunks.

    An iterable that starts anew each time, for ``for`` and for ``async for``. Leaving a loop early stops the
    reading. A chunk that cannot be read or decoded raises; none is skipped.
    Memory: `concurrency` chunks in flight or waiting, and the one that the consumer holds.
    """

    array: Array
    region: Selection
    concurrency: int
    ordered: bool
    missing: Literal["fill", "skip", "error"]
    progress: Progress | bool | None
    where: ChunkFilter | None

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigError(f"concurrency: expected at least 1, got {self.concurrency}")

    def __len__(self) -> int:
        if self.where is None:
            return count_parts(self.region, self.array.grid)
        return sum(1 for _ in self._targets())

    def __iter__(self) -> Generator[ChunkBlock]:
        report = as_progress(self.progress)
        total = len(self)
        report(0, total)
        for done, block in enumerate(self._blocks(), 1):
            if block is not None:
                yield block
            report(done, total)

    async def __aiter__(self) -> AsyncIterator[ChunkBlock]:
        import asyncio  # only here: importing it is slow

        blocks = iter(self)
        end = object()
        with ThreadPoolExecutor(1, thread_name_prefix="streamzarr-stream") as pump:
            loop = asyncio.get_running_loop()
            try:
                while True:
                    block = await loop.run_in_executor(pump, next, blocks, end)
                    if not isinstance(block, ChunkBlock):
                        return
                    yield block
            finally:
                pump.submit(blocks.close)

    def _targets(self) -> Iterator[Target]:
        grid = self.array.grid
        for part in plan(self.region, grid):
            if self.where is None or self.where(part.chunk):
                starts = [axis.start(c) for axis, c in zip(grid.axes, part.chunk, strict=True)]
                yield (
                    part.chunk,
                    tuple(
                        slice(start + inside.start, start + inside.stop)
                        for start, inside in zip(starts, part.source, strict=True)
                    ),
                )

    def _blocks(self) -> Iterator[ChunkBlock | None]:
        targets = self._targets()
        if self.concurrency == 1:
            yield from map(self._read, targets)
            return
        running: deque[Future[ChunkBlock | None]] = deque()
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="streamzarr-stream")
        try:
            running.extend(pool.submit(self._read, target) for target in islice(targets, self.concurrency))
            while running:
                if self.ordered:
                    future = running.popleft()
                else:
                    finished = wait(running, return_when=FIRST_COMPLETED).done
                    future = next(each for each in running if each in finished)
                    running.remove(future)
                block = future.result()
                running.extend(pool.submit(self._read, target) for target in islice(targets, 1))
                yield block
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, target: Target) -> ChunkBlock | None:
        index, slices = target
        missing: Missing = "fill" if self.missing == "fill" else "error"
        try:
            return ChunkBlock(index, slices, self.array.read(slices, missing=missing))
        except KeyNotFoundError:
            if self.missing == "skip":
                return None
            raise
