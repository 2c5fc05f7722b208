"""Telling one array from another at the same place: by the etag of its metadata document."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from streamzarr.errors import ConfigError, KeyNotFoundError, NodeNotFoundError, SourceChangedError
from streamzarr.jobs.wire import Stage
from streamzarr.redact import redacted
from streamzarr.stores import Store, open_store
from streamzarr.zarr import Array, open_array
from streamzarr.zarr.metadata.v2 import ZATTRS
from streamzarr.zarr.nodes import overwrite
from streamzarr.zarr.nodes.paths import key_below

_DOCUMENTS = {3: ("zarr.json",), 2: (".zarray",), None: ("zarr.json", ".zarray")}


def metadata_etag(store: Store, zarr_format: int | None = None, path: str = "") -> str:
    """Return the etag of the metadata of the array at `path` in `store`.

    Parameters
    ----------
    zarr_format
        None looks for both, v3 first, as opening the array does.

    Raises
    ------
    streamzarr.errors.KeyNotFoundError
        There is no array.
    """
    *others, last = [key_below(path, name) for name in _DOCUMENTS[zarr_format]]
    for document in others:
        try:
            return store.head(document).etag
        except KeyNotFoundError:
            continue
    return store.head(last).etag


def source_etag(store: Store, zarr_format: int | None = None, path: str = "") -> str:
    """Return what differs when the array at `path` or its attributes do: v2 has those in a document apart.

    Raises
    ------
    streamzarr.errors.KeyNotFoundError
        There is no array.
    """
    if zarr_format is None:
        with suppress(KeyNotFoundError):
            return source_etag(store, 3, path)
        return source_etag(store, 2, path)
    etag = metadata_etag(store, zarr_format, path)
    if zarr_format == 2:
        with suppress(KeyNotFoundError):
            return f"{etag} {store.head(key_below(path, ZATTRS)).etag}"
    return etag


def etag_of(array: Array) -> str:
    """Return the etag that an open array has now as a source."""
    return source_etag(array.store, array.zarr_format, array.path)


def mark_of(store: Store, zarr_format: int, path: str = "") -> str:
    """Return what is drawn at random when an array takes the place of another one; empty if it never did.

    It survives edits of the array's attributes, but for those by other implementations, which remove it.

    Raises
    ------
    streamzarr.errors.KeyNotFoundError
        There is no array.
    """
    data = store.get(key_below(path, _DOCUMENTS[zarr_format][0]))
    blanks = overwrite.mark_of(data).replace(b" ", b"0").replace(b"\t", b"1")
    return f"{int(blanks, 2):016x}" if blanks else ""


def check_mark(store: Store, stage: Stage) -> None:
    """Make sure that the array at the root of `store` did not take the place of a stage's target.

    Raises
    ------
    streamzarr.errors.ConfigError
        It did: what the stage writes would destroy it.
    """
    mark = mark_of(store, stage.layout.zarr_format)
    if mark and mark != stage.target_mark:
        raise ConfigError(
            f"the target {redacted(stage.target)} was replaced by another array since the job was submitted; "
            "submit the job again, to another target or to overwrite"
        )


def open_pinned(url: str) -> tuple[Array, str]:
    """Open an array to read, and return the etag that its metadata had before: later changes will show.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is no array.
    """
    store = open_store(url, mode="r")
    try:
        etag = source_etag(store)
    except KeyNotFoundError as error:
        raise NodeNotFoundError(f"no array at {redacted(store.url)}") from error
    return open_array(store, mode="r"), etag


def check_source(store: Store, etag: str, zarr_format: int | None = None) -> None:
    """Make sure that the array at the root of `store` is the one of `etag`.

    Raises
    ------
    streamzarr.errors.SourceChangedError
        It is gone, or another one.
    """
    try:
        now = source_etag(store, zarr_format)
    except KeyNotFoundError as error:
        raise SourceChangedError(
            f"the source {redacted(store.url)} is gone since the job was submitted; bring it back and "
            "submit the job again"
        ) from error
    if now != etag:
        raise SourceChangedError(
            f"the source {redacted(store.url)} has changed since the job was submitted: the etag of its "
            f"metadata is {now}, expected {etag}; submit the job again"
        )


def lost(array: str) -> SourceChangedError:
    """Return the error of an intermediate array that an earlier stage of its job has written, and is gone."""
    return SourceChangedError(
        f"the intermediate array {redacted(array)} is gone, which earlier tasks of the job have written; "
        "submit the job again"
    )


def check_sources(stages: Iterable[Stage]) -> None:
    """Make sure that all that `stages` read is what they were submitted for; raises as `check_source`."""
    for stage in stages:
        if stage.source_etag:
            check_source(open_store(stage.source, mode="r"), stage.source_etag)
