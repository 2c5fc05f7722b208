"""Submitting a job: check everything that can be checked now, make the target, register, begin to emit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from msgspec import structs

from streamzarr.hints import DEFAULT_PREFIX
from streamzarr.jobs.cast import Casting
from streamzarr.jobs.check import check_request
from streamzarr.jobs.claim import (
    check_made,
    claim,
    end_all,
    end_rivals,
    is_to_be_replaced,
    writers,
)
from streamzarr.jobs.handle import DEFAULT_MAX_LAG, JobHandle
from streamzarr.jobs.passes import DEFAULT_MAX_TASK_BYTES
from streamzarr.jobs.register import JobEntry, append_event, find_job
from streamzarr.jobs.rehearse import rehearse
from streamzarr.jobs.stages import make_stages, registration
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import JobKind, Method, Missing
from streamzarr.options import integer, text
from streamzarr.queue import open_broker
from streamzarr.queue.base import Broker
from streamzarr.runtime import SYSTEM


def submit(
    kind: JobKind,
    source: str,
    target: str,
    *,
    broker: str | Broker,
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
    prefix: str = DEFAULT_PREFIX,
    max_lag: int = DEFAULT_MAX_LAG,
) -> JobHandle:
    """Create the target of a chunk job and begin to send its tasks to the workers.

    All that can be checked is checked first: a call that fails has changed nothing. One that was killed has
    registered the job, which :func:`resume` carries on, or it has not, and the same call again begins anew.

    Parameters
    ----------
    kind
        ``copy`` stores the array anew: other chunks, codecs or Zarr format. ``map`` applies `transform` to
        each target chunk. ``downsample`` makes a multiscale group: array ``0`` is the source at full size,
        each further level is the one before it reduced by `factor`.
    source, target
        URLs or paths; workers must be able to open both, below their ``--root``.
    broker
        URL such as ``sqlite:///queue.db`` or ``kafka://host:9092``, or an open broker.
    transform, params
        For ``map``: a registered name, and the keywords to call it with: text, numbers, booleans, None and
        lists of these. They arrive exactly as given, NaN and infinities too.
    factor, levels, method
        For ``downsample``: factor for each axis (or one for all; 2), number of arrays in the group with the
        full size one (2), and ``mean``, ``nearest`` or ``max`` (``mean``); see
        :func:`streamzarr.jobs.downsample.downsample`.
    nodata
        For ``downsample`` by ``mean`` or ``max``: the value of cells that do not count, or ``"none"``. Not
        given, or ``"auto"``: the source's fill value unless it is zero, and its attributes ``_FillValue`` and
        ``missing_value``.
    chunks, dtype, shards, compressors, zarr_format, attributes
        How the target is stored; what is not given is taken from the source, shards only together with
        chunks. ``compressors`` takes what :func:`streamzarr.create_array` takes. In a sharded target each
        task writes a whole shard.
    casting
        By which of numpy's rules values become the target's dtype. A value that does not fit there makes its
        task a dead letter; with ``unsafe`` it is what numpy makes of it.
    missing
        What a source chunk (or shard, where it has shards) that is not stored means: ``fill``, the fill
        value, as Zarr has it; or ``error``: its tasks go to the dead letters.
    overwrite
        Replace a target that is there. Earlier jobs that still write to it are cancelled, as they are where
        somebody has removed their target.
    max_task_bytes
        Bytes of chunks that one task may hold, or text such as ``"256MiB"``. A task writes a block of target
        chunks that is as large as this allows and helps; where the source would still be read several times
        over, the job goes through an intermediate array. A task of a single chunk may need more.
    scratch
        URL or path, below the workers' ``--root`` too, where an intermediate array lies until the job is
        done, in a folder named by the job's id. Not given: beside the target, ``{target}.scratch``.
    prefix
        First part of the names of the topics; workers must use the same.
    max_lag
        How many tasks may be queued and not yet committed by the workers.

    Returns
    -------
    JobHandle
        Emission runs on a thread of its own until the job is over or the handle is closed.

    Raises
    ------
    streamzarr.errors.ConfigError
        The options do not fit together or the source; or source, target and scratch overlap.
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
    max_lag = integer("max_lag", max_lag, minimum=1)
    queue = broker.url if isinstance(broker, Broker) else text("broker", broker)
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
    # In memory first: what cannot be made fails here, and what will be made is known.
    found = rehearse(request, queue, broker.runtime if isinstance(broker, Broker) else SYSTEM)
    store, documents = found.store, {key: found.rehearsal.get(key) for key in found.rehearsal.list()}
    replaces = is_to_be_replaced(store, documents, overwrite=overwrite)
    with opened_broker(broker) as (opened, keep):
        with opened.producer():
            pass  # a cluster lets a new one in after a while: best while the target is made
        topics.ensure(opened)
        since = opened.describe(topics.jobs).end
        earlier = writers(request, opened, topics)
        if replaces:
            claim(request, earlier, opened, topics)
        stages = make_stages(
            request,
            found.source,
            found.etag,
            store,
            job=found.job,
            requests=found.requests,
            overwrite=replaces,
        )
        if earlier and not replaces:
            # Somebody has removed by other means what they wrote; their tasks may be queued, or under way.
            end_all(earlier, opened, topics)
            stages = [structs.replace(stage, write_empty=True) for stage in stages]
        results_from = opened.describe(topics.results).end[0]
        submitted = registration(request, found.job, stages, results_from, opened.runtime)
        append_event(opened, topics, submitted)
        check_made(store, documents, opened, topics, submitted)
        end_rivals(opened, topics, since, submitted, request)
        entry = JobEntry(submitted, results_from=submitted.results_from)
        handle = JobHandle(opened, topics, entry, max_lag=max_lag, owns_broker=isinstance(broker, str))
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
    with opened_broker(broker) as (opened, keep):
        handle = JobHandle(
            opened, topics, find_job(opened, topics, text("job", job)), owns_broker=isinstance(broker, str)
        )
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
    max_lag = integer("max_lag", max_lag, minimum=1)
    with opened_broker(broker) as (opened, keep):
        handle = JobHandle(
            opened,
            topics,
            find_job(opened, topics, text("job", job)),
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
def opened_broker(broker: str | Broker) -> Iterator[tuple[Broker, Callable[[], object]]]:
    """Yield the broker, and what to call when somebody else will close it; else one opened here is closed."""
    with ExitStack() as stack:
        if not isinstance(broker, Broker):
            broker = stack.enter_context(open_broker(broker))
        yield broker, stack.pop_all
