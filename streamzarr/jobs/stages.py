"""From what is asked for to the stages of a job, whose target arrays are made on the way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from streamzarr.errors import ConfigError, MessageError
from streamzarr.jobs.check import Request
from streamzarr.jobs.compute import check_region
from streamzarr.jobs.execute import layout_of
from streamzarr.jobs.numbering import chunk_region, source_region
from streamzarr.jobs.passes import plan_passes
from streamzarr.jobs.pin import etag_of, mark_of
from streamzarr.jobs.pyramid import create_pyramid, plan_pyramid
from streamzarr.jobs.scratch import create_scratch, scratch_space
from streamzarr.jobs.target import TargetOptions, create_target
from streamzarr.jobs.wire import MAX_STAGES, Operation, Stage, Submitted, decode_event, encode
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.stores import Capabilities, MemoryStore, Store, join_url, open_store
from streamzarr.zarr import Array

TASK_OVERHEAD = 4096
"""Bytes of a task message and its headers beside the stage, at most."""


def registration(request: Request, job: str, stages: Sequence[Stage], results_from: int) -> Submitted:
    """Return the registration of a new job; raises where it, or its tasks, would be more than is allowed."""
    if len(stages) > MAX_STAGES:
        raise ConfigError(
            f"{len(stages)} stages, levels and intermediate arrays together, expected at most {MAX_STAGES}"
        )
    if (tasks := sum(stage.layout.tasks for stage in stages)) > DEFAULT_LIMITS.max_tasks:
        raise ConfigError(f"{tasks} tasks, expected at most {DEFAULT_LIMITS.max_tasks}; use larger chunks")
    submitted = Submitted(
        job=job,
        kind=request.kind,
        stages=tuple(stages),
        created=time.time_ns() // 1_000_000,
        results_from=results_from,
    )
    if (size := len(encoded := encode(submitted))) > DEFAULT_LIMITS.max_task_bytes:
        raise ConfigError(f"the job takes {size} bytes, expected at most {DEFAULT_LIMITS.max_task_bytes}")
    try:
        decode_event(encoded)
    except MessageError as error:
        raise ConfigError(f"the job cannot be registered: {error.__cause__}") from error
    return submitted


class Rehearsal(MemoryStore):
    """A store in memory that stands for another: what cannot be made there is told, or planned, as it is."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    @property
    def url(self) -> str:
        """Of the store that it stands for."""
        return self._store.url

    @property
    def capabilities(self) -> Capabilities:
        """Of the store that it stands for."""
        return self._store.capabilities


def make_stages(
    request: Request, source: Array, etag: str, store: Store, *, job: str, overwrite: bool = False
) -> list[Stage]:
    """Create the target's arrays in `store`; return a stage for each, and for each intermediate array.

    Those are made when their stages begin.

    Parameters
    ----------
    etag
        Of the source's metadata, taken before it was opened.
    job
        Its id, which names the place of intermediate arrays.

    Raises
    ------
    streamzarr.errors.ConfigError, streamzarr.errors.MetadataError, streamzarr.errors.LimitExceededError
        They cannot be made of this source, or their chunks not by tasks.
    """
    options = replace(request.options, overwrite=overwrite)
    if options.shards is not None and (options.zarr_format or source.zarr_format) == 2:
        raise ConfigError(
            f"shards is {options.shards}, but Zarr v2 has none; expected zarr_format=3, or no shards"
        )
    how: dict[str, Any] = {"write_empty": overwrite, "casting": options.casting}
    if request.kind == "downsample":
        return _pyramid(request, job, source, etag, store, options, **how)
    array = create_target(store, source, options, copied=request.kind == "copy")
    how |= {"transform": request.transform, "params": request.params or {}}
    return _full_size(request, job, source, etag, array, operation=request.kind, **how)


def _pyramid(
    request: Request, job: str, source: Array, etag: str, store: Store, options: TargetOptions, **how: Any
) -> list[Stage]:
    """Create the arrays of a multiscale group; return the stages of each, every one from the one before."""
    factors = request.factors(source)
    pyramid = plan_pyramid(source, factors, request.levels, request.method, options, request.nodata)
    arrays = create_pyramid(store, pyramid, overwrite=options.overwrite)
    stages = _full_size(request, job, source, etag, arrays[0], **how)
    for above, level in pairwise(arrays):
        *_, only = plan_passes(
            above,
            level.metadata,
            factor=factors,
            wide=0,
            max_task_bytes=request.max_task_bytes,
        )
        stages.append(
            _stage(
                "downsample",
                above,
                etag_of(above),
                level,
                only.block,
                factor=factors,
                method=request.method,
                nodata=pyramid.nodata,
                write_empty=options.overwrite,
            )
        )
    return stages


def _full_size(
    request: Request,
    job: str,
    source: Array,
    etag: str,
    target: Array,
    *,
    operation: Operation = "copy",
    **how: Any,
) -> list[Stage]:
    """Return the stages from the source to a target of its shape: one for each pass.

    What becomes of the values becomes of them in the last; those before it only lay them out anew.
    """
    *others, last = plan_passes(source, target.metadata, max_task_bytes=request.max_task_bytes)
    stages, missing = [], request.missing
    for number, each in enumerate(others):
        url = join_url(scratch_space(request.scratch, target.store.url), f"{job}/{number}")
        between = create_scratch(Rehearsal(open_store(url)), source, each.chunks)
        stages.append(
            _stage("copy", source, etag, between, each.block, missing=missing, scratch=True, write_empty=True)
        )
        # That array is made when its stage begins, so it has no etag yet; in it nothing may be missing.
        source, etag, missing = between, "", "error"
    return [*stages, _stage(operation, source, etag, target, last.block, missing=missing, **how)]


def _stage(
    operation: Operation, source: Array, etag: str, target: Array, block: tuple[int, ...], **how: Any
) -> Stage:
    stage = Stage(
        operation=operation,
        source=source.url,
        target=target.url,
        layout=layout_of(target),
        source_etag=etag,
        target_mark=mark_of(target.store, target.zarr_format, target.path),
        block=() if set(block) <= {1} else block,
        **how,
    )
    first = chunk_region(stage.layout, (0,) * target.ndim)
    check_region(
        source, source_region(first, stage.factor or (1,) * target.ndim, source.shape), DEFAULT_LIMITS
    )
    if (size := len(encode(stage))) > DEFAULT_LIMITS.max_task_bytes - TASK_OVERHEAD:
        raise ConfigError(
            f"each task would be a message of {size} bytes, "
            f"expected at most {DEFAULT_LIMITS.max_task_bytes}; give the transform smaller params"
        )
    return stage
