"""Retention: rows at the front of a stream are given up, and then their chunks are deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamzarr.errors import ConfigError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.options import integer, parse_bytes
from streamzarr.stores import Store, StoreLike, open_store
from streamzarr.stream.acquire import require_conditional_put
from streamzarr.stream.amend import amend
from streamzarr.stream.document import RootDocument
from streamzarr.stream.schema import chunk_rows_of
from streamzarr.stream.search import first_from
from streamzarr.stream.snapshot import Snapshot, snapshot_of
from streamzarr.stream.stored import stored_chunks
from streamzarr.stream.view import open_view
from streamzarr.zarr.nodes.paths import normalize_path


@dataclass(frozen=True, slots=True)
class Retained:
    """What retention has done."""

    before: int
    """The first row that was there before."""
    first_row: int
    """The first row that is there now."""
    chunks: int
    """Chunks that were deleted, among them those that an earlier run was stopped before."""


def retain(
    store: StoreLike,
    path: str = "",
    *,
    rows: int | None = None,
    since: Mapping[str, Any] | None = None,
    max_bytes: int | str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Retained:
    """Give up rows at the front of the stream at `path`, in one step, and delete their chunks.

    Whole chunks go, so somewhat more is kept than was asked for; the chunk of the last row always is, in
    every field: its writer holds it. The stream may be written and read meanwhile. Whoever reads rows that
    are given up gets :class:`~streamzarr.errors.KeyNotFoundError`, never the fill value. Repeat it after an
    error.

    Parameters
    ----------
    rows
        Keep at least so many of the last rows.
    since
        Keep rows from a value of a sorted field on, such as ``{"time": "2026-01-05"}``.
    max_bytes
        Keep the last rows whose chunks take at most so much in the store, such as ``"10GB"``.

    Raises
    ------
    streamzarr.errors.ConfigError
        Not exactly one of the three is given.
    ValueError
        The field of `since` is not sorted.
    streamzarr.errors.NodeNotFoundError
        There is no stream, or no such field.
    streamzarr.errors.UnsupportedError
        The store cannot hold streams.
    streamzarr.errors.StoreError
        The store failed.

    Examples
    --------
    >>> import streamzarr as sz
    >>> writer = sz.StreamWriter("memory://kept", schema={"value": "i4"}, chunk_rows=10)
    >>> writer.append({"value": range(95)})
    >>> writer.commit()
    >>> sz.stream.retain("memory://kept", rows=50)
    Retained(before=0, first_row=40, chunks=4)
    """
    opened, path = open_store(store), normalize_path(path)
    snapshot = snapshot_of(open_view(opened, path, limits))
    wanted = _wanted(opened, path, snapshot, rows, since, max_bytes)
    require_conditional_put(opened)

    def change(document: RootDocument) -> RootDocument:
        first_row = first_row_for(document, wanted)
        if first_row == document.record.first_row:
            return document
        return document.committed(replace(document.record, first_row=first_row))

    document = amend(opened, path, change, limits)
    return Retained(snapshot.first_row, document.record.first_row, sweep(opened, path, document))


def first_row_for(document: RootDocument, wanted: int) -> int:
    """Return the first row that is kept if those before `wanted` are not needed.

    It is where a chunk of the field with the longest ones begins, never before what is given up already, and
    never behind the last chunk of any field: a writer puts it, or reads its last row when it takes over.
    """
    lengths = [chunk_rows_of(array) for array in document.fields.values()]
    last = max(document.record.rows - 1, 0)
    held = min(last // length * length for length in lengths)
    longest = max(lengths)
    return max(document.record.first_row, min(wanted, held) // longest * longest)


def sweep(store: Store, path: str, document: RootDocument) -> int:
    """Delete the chunks whose rows were all given up, and return how many."""
    count = 0

    def gone() -> Any:
        nonlocal count
        for chunk in stored_chunks(store, path, document):
            if chunk.rows.stop <= document.record.first_row:
                count += 1
                yield chunk.key

    store.delete_many(gone())
    return count


def _wanted(
    store: Store,
    path: str,
    snapshot: Snapshot,
    rows: int | None,
    since: Mapping[str, Any] | None,
    max_bytes: int | str | None,
) -> int:
    """Return the first row that is to be kept."""
    if sum(each is not None for each in (rows, since, max_bytes)) != 1:
        raise ConfigError("retain: expected exactly one of rows, since and max_bytes")
    if rows is not None:
        return max(0, snapshot.rows - integer("rows", rows, 0))
    if since is not None:
        found = [first_from(snapshot[name], value) for name, value in since.items()]
        return snapshot.first_row + max(found, default=0)
    assert max_bytes is not None
    return _first_within(store, path, snapshot.document, integer("max_bytes", parse_bytes(max_bytes), 0))


def _first_within(store: Store, path: str, document: RootDocument, most: int) -> int:
    """Return the row from which on the chunks take at most so many bytes."""
    longest = max(chunk_rows_of(array) for array in document.fields.values())
    sizes: dict[int, int] = {}
    """By the row behind which, in steps of the longest chunks, a chunk goes with the rows before."""
    for chunk in stored_chunks(store, path, document):
        step = -(-chunk.rows.stop // longest)
        sizes[step] = sizes.get(step, 0) + chunk.nbytes
    total, row = sum(sizes.values()), 0
    for step in sorted(sizes):
        if total <= most:
            break
        total, row = total - sizes[step], step * longest
    return row
