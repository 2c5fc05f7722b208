"""Submitting a job: check everything that can be checked now, make the target, register, begin to emit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.jobs.downsample import check_method, downsampled_shape
from streamzarr.jobs.execute import check_region, layout_of
from streamzarr.jobs.handle import DEFAULT_MAX_LAG, JobHandle
from streamzarr.jobs.params import encode_params
from streamzarr.jobs.plan import chunk_region, source_region
from streamzarr.jobs.register import JobEntry, append_event, find_job, new_job_id, read_register
from streamzarr.jobs.target import TargetOptions, create_pyramid, create_target
from streamzarr.jobs.topics import DEFAULT_PREFIX, JobTopics
from streamzarr.jobs.wire import (
    Cancelled,
    JobKind,
    Method,
    Missing,
    Operation,
    Params,
    Stage,
    Submitted,
    encode,
)
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.queue import open_broker
from streamzarr.queue.base import Broker
from streamzarr.stores import is_below
from streamzarr.zarr import Array, open_array

TASK_OVERHEAD = 4096
"""Bytes of a task message and its headers beside the stage, at most."""


def submit(
    kind: JobKind,
    source: str,
    target: str,
    *,
    broker: str | Broker,
    transform: str | None = None,
    params: Params | None = None,
    factor: int | Sequence[int] = 2,
    levels: int = 2,
    method: Method = "mean",
    chunks: int | Sequence[int] | None = None,
    dtype: Any = None,
    shards: int | Sequence[int] | None = None,
    compressors: Any = "keep",
    zarr_format: Literal[2, 3] | None = None,
    attributes: Mapping[str, Any] | None = None,
    missing: Missing = "fill",
    overwrite: bool = False,
    prefix: str = DEFAULT_PREFIX,
    max_lag: int = DEFAULT_MAX_LAG,
) -> JobHandle:
    """Create the target of a chunk job and begin to send its tasks to the workers.

    Parameters
    ----------
    kind
        ``copy`` stores the array anew: other chunks, codecs or Zarr format. ``map`` applies `transform` to
        each
        target chunk. ``downsample`` makes a multiscale group: array ``0`` is the source at full size, each
        further level is the one before it reduced by `factor`.
    source, target
        URLs or paths; workers must be able to open both, below their ``--root``.
    broker
        URL such as ``sqlite:///queue.db`` or ``kafka://host:9092``, or an open broker.
    transform, params
        For ``map``: a registered name, and the keywords to call it with.
    factor, levels, method
        For ``downsample``: factor for each axis (or one for all), number of arrays in the group with the full
        size one, and ``mean``, ``nearest`` or ``max``; see :func:`streamzarr.jobs.downsample.downsample`.
    chunks, dtype, shards, compressors, zarr_format, attributes
        How the target is stored; what is not given is taken from the source, shards only together with
        chunks. ``compressors`` takes what :func:`streamzarr.create_array` takes. In a sharded target each
        task writes a whole shard.
    missing
        What a source chunk that is not stored means: ``fill``, the fill value, as Zarr has it; or ``error``:
        its tasks go to the dead letters.
    overwrite
        Replace a target that is there; earlier jobs that still write to it are cancelled.
    prefix
        First part of the names of the topics; workers must use the same.
    max_lag
        How many tasks may be queued and not yet committed by the workers.

    Returns
    -------
    JobHandle
        Emission runs on a thread of its own until the job is settled or the handle is closed.

    Raises
    ------
    streamzarr.errors.ConfigError
        The options do not fit together or the source.
    streamzarr.errors.NodeNotFoundError, streamzarr.errors.NodeExistsError
        There is no source, or there is a target.
    streamzarr.errors.LimitExceededError
        One target chunk would be made of more of the source than may be held in memory.
    streamzarr.errors.QueueError
        The broker cannot be reached.

    Examples
    --------
    >>> import tempfile
    >>> import streamzarr as sz
    >>> folder = tempfile.mkdtemp()
    >>> array = sz.create_array(f"{folder}/a.zarr", data=range(100), chunks=10)
    >>> broker = f"sqlite:///{folder}/queue.db"
    >>> with sz.Fleet(broker, workers=1, roots=[folder]):
    ...     with submit("copy", f"{folder}/a.zarr", f"{folder}/b.zarr", chunks=50, broker=broker) as job:
    ...         job.wait(60).written
    2
    """
    topics = JobTopics(prefix)
    origin = open_array(source, mode="r")
    _check(kind, origin, transform, factor, levels, method)
    options = TargetOptions(chunks, shards, dtype, compressors, zarr_format, attributes, overwrite)
    with _opened(broker) as (opened, keep):
        topics.ensure(opened)
        if overwrite:
            _cancel_earlier(opened, topics, target)
        if kind == "downsample":
            factors = _factors(factor, origin.ndim)
            stages = _pyramid(origin, target, factors, levels, method, missing, options)
        else:
            array = create_target(target, origin, options)
            stages = [
                _stage(
                    kind, origin, array, transform=transform, params=encode_params(params), missing=missing
                )
            ]
        submitted = Submitted(
            job=new_job_id(),
            kind=kind,
            stages=tuple(stages),
            created=time.time_ns() // 1_000_000,
            results_from=opened.describe(topics.results).end[0],
        )
        append_event(opened, topics, submitted)
        handle = JobHandle(
            opened, topics, JobEntry(submitted), max_lag=max_lag, owns_broker=isinstance(broker, str)
        )
        handle.start()
        keep()
    return handle


def open_job(job: str, *, broker: str | Broker, prefix: str = DEFAULT_PREFIX) -> JobHandle:
    """Return a handle that only watches a job, with all results so far taken into account.

    Parameters
    ----------
    job
        Its id, or the beginning of it.
    broker, prefix
        As for :func:`submit`.

    Raises
    ------
    streamzarr.errors.ConfigError
        No job, or more than one, has an id that begins with `job`.
    streamzarr.errors.QueueError
        The broker cannot be reached.
    """
    topics = JobTopics(prefix)
    with _opened(broker) as (opened, keep):
        handle = JobHandle(opened, topics, find_job(opened, topics, job), owns_broker=isinstance(broker, str))
        try:
            handle.catch_up()
        except BaseException:
            handle.close()
            raise
        keep()
    return handle


def resume(
    job: str, *, broker: str | Broker, prefix: str = DEFAULT_PREFIX, max_lag: int = DEFAULT_MAX_LAG
) -> JobHandle:
    """Go on with a job whose submitter has ended, was killed or cancelled it (:meth:`JobHandle.resume`).

    Parameters
    ----------
    job
        Its id, or the beginning of it.
    broker, prefix, max_lag
        As for :func:`submit`.

    Raises
    ------
    streamzarr.errors.ConfigError
        No job, or more than one, has an id that begins with `job`.
    streamzarr.errors.QueueError
        The broker cannot be reached.
    """
    topics = JobTopics(prefix)
    with _opened(broker) as (opened, keep):
        handle = JobHandle(
            opened,
            topics,
            find_job(opened, topics, job),
            max_lag=max_lag,
            owns_broker=isinstance(broker, str),
        )
        try:
            handle.resume()
        except BaseException:
            handle.close()
            raise
        keep()
    return handle


@contextmanager
def _opened(broker: str | Broker) -> Iterator[tuple[Broker, Callable[[], object]]]:
    """Yield the broker, and what to call when somebody else will close it; else one opened here is closed."""
    with ExitStack() as stack:
        if isinstance(broker, str):
            broker = stack.enter_context(open_broker(broker))
        yield broker, stack.pop_all


def _cancel_earlier(broker: Broker, topics: JobTopics, target: str) -> None:
    """Cancel the jobs that write to `target`: their queued tasks must not touch what takes its place."""
    for entry in read_register(broker, topics).values():
        job = entry.submitted
        if not entry.cancelled and any(is_below(stage.target, target) for stage in job.stages):
            append_event(broker, topics, Cancelled(job.job))


def _pyramid(
    source: Array,
    target: str,
    factors: tuple[int, ...],
    levels: int,
    method: Method,
    missing: Missing,
    options: TargetOptions,
) -> list[Stage]:
    """Create the arrays of a multiscale group; return a stage for each, every one from the one before."""
    shapes = [tuple(source.shape)]
    for _ in range(levels - 1):
        shapes.append(downsampled_shape(shapes[-1], factors))
    arrays = create_pyramid(target, source, shapes, factors, method, options)
    stages = [_stage("copy", source, arrays[0], missing=missing)]
    for above, level in pairwise(arrays):
        stage = _stage("downsample", above, level, factor=factors, method=method)
        first = chunk_region(stage.layout, (0,) * level.ndim)
        check_region(above, source_region(first, factors, above.shape), DEFAULT_LIMITS)
        stages.append(stage)
    return stages


def _check(
    kind: str, source: Array, transform: str | None, factor: int | Sequence[int], levels: int, method: Method
) -> None:
    if kind not in ("copy", "map", "downsample"):
        raise ConfigError(f"unknown kind of job {kind!r}, expected copy, map or downsample")
    if (transform is not None) != (kind == "map"):
        raise ConfigError(
            f"a {kind} job {'needs' if kind == 'map' else 'takes no'} transform=, got {transform!r}"
        )
    if kind == "downsample":
        if levels < 1:
            raise ConfigError(f"levels must be at least 1, got {levels}")
        if method not in ("mean", "nearest", "max"):
            raise ConfigError(f"unknown method {method!r}, expected mean, nearest or max")
        _factors(factor, source.ndim)
        check_method(method, source.dtype)


def _factors(factor: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    factors = (
        (int(factor),) * ndim if isinstance(factor, (int, np.integer)) else tuple(int(f) for f in factor)
    )
    if len(factors) != ndim or any(f < 1 for f in factors):
        raise ConfigError(
            f"factor must be one positive integer, or one for each of {ndim} axes, got {factor!r}"
        )
    return factors


def _stage(operation: Operation, source: Array, target: Array, **how: Any) -> Stage:
    stage = Stage(operation=operation, source=source.url, target=target.url, layout=layout_of(target), **how)
    if (size := len(encode(stage))) > DEFAULT_LIMITS.max_task_bytes - TASK_OVERHEAD:
        raise ConfigError(
            f"each task would be a message of {size} bytes, "
            f"expected at most {DEFAULT_LIMITS.max_task_bytes}; give the transform smaller params"
        )
    return stage
