"""Where a job may write: what is looked at, and who else writes there, before anything is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from streamzarr.errors import (
    ConfigError,
    ContainsArrayError,
    MetadataError,
    NodeNotFoundError,
    StoreError,
    UnsupportedError,
)
from streamzarr.jobs.wire import Submitted
from streamzarr.queue.open import local_file
from streamzarr.redact import redacted
from streamzarr.stores import StoreURL, join_url, open_store, overlaps, split_url
from streamzarr.zarr import Array, Group
from streamzarr.zarr import open as open_node
from streamzarr.zarr.nodes.streams import check_no_stream

QUEUE_FILES = ("", "-wal", "-shm", "-journal", "-live")
"""What an embedded broker keeps beside each other: the names' ends."""


def check_places(source: str, target: str, broker: str | None) -> None:
    """Refuse a target that writing to would destroy something that is no target of this job.

    Without a broker there is no queue that could be in the way.

    Raises
    ------
    streamzarr.errors.ConfigError
        The target holds the source, or lies in it, or holds the file of the queue.
    streamzarr.errors.ContainsArrayError
        The target lies in an array.
    streamzarr.errors.UnsupportedError
        The target's store cannot be written, or the target is a stream, or lies in one.
    """
    if overlaps(source, target):
        raise ConfigError(
            f"source {redacted(source)} and target {redacted(target)} are the same place, or one lies in the "
            "other: a job would write over what it reads"
        )
    if broker is not None and any(overlaps(place, target) for place in _queue_files(broker)):
        raise ConfigError(
            f"target {redacted(target)} is, or holds, the file of the queue {redacted(broker)}; "
            "expected a folder for the target alone"
        )
    _check_creatable("target", target)


def check_scratch(scratch: str, job: str, source: str, target: str, broker: str | None) -> None:
    """Refuse a place for the intermediate arrays of a job where none can be made, or where they would harm.

    Without a broker there is no queue that could be in the way.

    Raises
    ------
    streamzarr.errors.ConfigError
        It is the source, the target, or the file of the queue, or lies in one or in any other file.
    streamzarr.errors.ContainsArrayError
        It lies in an array.
    streamzarr.errors.UnsupportedError
        Its store cannot be written, or it is a stream, or lies in one.
    """
    inside = join_url(scratch, job)  # what it holds beside that is not touched
    for name, place in (("source", source), ("target", target)):
        if overlaps(inside, place):
            raise ConfigError(
                f"scratch {redacted(scratch)} is, or lies in, the {name} {redacted(place)}; "
                "expected a place for intermediate arrays alone"
            )
    if broker is not None and any(overlaps(inside, place) for place in _queue_files(broker)):
        raise ConfigError(f"scratch {redacted(scratch)} is the file of the queue {redacted(broker)}")
    _check_creatable("scratch", inside)
    _check_folder("scratch", scratch)


def writes_to(job: Submitted, target: str) -> bool:
    """Tell whether a job of the register writes to `target`, or to what lies in it or holds it."""
    for stage in job.stages:
        with suppress(ConfigError):  # the register is open to others: what is no URL is no place
            if overlaps(stage.target, target):
                return True
    return False


def _queue_files(broker: str) -> list[str]:
    queue = local_file(broker)
    return [] if queue is None else [f"{queue}{end}" for end in QUEUE_FILES]


def _check_creatable(name: str, url: str) -> None:
    if not open_store(url).capabilities.writable:
        raise UnsupportedError(f"{name} {redacted(url)} can only be read")
    with suppress(MetadataError):  # of a target that is damaged: it may be there to be replaced
        _node_at(url)
    for place in _above(split_url(url)):
        if isinstance(_node_at(place), Array):
            raise ContainsArrayError(
                f"{name} {redacted(url)} lies in the array {redacted(place)}, where nothing can be created"
            )


def _check_folder(name: str, url: str) -> None:
    """Refuse what is, or lies in, a file."""
    place = split_url(url)
    if place.scheme != "file":
        return
    there = next(path for path in (Path(place.path), *Path(place.path).parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"{name} {redacted(url)}: {there} is a file, expected a folder")


def _node_at(place: str) -> Array | Group | None:
    """Return what is there; a stream is refused, which is written by its writer alone."""
    try:
        node = open_node(place, mode="r")
    except NodeNotFoundError:
        return None
    except StoreError:
        return None  # what we may not look at: access to a bucket can begin at a folder
    if isinstance(node, Group):
        check_no_stream(redacted(place), node.attrs)
    return node


def _above(url: StoreURL) -> Iterator[str]:
    """Yield the places above `url`, nearest first."""
    if url.scheme == "file":
        yield from map(str, Path(os.path.realpath(url.path)).parents)
    elif url.path:
        for above in PurePosixPath(url.path).parents:
            path = "" if str(above) == "." else str(above)
            yield str(StoreURL(url.scheme, url.authority, path, url.options))
