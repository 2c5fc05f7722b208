"""Whose the target is: of earlier jobs, of one that was begun only, of one submitted at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from streamzarr.errors import ConfigError, KeyNotFoundError, MessageError, NodeExistsError
from streamzarr.jobs.check import Request
from streamzarr.jobs.pin import check_mark
from streamzarr.jobs.places import writes_to
from streamzarr.jobs.register import JobEntry, append_event, read_register
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import Cancelled, Submitted, decode_event
from streamzarr.queue.base import Broker
from streamzarr.queue.scan import scan
from streamzarr.redact import redacted
from streamzarr.stores import Store, open_store
from streamzarr.zarr.nodes.documents import check_absent
from streamzarr.zarr.nodes.overwrite import find_old
from streamzarr.zarr.nodes.paths import VISIBLE, name_of, parent_of


def is_to_be_replaced(store: Store, documents: Mapping[str, bytes], *, overwrite: bool) -> bool:
    """Tell whether what is at the target is replaced: on demand, or because a submitter left it unfinished.

    Parameters
    ----------
    documents
        What will be made. A target that holds some of it, and nothing else, is what a submitter leaves that
        ends before the job is registered.

    Raises
    ------
    streamzarr.errors.NodeExistsError
        Something is there, and is not to be replaced; or something that belongs to no node, or nodes that
        belong to none.
    """
    if overwrite:
        old = find_old(store, "")
        if not old.own:
            _check_alone(store, old.documents)
        return True
    if _holds_only(store, documents):
        return True
    check_absent(store, "")
    _check_alone(store, store.list())
    return False


def writers(request: Request, broker: Broker, topics: JobTopics) -> list[JobEntry]:
    """Return the jobs whose target is that of the request, or lies in it, or holds it."""
    jobs = read_register(broker, topics).values()
    return [job for job in jobs if writes_to(job.submitted, request.target)]


def claim(request: Request, earlier: Sequence[JobEntry], broker: Broker, topics: JobTopics) -> None:
    """End the `earlier` jobs on a target that is to be replaced: their tasks are not to touch the new one.

    Raises
    ------
    streamzarr.errors.NodeExistsError
        Such a job is there, and the target was to be replaced only as the unfinished work of none.
    """
    if earlier and not request.options.overwrite:
        raise NodeExistsError(
            f"job {earlier[-1].submitted.job} writes to {redacted(request.target)}; resume it, or overwrite"
        )
    end_all(earlier, broker, topics)


def end_all(jobs: Iterable[JobEntry], broker: Broker, topics: JobTopics) -> None:
    """Cancel the jobs that may still write."""
    for job in jobs:
        if not (job.cancelled or job.done):
            append_event(broker, topics, Cancelled(job.submitted.job))


def check_still_its(broker: Broker, topics: JobTopics, submitted: Submitted) -> None:
    """Make sure that no later job has taken the target over: what this one would write is not wanted there.

    Raises
    ------
    streamzarr.errors.ConfigError
        One has: it cancelled this job when it was submitted.
    """
    jobs = read_register(broker, topics)
    if submitted.job not in jobs or not jobs[submitted.job].cancelled:
        return
    order = list(jobs)
    for later in order[order.index(submitted.job) + 1 :]:
        for stage in submitted.stages:
            if writes_to(jobs[later].submitted, stage.target):
                raise ConfigError(
                    f"job {later} has taken over {redacted(stage.target)}, and what job "
                    f"{submitted.job} writes would destroy it; submit the job again, to another target or to "
                    "overwrite"
                )


def check_made(
    store: Store, documents: Mapping[str, bytes], broker: Broker, topics: JobTopics, submitted: Submitted
) -> None:
    """Give way where another submit has replaced what this one made before it was registered.

    Raises
    ------
    streamzarr.errors.NodeExistsError
        The target is another one than this job's, which is cancelled.
    """
    with suppress(KeyNotFoundError, ConfigError):
        for stage in submitted.stages:
            if not stage.scratch:  # those are made when their stages begin
                check_mark(open_store(stage.target), stage)
        # What replaces a node ends in blanks of its own.
        if all(store.get(key).rstrip() == data.rstrip() for key, data in documents.items()):
            return
    append_event(broker, topics, Cancelled(submitted.job))
    raise NodeExistsError(f"another process has replaced {redacted(store.url)} meanwhile")


def end_rivals(
    broker: Broker, topics: JobTopics, since: Mapping[int, int], submitted: Submitted, request: Request
) -> None:
    """Leave one of the jobs that were submitted for one target at the same time; the register says which.

    Whoever overwrites ends those that were registered before, and otherwise gives way to them.
    """
    info = broker.describe(topics.jobs)
    start = {0: max(since[0], info.begin[0])}  # a compaction may have come between
    for record in scan(broker, topics.jobs, start, info.end):
        try:
            event = decode_event(record.value)
        except MessageError:
            continue  # tells of no job
        if not isinstance(event, Submitted) or event.copy:
            continue
        if event.job == submitted.job:
            return
        if not writes_to(event, request.target):
            continue
        if request.options.overwrite:
            append_event(broker, topics, Cancelled(event.job))
        else:
            append_event(broker, topics, Cancelled(submitted.job))
            raise NodeExistsError(
                f"job {event.job}, which writes to {redacted(request.target)}, was submitted meanwhile"
            )


def _check_alone(store: Store, keys: Iterable[str]) -> None:
    """Refuse a place that is no node but holds some: they are none of the target's, and nobody named them."""
    for key in keys:
        if name_of(key) in VISIBLE and (node := parent_of(key)):
            raise NodeExistsError(
                f"{redacted(store.url)} is no Zarr node and holds one, {node!r}; expected a place for the "
                "target alone"
            )


def _holds_only(store: Store, documents: Mapping[str, bytes]) -> bool:
    """Tell whether a store holds some of these documents, but for blanks at the end, and nothing else."""
    keys = iter(store.list())
    if (first := next(keys, None)) is None:
        return False
    return all(key in documents and store.get(key).rstrip() == documents[key] for key in (first, *keys))
