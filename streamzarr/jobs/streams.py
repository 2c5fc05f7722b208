"""Submitting the compaction of a stream as a job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from streamzarr.errors import ConfigError
from streamzarr.hints import DEFAULT_PREFIX
from streamzarr.jobs.check import Request
from streamzarr.jobs.handle import DEFAULT_MAX_LAG, JobHandle
from streamzarr.jobs.layout import layout_of
from streamzarr.jobs.passes import DEFAULT_MAX_TASK_BYTES, plan_passes
from streamzarr.jobs.register import JobEntry, append_event, new_job_id
from streamzarr.jobs.shards import array_of_shards
from streamzarr.jobs.stages import registration
from streamzarr.jobs.submit import opened_broker
from streamzarr.jobs.target import TargetOptions
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import MAX_STAGES, Gather, Stage
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.options import integer
from streamzarr.queue.base import Broker
from streamzarr.redact import redacted
from streamzarr.stores import Store, join_url, open_store, split_url
from streamzarr.stream.compaction import CHUNKS, declare
from streamzarr.stream.document import SHARDS, RootDocument
from streamzarr.stream.shards import whole_shards
from streamzarr.stream.view import open_view
from streamzarr.zarr import Array
from streamzarr.zarr.nodes.paths import key_below, normalize_path


def compact_stream(
    store: str | Store,
    path: str = "",
    *,
    broker: str | Broker,
    chunks: int = CHUNKS,
    delete: bool = False,
    fields: Iterable[str] | None = None,
    prefix: str = DEFAULT_PREFIX,
    max_lag: int = DEFAULT_MAX_LAG,
) -> JobHandle:
    """Begin a job that copies full chunks of a stream into large shards: one task for each.

    It does what :func:`streamzarr.stream.compact` does, on as many workers as there are, and may be watched,
    cancelled and resumed as any job. The stream may be written, read, shortened and compacted by others
    meanwhile. The rows are read from the shards from the end of the job on, in one step.

    Parameters
    ----------
    store, path
        The stream; workers must be able to open it, below their ``--root``, to read and to write.
    chunks, delete
        As for :func:`streamzarr.stream.compact`.
    fields
        Names of the fields that are compacted, and whose chunks `delete` deletes; not given: all. A job has
        at most 64.
    broker, prefix, max_lag
        As for :func:`streamzarr.jobs.submit`.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option that cannot be used, such as a field that is not there, or no room for the shards.
    streamzarr.errors.NodeNotFoundError
        There is no stream.
    streamzarr.errors.UnsupportedError, streamzarr.errors.StoreError
        The store cannot hold streams, or failed.
    streamzarr.errors.QueueError
        The broker cannot be reached.

    Examples
    --------
    >>> import tempfile
    >>> import streamzarr as sz
    >>> folder = tempfile.mkdtemp()
    >>> broker = f"sqlite:///{folder}/queue.db"
    >>> with sz.StreamWriter(f"{folder}/log", schema={"value": "i4"}, chunk_rows=10) as writer:
    ...     writer.append({"value": range(95)})
    >>> with sz.Fleet(broker, workers=1, roots=[folder]):
    ...     with sz.jobs.compact_stream(f"{folder}/log", chunks=4, broker=broker) as job:
    ...         job.wait(60).written
    2
    >>> dict(sz.open_stream(f"{folder}/log").record.sealed)
    {'value': 80}
    """
    topics = JobTopics(prefix)
    max_lag = integer("max_lag", max_lag, minimum=1)
    url = join_url(open_store(store).url, normalize_path(path))
    if split_url(url).scheme == "memory":
        raise ConfigError(f"{redacted(url)}: only this process can see it, expected what workers can open")
    opened_store = open_store(url)
    chosen = _chosen(open_view(opened_store, "", DEFAULT_LIMITS).document, fields, url)
    request = Request("compact", url, url, "error", TargetOptions())
    with opened_broker(broker) as (opened, keep):
        topics.ensure(opened)
        # It settles how large shards are, once and for all: so not for a job that nobody can take.
        root = declare(opened_store, "", chunks)
        stages = [_stage(opened_store, root, name, delete) for name in chosen]
        results_from = opened.describe(topics.results).end[0]
        job = new_job_id(opened.runtime)
        submitted = registration(request, job, stages, results_from, opened.runtime)
        append_event(opened, topics, submitted)
        entry = JobEntry(submitted, results_from=results_from)
        handle = JobHandle(opened, topics, entry, max_lag=max_lag, owns_broker=isinstance(broker, str))
        handle.start()
        keep()
    return handle


def _chosen(root: RootDocument, fields: Iterable[str] | None, url: str) -> list[str]:
    chosen = [*root.fields] if fields is None else [*dict.fromkeys(fields)]
    if missing := [name for name in chosen if name not in root.fields]:
        raise ConfigError(f"{redacted(url)}: no field {missing[0]!r}, there are {[*root.fields]!r:.200}")
    if not 0 < len(chosen) <= MAX_STAGES:
        raise ConfigError(
            f"{redacted(url)}: {len(chosen)} fields, expected 1 to {MAX_STAGES} for a job; "
            "say which with fields= (--field)"
        )
    return chosen


def _stage(store: Store, root: RootDocument, name: str, delete: bool) -> Stage:
    first, field = root.record.sealed[name], root.fields[name]
    target = array_of_shards(store, root, name, max(whole_shards(root, name) - first, 0))
    source = Array(store, name, replace(field, shape=target.shape))
    *_, planned = plan_passes(
        source,
        target.metadata,
        max_task_bytes=DEFAULT_MAX_TASK_BYTES,
        in_flight=store.capabilities.in_flight,
    )
    return Stage(
        operation="compact",
        source=store.url,
        target=join_url(store.url, key_below(SHARDS, name)),
        layout=layout_of(target),
        block=() if set(planned.block) <= {1} else planned.block,
        gather=Gather(name, first, root.record.stream or "", delete),
    )
