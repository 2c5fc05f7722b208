"""Becoming the writer of a stream: made if it is not there, its epoch raised against whoever wrote it."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from streamzarr.errors import (
    ConfigError,
    ContainsGroupError,
    LimitExceededError,
    NodeExistsError,
    NodeNotFoundError,
    PreconditionFailedError,
    StoreError,
    UnsupportedError,
)
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.runtime import Runtime
from streamzarr.stores import Store, StoredObject, join_url, probe_conditional_put
from streamzarr.stream.document import RootDocument
from streamzarr.stream.record import CommitRecord, Source
from streamzarr.stream.root import Root, fetch_root
from streamzarr.stream.schema import CHUNK_ROWS, Schema, chunk_rows_of
from streamzarr.zarr.metadata import ArrayMetadataV3
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.documents import check_absent, lacks_group, make_group
from streamzarr.zarr.nodes.paths import ancestors, check_new_path, key_below

TRIES: Final = 16
"""Attempts while others acquire the same stream; they are fenced by the first that succeeds."""

_probed: set[str] = set()
"""URLs of the stores whose conditional put was asked and found right; asking takes some fifty requests."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a writer says of the stream that it acquires."""

    schema: Schema | None = None
    """None: the stream is there, and has one."""
    chunk_rows: int = CHUNK_ROWS
    source: Source | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Of the group, if it is made."""
    max_bytes: int = 10**9
    """Bound on one chunk of every field together."""


def require_conditional_put(store: Store) -> None:
    """Return if the store can hold streams; it is asked once for each URL in the life of the process.

    Raises
    ------
    streamzarr.errors.UnsupportedError
        Its conditional put is missing or does not hold; says what it did.
    """
    if store.url in _probed:
        return
    try:
        probe_conditional_put(store)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{error}; a stream needs one object that is replaced only if it is as expected"
        ) from error
    _probed.add(store.url)


def acquire(
    store: Store, path: str, wanted: Wanted, runtime: Runtime, limits: Limits = DEFAULT_LIMITS
) -> Root:
    """Return the root of the stream at `path`, whose writer we are from now on.

    Raises
    ------
    streamzarr.errors.UnsupportedError
        The store cannot hold streams.
    streamzarr.errors.NodeNotFoundError
        There is no stream, and no schema to make one.
    streamzarr.errors.NodeExistsError
        Something else is there.
    streamzarr.errors.ConfigError
        The stream has other fields, or rows from another source.
    """
    require_conditional_put(store)
    key, where = key_below(path, ZARR_JSON), join_url(store.url, path)
    commit_id, writer = runtime.random_bytes(16).hex(), _writer(runtime)
    failure: StoreError | None = None
    for _ in range(TRIES):
        found, stored = fetch_root(store, path, limits)
        if found is None:
            try:
                document = _new(store, path, stored, wanted, commit_id, limits)
            except ContainsGroupError:
                if stored is None and store.exists(key):
                    continue  # another writer has just made it
                raise
        else:
            assert stored is not None
            if found.record.commit_id == commit_id:  # the answer to our put was lost
                return Root(store, path, found, stored.etag, runtime, limits)
            _check(found, wanted, where)
            document = found
        check_memory(sum(map(chunk_bytes, document.fields.values())), wanted.max_bytes, where)
        record = replace(
            document.record,
            epoch=document.record.epoch + 1,
            commit_id=commit_id,
            writer=writer,
            time_ns=runtime.wall_ns(),
        )
        if record.source is None:
            record = replace(record, source=wanted.source)
        document = document.committed(record)
        try:
            etag = store.put(
                key,
                document.encode(where),
                if_match=None if stored is None else stored.etag,
                if_none_match=stored is None,
            )
        except PreconditionFailedError as error:
            failure = error
        except UnsupportedError:
            raise
        except StoreError as error:
            failure = error
        else:
            return Root(store, path, document, etag, runtime, limits)
    raise StoreError(f"{where}: could not be acquired, {TRIES} times: {failure}") from failure


def _new(
    store: Store, path: str, stored: StoredObject | None, wanted: Wanted, stream: str, limits: Limits
) -> RootDocument:
    """Return the root of a stream without rows, which nobody has written yet; make the groups above it."""
    where = join_url(store.url, path)
    if stored is not None:
        raise NodeExistsError(f"{where} is a group and no stream; give the stream a path of its own")
    if wanted.schema is None:
        raise NodeNotFoundError(f"no stream at {where}; pass a schema to make one")
    check_new_path(path)
    check_absent(store, path)
    fields = wanted.schema.arrays(wanted.chunk_rows, limits)
    record = CommitRecord(epoch=0, seq=0, rows=0, time_ns=0, writer="nobody", commit_id="none", stream=stream)
    document = RootDocument.new(fields, record, wanted.attributes)
    for above in ancestors(path):
        if lacks_group(store, above, 3):
            make_group(store, above, 3)
    return document


def _check(found: RootDocument, wanted: Wanted, where: str) -> None:
    if wanted.schema is not None:
        wanted.schema.check(found.fields, where)
    stored, given = found.record.source, wanted.source
    if stored is not None and given is not None and stored != given:
        raise ConfigError(f"{where}: source is {given!r}, but the rows that are there come from {stored!r}")


def check_memory(nbytes: int, most: int, where: str) -> None:
    """Raise :class:`~streamzarr.errors.LimitExceededError` if the chunks that are not full take too much."""
    if nbytes > most:
        raise LimitExceededError(
            f"{where}: the chunks that are not full take {nbytes} bytes, at most {most} allowed; "
            "see chunk_rows and max_bytes"
        )


def chunk_bytes(array: ArrayMetadataV3) -> int:
    """Return how many bytes a chunk of a field takes in memory, all of its rows there."""
    return chunk_rows_of(array) * math.prod(array.shape[1:]) * array.dtype.itemsize


def _writer(runtime: Runtime) -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{runtime.random_bytes(8).hex()}"
