"""What a job would make, made in memory: for what cannot be told by looking, before anything is changed."""

from __future__ import annotations

from dataclasses import dataclass

from streamzarr.jobs.check import Request
from streamzarr.jobs.passes import requests_to
from streamzarr.jobs.pin import open_pinned
from streamzarr.jobs.places import check_places, check_scratch
from streamzarr.jobs.planner import Requests
from streamzarr.jobs.register import new_job_id
from streamzarr.jobs.scratch import scratch_space
from streamzarr.jobs.stages import Rehearsal, make_stages, registration
from streamzarr.jobs.wire import Stage
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stores import Store, open_store
from streamzarr.zarr import Array


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A job of which nothing is made yet."""

    job: str
    """The id that it is to have: intermediate arrays are named by it."""
    source: Array
    etag: str
    """Of the source's metadata, taken before it was opened."""
    store: Store
    """Of the target."""
    rehearsal: Rehearsal
    """What will be in `store`."""
    requests: Requests
    stages: list[Stage]


def rehearse(request: Request, queue: str | None, runtime: Runtime = SYSTEM) -> Rehearsed:
    """Return what carrying out `request` would make; writes nothing.

    Parameters
    ----------
    queue
        URL of the broker, whose file may lie in the way; None where there is none.
    runtime
        Makes the job's id, and times requests.

    Raises
    ------
    streamzarr.errors.StreamzarrError
        As :func:`streamzarr.jobs.submit`: it cannot be made, or it would destroy something.
    """
    check_places(request.source, request.target, queue)
    source, etag = open_pinned(request.source)
    store = open_store(request.target)
    rehearsal, job = Rehearsal(store), new_job_id(runtime)
    requests = requests_to(source, store.capabilities.in_flight, runtime)
    stages = make_stages(request, source, etag, rehearsal, job=job, requests=requests)
    registration(request, job, stages, results_from=0, runtime=runtime)
    if request.scratch is not None or any(stage.scratch for stage in stages):
        space = scratch_space(request.scratch, store.url)
        check_scratch(space, job, request.source, request.target, queue)
    return Rehearsed(job, source, etag, store, rehearsal, requests, stages)
