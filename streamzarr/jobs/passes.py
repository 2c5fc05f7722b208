"""The passes of a job, planned for the arrays that it reads and writes."""

from __future__ import annotations

from streamzarr.jobs.pin import metadata_etag
from streamzarr.jobs.planner import (
    FILES,
    Even,
    Pass,
    Requests,
    Source,
    Steps,
    Target,
    Uneven,
    passes_of,
    readers_of,
)
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.zarr import Array
from streamzarr.zarr.chunks.parallel import cores
from streamzarr.zarr.grids.grid import Grid, RegularAxis, regular_grid
from streamzarr.zarr.metadata import ArrayMetadata

DEFAULT_MAX_TASK_BYTES = 128 << 20
"""What a task of a job may hold, unless it is one chunk."""
VARIABLE_BYTES = 16 << 10
"""What an element of variable length may take, for the number of them that a task of many chunks has."""
MEASURED = 3
"""Requests of which the quickest tells what a store takes for one."""


def plan_passes(
    source: Array,
    target: ArrayMetadata,
    *,
    factor: tuple[int, ...] = (),
    wide: int = 0,
    max_task_bytes: int = DEFAULT_MAX_TASK_BYTES,
    in_flight: int = 1,
    requests: Requests | None = None,
) -> tuple[Pass, ...]:
    """Return the passes by which the array of `target` is made of `source`; makes nothing.

    A downsampling has one pass. Elements of variable length are not kept in an intermediate array. They count
    as the references to them, but a task of many chunks has only as many as if each took 16 KiB: what they
    take is not known before.

    Parameters
    ----------
    factor
        Of a downsampling, for each axis.
    wide
        Bytes a cell of the source while it is computed with.
    max_task_bytes
        What a task may hold, unless it writes or reads one chunk.
    in_flight
        Requests that the target's store likes to have in flight.
    requests
        What requests cost; not given, a few are made to the source's store, unless it is of files.

    Examples
    --------
    >>> import streamzarr as sz
    >>> maps = sz.create_array("memory://", shape=(128, 512, 1024), chunks=(1, 512, 1024), dtype="f4")
    >>> series = sz.create_array("memory://", shape=maps.shape, chunks=(128, 32, 64), dtype="f4")
    >>> [found.decoded for found in plan_passes(maps, series.metadata, max_task_bytes=64 << 20)]
    [1.0, 1.0]
    """
    variable = source.dtype.hasobject or source.dtype.kind == "T"
    if variable:
        max_task_bytes = max_task_bytes * source.dtype.itemsize // VARIABLE_BYTES
    return passes_of(
        source_of(source),
        target_of(target, factor=factor, wide=wide, in_flight=in_flight),
        max_task_bytes,
        requests_to(source, in_flight) if requests is None else requests,
        single=variable or bool(factor),
    )


def source_of(array: Array) -> Source:
    """Return what the planner goes by of an array that is read."""
    inner = array.metadata.inner_chunks
    stored = _steps(array.grid)
    return Source(
        chunks=stored if inner is None else _steps(regular_grid(array.shape, inner)),
        itemsize=array.dtype.itemsize,
        readers=readers_of(array.store.capabilities.in_flight, cores()),
        shards=None if inner is None else stored,
    )


def target_of(
    metadata: ArrayMetadata, *, factor: tuple[int, ...] = (), wide: int = 0, in_flight: int = 1
) -> Target:
    """Return what the planner goes by of an array that is written, in chunks of one shape."""
    return Target(
        shape=metadata.shape,
        chunks=metadata.shards or metadata.chunks,
        itemsize=metadata.dtype.itemsize,
        factor=factor,
        wide=wide,
        in_flight=in_flight,
        readers=readers_of(in_flight, cores()),
    )


def requests_to(source: Array, in_flight: int, runtime: Runtime = SYSTEM) -> Requests:
    """Return what requests cost of the stores of a job; where they wait for the source's, it is asked."""
    waiting = max(source.store.capabilities.in_flight, in_flight)
    if waiting == 1:
        return FILES
    if source.store.capabilities.in_flight == 1:
        return Requests(in_flight=waiting)
    seconds = min(_seconds(source, runtime) for _ in range(MEASURED))
    return Requests(seconds, waiting, put_seconds=seconds)


def _seconds(array: Array, runtime: Runtime) -> float:
    start = runtime.now()
    metadata_etag(array.store, array.zarr_format, array.path)
    return runtime.now() - start


def _steps(grid: Grid) -> tuple[Steps, ...]:
    return tuple(
        Even(axis.extent, axis.chunk or 1)
        if isinstance(axis, RegularAxis)
        else Uneven(tuple(map(axis.valid, range(axis.count))))
        for axis in grid.axes
    )
