"""From what is asked for to the stages of a job, whose target arrays are made on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from streamzarr.errors import ConfigError, MessageError
from streamzarr.jobs.budget import wide_bytes
from streamzarr.jobs.check import Request
from streamzarr.jobs.compute import check_region
from streamzarr.jobs.layout import layout_of
from streamzarr.jobs.numbering import chunk_region, source_region
from streamzarr.jobs.passes import plan_passes
from streamzarr.jobs.pin import etag_of, mark_of
from streamzarr.jobs.planner import Pass, Requests
from streamzarr.jobs.pyramid import create_pyramid, plan_pyramid
from streamzarr.jobs.scratch import create_scratch, scratch_space
from streamzarr.jobs.target import TargetOptions, create_target
from streamzarr.jobs.wire import MAX_STAGES, Operation, Stage, Submitted, decode_event, encode
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stores import Capabilities, MemoryStore, Store, join_url, open_store
from streamzarr.zarr import Array

TASK_OVERHEAD = 4096
"""Bytes of a task message and its headers beside the stage, at most."""


def registration(
    request: Request, job: str, stages: Sequence[Stage], results_from: int, runtime: Runtime = SYSTEM
) -> Submitted:
    """Return the registration of a new job; raises where it, or its tasks, would be more than is allowed."""
    if len(stages) > MAX_STAGES:
        raise ConfigError(
            f"{len(stages)} stages, levels and intermediate arrays together, expected at most {MAX_STAGES}"
        )
    if (chunks := sum(stage.layout.tasks for stage in stages)) > DEFAULT_LIMITS.max_tasks:
        between = sum(stage.layout.tasks for stage in stages if stage.scratch)
        raise ConfigError(
            f"{chunks} chunks to write, {between} of them in scratch space, "
            f"expected at most {DEFAULT_LIMITS.max_tasks}; "
            f"use {'a larger max_task_bytes' if 2 * between > chunks else 'larger chunks'}"
        )
    submitted = Submitted(
        job=job,
        kind=request.kind,
        stages=tuple(stages),
        created=runtime.wall_ns() // 1_000_000,
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
    request: Request,
    source: Array,
    etag: str,
    store: Store,
    *,
    job: str,
    requests: Requests,
    overwrite: bool = False,
) -> list[Stage]:
    """Create the target's arrays in `store`; return a stage for each, and for each intermediate array.

    Those are made when their stages begin.

    Parameters
    ----------
    etag
        Of the source's metadata, taken before it was opened.
    job
        Its id, which names the place of intermediate arrays.
    requests
        What requests to the stores cost.

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
    return _Maker(request, job, requests, options).stages(source, etag, store)


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the stages of one job."""

    request: Request
    job: str
    requests: Requests
    options: TargetOptions

    def stages(self, source: Array, etag: str, store: Store) -> list[Stage]:
        """Create what the job writes in `store`; return the stages."""
        request = self.request
        if request.kind == "downsample":
            return self._pyramid(source, etag, store)
        array = create_target(store, source, self.options, copied=request.kind == "copy")
        how = {"transform": request.transform, "params": request.params or {}}
        return self._full_size(request.kind, source, etag, array, **how)

    def _pyramid(self, source: Array, etag: str, store: Store) -> list[Stage]:
        """Create the arrays of a multiscale group; every one is made from the one before."""
        request, options = self.request, self.options
        factors = request.factors(source)
        pyramid = plan_pyramid(source, factors, request.levels, request.method, options, request.nodata)
        arrays = create_pyramid(store, pyramid, overwrite=options.overwrite)
        how = {"factor": factors, "method": request.method, "nodata": pyramid.nodata}
        stages = self._full_size("copy", source, etag, arrays[0])
        for above, level in pairwise(arrays):
            [only] = self._passes(above, level, factor=factors, wide=wide_bytes(request.method, above.dtype))
            stages.append(
                _stage("downsample", above, etag_of(above), level, only, write_empty=options.overwrite, **how)
            )
        return stages

    def _full_size(
        self, operation: Operation, source: Array, etag: str, target: Array, **how: Any
    ) -> list[Stage]:
        """Return the stages from the source to a target of its shape: one for each pass.

        The last does what is to be done with the values; those before it only lay them out anew.
        """
        *others, last = self._passes(source, target)
        stages, missing = [], self.request.missing
        for number, each in enumerate(others):
            url = join_url(scratch_space(self.request.scratch, target.store.url), f"{self.job}/{number}")
            between = create_scratch(Rehearsal(open_store(url)), source, each.chunks)
            stages.append(
                _stage("copy", source, etag, between, each, missing=missing, scratch=True, write_empty=True)
            )
            # That array is made when its stage begins, so it has no etag yet; nothing may be missing in it.
            source, etag, missing = between, "", "error"
        how |= {"casting": self.options.casting, "write_empty": self.options.overwrite}
        return [*stages, _stage(operation, source, etag, target, last, missing=missing, **how)]

    def _passes(self, source: Array, target: Array, **how: Any) -> tuple[Pass, ...]:
        return plan_passes(
            source,
            target.metadata,
            max_task_bytes=self.request.max_task_bytes,
            in_flight=target.store.capabilities.in_flight,
            requests=self.requests,
            **how,
        )


def _stage(operation: Operation, source: Array, etag: str, target: Array, planned: Pass, **how: Any) -> Stage:
    stage = Stage(
        operation=operation,
        source=source.url,
        target=target.url,
        layout=layout_of(target),
        source_etag=etag,
        target_mark=mark_of(target.store, target.zarr_format, target.path),
        block=() if set(planned.block) <= {1} else planned.block,
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
