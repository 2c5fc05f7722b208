"""Checking a stream: does everything that it promises hold? Reads all of it, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import numpy as np

from streamzarr.errors import CodecError, KeyNotFoundError, LimitExceededError, MetadataError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, StoreLike, open_store
from streamzarr.stores.parallel import batches, in_parallel
from streamzarr.stream.checking_rows import Found, check_rows, chunks_at_once, count_chunks
from streamzarr.stream.findings import Checked, Finding, Kind
from streamzarr.stream.snapshot import Snapshot, snapshot_of
from streamzarr.stream.stored import StoredChunk, StoredObject, stored_objects
from streamzarr.stream.view import open_view
from streamzarr.zarr.chunks.cache import ChunkCache
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.metadata.document import parse_document
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.paths import key_below, normalize_path
from streamzarr.zarr.streaming.progress import Progress, as_progress

LAYOUT = ("data_type", "chunk_grid", "chunk_key_encoding", "codecs", "fill_value")
"""What the document of a field has to say as the root does, beside its shape."""
LISTED: Final = 1000
"""Objects that are looked at together."""


def check(
    store: StoreLike,
    path: str = "",
    *,
    progress: Progress | bool | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Checked:
    """Look for everything in the stream at `path` that is not as a writer leaves it.

    All committed rows are read once, some chunks at a time, and the store is listed. The stream may be
    written, read and shortened meanwhile. :func:`streamzarr.stream.repair` mends what can be mended without
    loss.

    Parameters
    ----------
    progress
        Called with the number of chunks that were read and of all; True draws a line on stderr.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is no stream.
    streamzarr.errors.MetadataError
        Its root is damaged: nothing can be said of the rest.
    streamzarr.errors.StoreError
        The store failed.

    Examples
    --------
    >>> import streamzarr as sz
    >>> with sz.StreamWriter("memory://checked", schema={"value": "i4"}, chunk_rows=2) as writer:
    ...     writer.append({"value": [1, 2, 3]})
    >>> sz.stream.check("memory://checked").is_sound
    True
    >>> sz.stores.open_store("memory://checked").delete("value/c/0")
    >>> [each.kind.title for each in sz.stream.check("memory://checked").findings]
    ['missing chunk']
    """
    opened, path = open_store(store, mode="r"), normalize_path(path)
    before = snapshot_of(open_view(opened, path, limits))
    names, in_flight = [*before.document.arrays], opened.capabilities.in_flight
    documents = in_parallel(lambda name: _document(opened, path, name, limits), names, in_flight)
    compared_at_once = min((chunks_at_once(before[name], in_flight) for name in before), default=1)
    objects, copies = list[StoredObject](), list[Finding]()
    for batch in batches(stored_objects(opened, path, before.document), LISTED):
        objects += (each for each in batch if not _is_live(each, before))
        doubles = [each for each in batch if isinstance(each, StoredChunk) and _is_double(each, before)]
        copies += chain(*in_parallel(lambda each: [*_copy(each, before)], doubles, compared_at_once))
    others = [(each, Kind.STRANGE, "is no key") for each in opened.list_strange(path)]
    others += [(each, Kind.STALE, "was left by a killed process") for each in opened.list_stale(path)]
    advance = _Steps(as_progress(progress), sum(count_chunks(before[name]) for name in before)).advance
    values = [found for name in before for found in check_rows(before, name, advance)]
    now = before.refresh()
    findings = [
        *(each for found in zip(names, documents, strict=True) for each in _child(path, *found, before, now)),
        *(each for stored in objects for each in _orphan(stored, now)),
        *((Finding(kind, name, "", f"{name} {what}"), None) for name, kind, what in others),
        *((each, None) for each in copies),
        *values,
    ]
    kept = now.first_row
    return Checked(
        now.url, kept, before.rows, tuple(found for found, stop in findings if stop is None or stop > kept)
    )


class _Steps:
    """Counts what was done, and tells of it."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def advance(self, count: int) -> None:
        self._done += count
        self._progress(self._done, self._total)


def _is_live(stored: StoredObject, snapshot: Snapshot) -> bool:
    """Tell whether an object holds committed rows, as far as this snapshot tells."""
    if not isinstance(stored, StoredChunk):
        return False
    since, rows = _extent(snapshot, stored.array)
    return max(snapshot.first_row, since) < stored.rows.stop and stored.rows.start < rows and stored.fits


def _orphan(stored: StoredObject, now: Snapshot) -> Iterator[Found]:
    array, key = stored.array, stored.key
    if not isinstance(stored, StoredChunk):
        if array or not _is_member(stored, now):
            whose = f"no chunk of {array!r}" if array else "no part of the stream"
            yield Finding(Kind.STRANGE, key, array, f"{key} is {whose}"), None
        return
    rows, (since, committed) = stored.rows, _extent(now, array)
    place = f"{key} has rows {rows.start} to {rows.stop}"
    if not stored.fits:
        kind, what = Kind.STRANGE, f"{key} lies outside of {array!r}"
    elif rows.stop <= now.first_row:
        kind, what = Kind.GIVEN_UP, f"{place}, the stream begins with row {now.first_row}"
    elif rows.stop <= since:
        kind, what = Kind.EARLY, f"{place}, {array!r} begins with row {since}"
    elif rows.start >= committed:
        kind, what = Kind.BEHIND, f"{place}, {committed} are committed; the next put replaces it"
    else:
        return  # its rows were committed meanwhile
    yield Finding(kind, key, array, what), None


def _is_member(stored: StoredObject, now: Snapshot) -> bool:
    """Tell whether an object lies below a node that has come meanwhile."""
    below = stored.key[len(key_below(now.view.path, ZARR_JSON)) - len(ZARR_JSON) :]
    return below.partition("/")[0] in now.document.members


def _extent(snapshot: Snapshot, array: str) -> tuple[int, int]:
    """Return the first row that an array stores, and how many it has."""
    record, (group, _, name) = snapshot.record, array.rpartition("/")
    return (0, record.sealed[name]) if group else (record.since.get(name, 0), record.rows)


def _is_double(stored: StoredChunk, snapshot: Snapshot) -> bool:
    """Tell whether a shard has the committed rows of this chunk, too."""
    return _is_live(stored, snapshot) and stored.rows.stop <= snapshot.record.sealed.get(stored.array, 0)


def _copy(stored: StoredChunk, snapshot: Snapshot) -> Iterator[Finding]:
    """Compare a chunk with the shard that has its rows, too: other libraries read the chunk."""
    rows = snapshot.between(stored.rows.start, stored.rows.stop)
    try:
        shard = rows[stored.array].read((slice(None), *stored.inner))
    except (KeyNotFoundError, CodecError, LimitExceededError):
        return  # which is a finding already
    what = f"{stored.key} has other rows {rows.start} to {rows.stop} than their shard"
    try:
        chunk = snapshot.view.array(stored.array, ChunkCache()).read(  # it is no chunk of ours
            (slice(rows.start, rows.stop), *stored.inner), missing="error"
        )
    except KeyNotFoundError:
        return  # it is deleted right now
    except (CodecError, LimitExceededError) as error:
        yield Finding(Kind.COPY, stored.key, stored.array, f"{what}: {error}")
    else:
        if not _is_same(chunk, shard):
            yield Finding(Kind.COPY, stored.key, stored.array, what)


def _is_same(one: NDArray, other: NDArray) -> bool:
    return bool(np.array_equal(one, other) or ((one == other) | ((one != one) & (other != other))).all())


def _document(store: Store, path: str, name: str, limits: Limits) -> dict[str, Any] | str | None:
    """Return the document of a field, or what is wrong with it; None: it is not there."""
    key = key_below(key_below(path, name), ZARR_JSON)
    try:
        data = store.get_limited(key, limits.max_metadata_bytes)
        return parse_document(data, f"{store.url}: {key}", limits)
    except KeyNotFoundError:
        return None
    except (MetadataError, LimitExceededError) as error:
        return str(error)


def _child(
    path: str, name: str, document: dict[str, Any] | str | None, before: Snapshot, now: Snapshot
) -> Iterator[Found]:
    """Compare the document of a field, which was read between two looks at the root."""
    key, wanted = key_below(key_below(path, name), ZARR_JSON), now.document.child(name)
    shape: Any = document.get("shape") if isinstance(document, dict) else None
    most, least = _extent(now, name)[1], _extent(before, name)[1]
    kind = Kind.CHILD
    if document is None:
        kind, what = Kind.LAGS, f"the document of {name!r} is not there"
    elif isinstance(document, str):
        what = f"the document of {name!r} {document}"
    elif different := [part for part in LAYOUT if document.get(part) != wanted.get(part)]:
        what = f"the document of {name!r} has another {different[0]} than the root"
    elif not _fits(shape, wanted["shape"]):
        what = f"the document of {name!r} has the shape {shape}, the root has {wanted['shape']}"
    elif shape[0] > most:
        what = f"the document of {name!r} says {shape[0]} rows, but {most} are committed"
    elif shape[0] < least:
        kind, what = Kind.LAGS, f"the document of {name!r} says {shape[0]} rows of {least}"
    else:
        return
    yield Finding(kind, key, name, what), None


def _fits(shape: Any, wanted: list[int]) -> bool:
    """Tell whether a shape is the wanted one but for the rows."""
    return isinstance(shape, list) and shape[1:] == wanted[1:] and shape != [] and type(shape[0]) is int
