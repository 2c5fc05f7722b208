"""Scratch space: the arrays between the passes of a job, from their names to their removal.

The one that a stage fills lies at ``{scratch}/{job}/{number}``. A submit only names it; whoever drives the
job makes it when the stage begins, and removes it when all of the job is written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from streamzarr.errors import ConfigError, NodeExistsError, NodeNotFoundError, StreamzarrError
from streamzarr.jobs.layout import layout_of
from streamzarr.jobs.pin import check_sources, lost
from streamzarr.jobs.register import is_job_id
from streamzarr.jobs.wire import Stage
from streamzarr.redact import redacted
from streamzarr.stores import Store, is_below, open_store, split_url
from streamzarr.zarr import Array, open_array
from streamzarr.zarr.codecs.compressors import BloscCodec
from streamzarr.zarr.configure import ArrayConfig
from streamzarr.zarr.grids.grid import RegularChunks
from streamzarr.zarr.grids.keys import V2Keys
from streamzarr.zarr.nodes.documents import create_node

SUFFIX = ".scratch"
"""Of the target's name: where the intermediate arrays are unless it is said."""

_NUMBERS = "biufcmM"
_log = logging.getLogger(__name__)


def scratch_space(given: str | None, target: str) -> str:
    """Return the URL of what holds a job's intermediate arrays: the place `given`, or one beside the target.

    Raises
    ------
    streamzarr.errors.ConfigError
        None is given, and nothing can be beside the target: it is a whole bucket.

    Examples
    --------
    >>> scratch_space(None, "s3://lab/series.zarr?region=eu-north-1")
    's3://lab/series.zarr.scratch?region=eu-north-1'
    """
    if given is not None:
        return open_store(given).url
    url = split_url(target)
    if not url.path.strip("/"):
        raise ConfigError(
            f"the job needs an intermediate array, and nothing can be beside {redacted(target)}; "
            "say with scratch= where the workers can make one"
        )
    return str(replace(url, path=url.path + SUFFIX))


def create_scratch(store: Store, source: Array, chunks: tuple[int, ...]) -> Array:
    """Create the array, at the root of `store`, that a pass with these `chunks` copies `source` to.

    It is of the source's format: there are dtypes that only one of them has.
    """
    data = source.metadata.data_type
    codec = BloscCodec(cname="lz4", shuffle="shuffle" if data.dtype.kind in _NUMBERS else "noshuffle")
    metadata = ArrayConfig(
        shape=source.shape,
        dtype=data,
        chunks=RegularChunks(chunks),
        compressors=codec,
        fill_value=source.metadata.fill,
        zarr_format=3 if source.zarr_format == 3 else 2,
        chunk_key_encoding=None if source.zarr_format == 3 else V2Keys("/"),
    ).metadata()
    create_node(store, "", metadata, overwrite=False)
    return Array(store, "", metadata)


def prepare(job: str, stages: Sequence[Stage], number: int, *, begun: bool) -> None:
    """See to it that the intermediate arrays are there that stage `number` of a job reads and writes.

    Parameters
    ----------
    begun
        Chunks of the stage are written. So the array has been there, and is not made anew without them.

    Raises
    ------
    streamzarr.errors.SourceChangedError
        One is gone that was there; or the source that one is made of is another one.
    streamzarr.errors.NodeExistsError
        Something else is where one is to be.
    streamzarr.errors.ConfigError
        It is to be where none of this job can be.
    """
    stage = stages[number]
    if number and stages[number - 1].scratch and not _is_array(stage.source):
        raise lost(stage.source)
    if not stage.scratch:
        return
    _place_of(job, stage.target, stages[-1].target)
    if not _is_array(stage.target):
        if begun:
            raise lost(stage.target)
        check_sources([stage])
        with suppress(NodeExistsError):  # somebody else may have made it; what is there now is looked at
            source = open_array(stage.source, mode="r")
            create_scratch(open_store(stage.target), source, stage.layout.chunks)
    if not _is_array(stage.target) or layout_of(open_array(stage.target, mode="r")) != stage.layout:
        raise NodeExistsError(
            f"{redacted(stage.target)} is something else than the intermediate array of the job that belongs "
            "there; move it away and resume the job"
        )


def remove_scratch(job: str, stages: Iterable[Stage]) -> None:
    """Remove the intermediate arrays of a job; that one cannot be is told in the log and fails nothing."""
    stages = tuple(stages)
    for stage in stages:
        if not stage.scratch:
            continue
        try:
            kept, path = _place_of(job, stage.target, stages[-1].target)
            with open_store(kept) as store:
                store.delete_prefix(path)
                store.collect_stale(path)
        except StreamzarrError as error:
            _log.warning(
                "the intermediate array %s could not be removed; remove it yourself, or with "
                "`streamzarr job forget %s`: %s",
                redacted(stage.target),
                job,
                error,
            )


def _place_of(job: str, array: str, target: str) -> tuple[str, str]:
    """Return the URL of the folder that stays when `array` is removed, and the array's path below it.

    That folder is the scratch space, or what holds it where the job has made it beside its `target`.

    Raises
    ------
    streamzarr.errors.ConfigError
        This is no place of an intermediate array of the job: the register is open to others.

    Examples
    --------
    >>> job = "01M7Y1TCG75RQM4QSKJ7P15XR6"
    >>> _place_of(job, f"s3://lab/tmp/{job}/0", "s3://lab/b.zarr")
    ('s3://lab/tmp', '01M7Y1TCG75RQM4QSKJ7P15XR6/0')
    >>> _place_of(job, f"s3://lab/b.zarr.scratch/{job}/0", "s3://lab/b.zarr")
    ('s3://lab/', 'b.zarr.scratch/01M7Y1TCG75RQM4QSKJ7P15XR6/0')
    """
    url = split_url(array)
    path = f"/{url.path.strip('/')}"
    *above, name, number = path.split("/")
    if not (is_job_id(job) and name == job and number.isdecimal() and above):
        raise ConfigError(f"{redacted(array)} is no place of an intermediate array of job {job!r}")
    kept = "/".join(above)
    owner = kept.removesuffix(SUFFIX)
    if owner != kept and is_below(target, str(replace(url, path=owner))):
        kept = kept.rpartition("/")[0]
    return str(replace(url, path=kept or "/")), path[len(kept) + 1 :]


def _is_array(url: str) -> bool:
    try:
        open_array(url, mode="r")
    except NodeNotFoundError:
        return False
    return True
