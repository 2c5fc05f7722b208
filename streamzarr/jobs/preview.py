"""What a job would do, without doing it: its stages, what they read and write, what a worker holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import numpy as np

from streamzarr.jobs.budget import wide_bytes
from streamzarr.jobs.cast import Casting
from streamzarr.jobs.check import Request, check_request
from streamzarr.jobs.options import DEFAULT_MAX_BYTES
from streamzarr.jobs.passes import DEFAULT_MAX_TASK_BYTES, source_of
from streamzarr.jobs.planner import Source, Target, pass_of, readers_of
from streamzarr.jobs.rehearse import rehearse
from streamzarr.jobs.scratch import scratch_space
from streamzarr.jobs.wire import JobKind, Method, Missing, Operation, Stage
from streamzarr.options import integer
from streamzarr.stores import Store
from streamzarr.zarr import Array, open_array
from streamzarr.zarr.chunks.parallel import cores

WORKER_BYTES = 72 << 20
"""What a worker process takes before it holds anything: the interpreter and the library, measured."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of a job that is planned: from one array to another, by tasks that own a block each."""

    operation: Operation
    target: str
    """URL of the array that is written, or of the scratch space that it is in."""
    scratch: bool
    """Whether that is an intermediate array, which is removed at the end."""
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    """What is written as one: chunks, or shards where there are any."""
    block: tuple[int, ...]
    """Chunks of a task along each axis, at most."""
    tasks: int
    reads: int
    """Requests for chunks of the source, or for ranges of its shards."""
    writes: int
    """Chunks, or shards, that are written."""
    bytes_read: int
    """As decoded."""
    bytes_written: int
    """Likewise."""
    decoded: float
    """How often each byte that is read is decoded, on average."""
    task_bytes: int
    """What the largest task holds, at most."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a job would do. Sizes are of decoded chunks; codecs make less of them on disk and on the wire."""

    kind: Operation
    source: str
    target: str
    stages: tuple[StagePlan, ...]
    tasks: int
    reads: int
    writes: int
    bytes_read: int
    bytes_written: int
    worker_bytes: int
    """What a worker process takes at most, beside what a transform takes for itself."""


def plan(
    kind: JobKind,
    source: str,
    target: str,
    *,
    transform: str | None = None,
    params: Mapping[str, Any] | None = None,
    factor: int | Sequence[int] | None = None,
    levels: int | None = None,
    method: Method | None = None,
    nodata: Any = None,
    chunks: int | Sequence[int] | None = None,
    dtype: Any = None,
    casting: Casting = "same_kind",
    shards: int | Sequence[int] | None = None,
    compressors: Any = "keep",
    zarr_format: Literal[2, 3] | None = None,
    attributes: Mapping[str, Any] | None = None,
    missing: Missing = "fill",
    overwrite: bool = False,
    max_task_bytes: int | str = DEFAULT_MAX_TASK_BYTES,
    scratch: str | None = None,
    threads: int = 1,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> JobPlan:
    """Return what a job would do; makes nothing, and needs neither broker nor workers.

    Parameters
    ----------
    kind, source, target
        As for :func:`streamzarr.jobs.submit`, and so are all options that are not named here.
    threads, max_bytes
        Of the workers, as in their options.

    Raises
    ------
    streamzarr.errors.ConfigError, streamzarr.errors.NodeNotFoundError, streamzarr.errors.LimitExceededError
        Submitting such a job would fail, too.

    Examples
    --------
    >>> import tempfile
    >>> import streamzarr as sz
    >>> folder = tempfile.mkdtemp()
    >>> maps = f"{folder}/maps.zarr"
    >>> array = sz.create_array(maps, shape=(128, 512, 1024), chunks=(1, 512, 1024), dtype="f4")
    >>> found = plan("copy", maps, f"{folder}/series.zarr", chunks=(128, 32, 64), max_task_bytes=64 << 20)
    >>> [(stage.scratch, stage.decoded) for stage in found.stages]
    [(True, 1.0), (False, 1.0)]
    """
    threads = integer("threads", threads, minimum=1)
    max_bytes = integer("max_bytes", max_bytes, minimum=1)
    request = check_request(
        kind,
        source,
        target,
        missing=missing,
        max_task_bytes=max_task_bytes,
        scratch=scratch,
        options={
            "chunks": chunks,
            "shards": shards,
            "dtype": dtype,
            "casting": casting,
            "compressors": compressors,
            "zarr_format": zarr_format,
            "attributes": attributes,
            "overwrite": overwrite,
        },
        transform=transform,
        params=params,
        factor=factor,
        levels=levels,
        method=method,
        nodata=nodata,
    )
    found = rehearse(request, None)
    stages = tuple(_stage_plans(request, found.source, found.rehearsal, found.stages))
    return _job_plan(request, stages, threads, max_bytes)


def _job_plan(request: Request, stages: tuple[StagePlan, ...], threads: int, max_bytes: int) -> JobPlan:
    task = max(stage.task_bytes for stage in stages)
    # As the worker's budget has it: a task that needs more than all runs alone.
    held = max(task, min(threads * task, max_bytes))
    return JobPlan(
        request.kind,
        request.source,
        request.target,
        stages,
        tasks=sum(stage.tasks for stage in stages),
        reads=sum(stage.reads for stage in stages),
        writes=sum(stage.writes for stage in stages),
        bytes_read=sum(stage.bytes_read for stage in stages),
        bytes_written=sum(stage.bytes_written for stage in stages),
        worker_bytes=WORKER_BYTES + held,
    )


def _stage_plans(
    request: Request, origin: Array, rehearsal: Store, stages: Sequence[Stage]
) -> Iterator[StagePlan]:
    """Yield what each stage would do; its target is in the rehearsal, unless it is an intermediate array."""
    source, levels = source_of(origin), count()
    for stage in stages:
        path = str(next(levels)) if request.kind == "downsample" and not stage.scratch else ""
        made = origin if stage.scratch else open_array(rehearsal, path=path)
        target = _target(stage, made.dtype, rehearsal.capabilities.in_flight)
        place = scratch_space(request.scratch, rehearsal.url) if stage.scratch else stage.target
        yield _stage_plan(stage, place, source, target)
        if stage.scratch:
            source = Source.of(target.shape, target.chunks, target.itemsize, target.readers)
        else:
            source = source_of(made)


def _target(stage: Stage, dtype: np.dtype[Any], in_flight: int) -> Target:
    layout = stage.layout
    return Target(
        shape=layout.shape,
        chunks=layout.chunks,
        itemsize=dtype.itemsize,
        factor=stage.factor,
        wide=wide_bytes(stage.method, dtype) if stage.operation == "downsample" else 0,
        in_flight=in_flight,
        readers=readers_of(in_flight, cores()),
    )


def _stage_plan(stage: Stage, place: str, source: Source, target: Target) -> StagePlan:
    found = pass_of(source, target, stage.block or (1,) * len(target.chunks))
    return StagePlan(
        stage.operation,
        place,
        stage.scratch,
        stage.layout.shape,
        stage.layout.dtype,
        found.chunks,
        found.block,
        found.tasks,
        found.reads,
        found.writes,
        found.bytes_read,
        found.bytes_written,
        found.decoded,
        task_bytes=found.held_bytes,
    )
