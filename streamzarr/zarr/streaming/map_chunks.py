"""Calling a function on every chunk of an array: on threads, in processes, or on any executor.

The unit of work is what one task may write safely: a chunk of the *target*, or a shard where it has shards.
A task writes its unit whole, so no two tasks share a stored object, one may run twice, and none needs a lock.
What cannot be cut that way is refused; zarr-python #3683 shows what happens otherwise.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, Literal, TypeAlias, TypeVar

from streamzarr.errors import ConfigError
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.elements import Elements
from streamzarr.zarr.grids.grid import Axis, Grid
from streamzarr.zarr.indexing import Range, Selection
from streamzarr.zarr.indexing.selection import AxisSelection
from streamzarr.zarr.streaming.inflight import for_async, in_flight
from streamzarr.zarr.streaming.progress import Progress, as_progress
from streamzarr.zarr.streaming.stream import (
    ChunkFilter,
    MissingInStream,
    Place,
    count_places,
    places,
    read_place,
)

Target = TypeVar("Target", bound=Elements)
ChunkFunction: TypeAlias = Callable[[NDArray], Any]
ExecutorLike: TypeAlias = Literal["threads", "processes"] | Executor
_Task: TypeAlias = Callable[[Place], Any]


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What the function returned for one chunk, which lies at ``array[slices]``."""

    index: tuple[int, ...]
    slices: tuple[slice, ...]
    value: Any


@dataclass(frozen=True, slots=True)
class ChunkMap:
    """A function and the chunks that it is to be called on. Made by ``Array.map_chunks``.

    Nothing runs until it is iterated, with ``for`` or ``async for``, or written with :meth:`into`; each may
    be done again. The first error ends it: what has not begun is cancelled, what has begun is waited for,
    and the error is raised with a note that names the chunk.
    Memory: at most twice `concurrency` chunks and results at a time, in all processes together.
    """

    array: Elements
    fn: ChunkFunction
    region: Selection
    executor: ExecutorLike
    concurrency: int | None
    ordered: bool
    missing: MissingInStream
    progress: Progress | bool | None
    where: ChunkFilter | None

    def __post_init__(self) -> None:
        if not isinstance(self.executor, Executor) and self.executor not in ("threads", "processes"):
            raise ConfigError(
                f"executor: expected 'threads', 'processes' or an executor, got {self.executor!r}"
            )
        if self.concurrency is not None and self.concurrency < 1:
            raise ConfigError(f"concurrency: expected at least 1, got {self.concurrency}")
        if self.missing not in ("fill", "skip", "error"):
            raise ConfigError(f"missing: expected 'fill', 'skip' or 'error', got {self.missing!r}")

    def __len__(self) -> int:
        return count_places(self.region, self.array.grid, self.where)

    def __iter__(self) -> Generator[ChunkResult]:
        work = _Compute(self.array, self.fn, self.missing)
        for result in self._run(work, self.array.grid, ordered=self.ordered):
            if result is not None:
                yield result

    def __aiter__(self) -> AsyncGenerator[ChunkResult]:
        return for_async(iter(self))

    def into(self, target: Target) -> Target:
        """Write every result to `target` and return it. Results stay in the process that computed them.

        A target of the source's shape gets ``target[s] = fn(source[s])`` for the chunks (or shards) ``s`` of
        the *target*. A target of another shape must have as many along each axis as the source: the result of
        source chunk ``(i, j)`` becomes target chunk ``(i, j)``, and must have its shape.
        When it raises, some chunks are written and others are not; doing it again is harmless.

        Raises
        ------
        streamzarr.errors.ConfigError
            Several tasks would write parts of one chunk or shard of `target`: its grid does not correspond to
            the source's, or the region cuts one.
        streamzarr.errors.UnsupportedError
            `target` is read-only.
        ValueError, TypeError
            A result does not fit its place.
        """
        target._require_writable()  # before anything is computed
        work = _Write(self.array, self.fn, self.missing, target)
        for _ in self._run(work, self._units_of(target), ordered=False):
            pass
        return target

    def _units_of(self, target: Elements) -> Grid:
        """Return what to cut into tasks, and how, so that each writes one whole unit of `target`."""
        source, kind = self.array, "shard" if target.metadata.inner_chunks else "chunk"
        unit = target.metadata.chunk_grid
        if target.shape != source.shape and target.grid.shape != source.grid.shape:
            raise ConfigError(
                f"{target.url}: its {target.grid.shape} {kind}s of shape {unit} do not correspond one to one "
                f"to the {source.grid.shape} units of {source.url}, so several tasks would write parts of "
                f"one {kind}; expected a target of shape {source.shape}, or of as many {kind}s"
            )
        grid = target.grid if target.shape == source.shape else source.grid
        for axis, (chosen, cut) in enumerate(zip(self.region.axes, grid.axes, strict=True)):
            if not _is_aligned(chosen, cut):
                raise ConfigError(
                    f"region: along axis {axis} it cuts a {kind} of {target.url}, of which another task may "
                    f"write the rest; expected bounds between {kind}s of shape {unit}"
                )
        return grid

    def _run(self, work: _Task, grid: Grid, *, ordered: bool) -> Iterator[Any]:
        report, done = as_progress(self.progress), 0
        total = count_places(self.region, grid, self.where)
        report(0, total)
        concurrency = self.concurrency or max(parallel.cores(), self.array.store.capabilities.in_flight)
        with _started(self.executor, concurrency, work) as submit:
            for result in in_flight(
                submit,
                places(self.region, grid, self.where),
                limit=2 * concurrency,
                ordered=ordered,
                name=lambda place: f"in map_chunks: chunk {place[0]} of {self.array.url}",
            ):
                yield result
                done += 1
                report(done, total)


def _is_aligned(chosen: AxisSelection, axis: Axis) -> bool:
    """Tell whether a range of an axis is made of whole chunks."""
    assert isinstance(chosen, Range)
    stop = chosen.start + chosen.count
    return not chosen.count or (
        axis.start(axis.chunk_of(chosen.start)) == chosen.start
        and (stop == axis.extent or axis.start(axis.chunk_of(stop)) == stop)
    )


@dataclass(frozen=True, slots=True)
class _Compute:
    """Returns the result for one chunk. Picklable where array and function are."""

    array: Elements
    fn: ChunkFunction
    missing: MissingInStream

    def __call__(self, place: Place) -> ChunkResult | None:
        data = read_place(self.array, place, self.missing)
        return None if data is None else ChunkResult(*place, self.fn(data))


@dataclass(frozen=True, slots=True)
class _Write:
    """Writes the result for one unit to the target, and returns nothing."""

    array: Elements
    fn: ChunkFunction
    missing: MissingInStream
    target: Elements

    def __call__(self, place: Place) -> None:
        data = read_place(self.array, place, self.missing)
        if data is not None:
            self.target.write_chunk(place[0], self.fn(data))


@contextmanager
def _started(
    executor: ExecutorLike, concurrency: int, work: _Task
) -> Iterator[Callable[[Place], Future[Any]]]:
    """Give a function that starts `work` for a place; an executor that is made here ends here."""
    if isinstance(executor, Executor):
        yield lambda place: executor.submit(work, place)
        return
    if executor == "threads":
        with ThreadPoolExecutor(concurrency, thread_name_prefix="streamzarr-map") as threads:
            yield lambda place: threads.submit(work, place)
        return
    try:
        ForkingPickler.dumps(work)
    except Exception as error:
        error.add_note(
            "in map_chunks: with processes, the function must be defined at the top of a module, and arrays "
            "must lie in a store that other processes reach"
        )
        raise
    # Spawned, not forked: a fork copies locks that threads of this process may hold. The work is sent to each
    # process once, so that a store's client is made once.
    with ProcessPoolExecutor(
        concurrency, multiprocessing.get_context("spawn"), initializer=_receive, initargs=(work,)
    ) as processes:
        yield lambda place: processes.submit(_carry_out, place)


_received: list[_Task] = []
"""In a worker process: what it was started for."""


def _receive(work: _Task) -> None:
    _received[:] = [work]


def _carry_out(place: Place) -> Any:
    return _received[0](place)
