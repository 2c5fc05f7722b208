"""Compaction: full chunks are gathered in large shards, in arrays beside those of the fields.

A chunk that holds only committed rows never changes, so whoever copies it copies what it will always be. The
root says how many rows of a field are in shards; that is the one step that counts. Nothing that a writer puts
is touched: its chunks begin where the committed ones end.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamzarr.errors import ConfigError, NodeExistsError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.options import integer
from streamzarr.stores import Store, StoreLike, join_url, open_store
from streamzarr.stream.acquire import require_conditional_put
from streamzarr.stream.amend import amend
from streamzarr.stream.children import Children
from streamzarr.stream.document import SHARDS, RootDocument
from streamzarr.stream.schema import chunk_rows_of
from streamzarr.stream.snapshot import Snapshot, snapshot_of
from streamzarr.stream.stored import stored_chunks
from streamzarr.stream.view import open_view
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.metadata import ArrayMetadataV3
from streamzarr.zarr.metadata.v3 import parse_v3
from streamzarr.zarr.nodes.documents import check_absent, make_group
from streamzarr.zarr.nodes.paths import key_below, normalize_path

CHUNKS: Final = 64
"""Chunks of rows in a shard, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction has done."""

    sealed: Mapping[str, int]
    """Rows of each field that are in shards now."""
    shards: int
    """Shards that were put."""
    chunks: int
    """Chunks that were deleted."""


def compact(
    store: StoreLike,
    path: str = "",
    *,
    chunks: int = CHUNKS,
    delete: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Compacted:
    """Copy full chunks of the stream at `path` into large shards, from which they are then read.

    Each field has as many rows in shards as fill whole ones; the last chunk always stays as it is. The stream
    may be written and read meanwhile. Repeat it after an error, and whenever enough rows have come.

    Parameters
    ----------
    chunks
        Chunks of rows in a shard; only the first compaction of a field asks.
    delete
        Delete the chunks that are in shards. Other libraries then find these rows in the group ``shards``
        alone: in the field itself they read the fill value.

    Raises
    ------
    streamzarr.errors.ConfigError
        A node of the stream is called ``shards``, so there is no room for them.
    streamzarr.errors.NodeNotFoundError
        There is no stream.
    streamzarr.errors.KeyNotFoundError, streamzarr.errors.CodecError
        A chunk with committed rows is missing or damaged.
    streamzarr.errors.UnsupportedError, streamzarr.errors.StoreError
        The store cannot hold streams, or failed.

    Examples
    --------
    >>> import streamzarr as sz
    >>> writer = sz.StreamWriter("memory://compacted", schema={"value": "i4"}, chunk_rows=10)
    >>> writer.append({"value": range(95)})
    >>> writer.commit()
    >>> sz.stream.compact("memory://compacted", chunks=4, delete=True)
    Compacted(sealed={'value': 80}, shards=2, chunks=8)
    >>> sz.open_stream("memory://compacted")["value"][78:]
    array([78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94],
          dtype=int32)
    """
    opened, path = open_store(store), normalize_path(path)
    integer("chunks", chunks, 1)
    require_conditional_put(opened)
    snapshot = snapshot_of(open_view(opened, path, limits))
    where = join_url(opened.url, path)
    if not snapshot.document.shards:
        _check_room(opened, path, snapshot)
    root = amend(opened, path, lambda found: _declared(found, chunks, where, limits), limits)
    snapshot = snapshot.refresh()
    sealed, count = {}, 0
    for name, array in root.shards.items():
        rows = whole_shards(root, name)
        sealed[name] = max(rows, snapshot.record.sealed[name])
        count += _copy(opened, path, snapshot, name, array, range(snapshot.record.sealed[name], rows))
    root = amend(opened, path, lambda found: _sealed(found, sealed), limits)
    make_group(opened, key_below(path, SHARDS), 3)
    for name in root.shards:
        Children(opened, path, limits).follow_to(root, key_below(SHARDS, name), root.record.sealed[name])
    return Compacted(dict(root.record.sealed), count, _delete(opened, path, root) if delete else 0)


def _check_room(store: Store, path: str, snapshot: Snapshot) -> None:
    try:
        check_absent(store, key_below(path, SHARDS))
    except NodeExistsError as error:
        if not snapshot.refresh().document.shards:  # else somebody else has just begun
            raise ConfigError(
                f"{snapshot.url}: has a member {SHARDS!r}, where the shards would be"
            ) from error


def whole_shards(root: RootDocument, name: str) -> int:
    """Return how many rows of a field fill whole shards, without the chunk of its last row."""
    length, shard = chunk_rows_of(root.fields[name]), chunk_rows_of(root.shards[name])
    return max(root.record.rows - 1, 0) // length * length // shard * shard


def _declared(found: RootDocument, chunks: int, where: str, limits: Limits) -> RootDocument:
    """Return the root with an array of shards for each field.

    It says how large they are before one is put, so that all who compact at the same time put the same.
    """
    if SHARDS in found.members and not found.shards:
        raise ConfigError(f"{where}: has a member {SHARDS!r}, where the shards would be")
    new = {
        name: sharded(array, chunks, f"{where}: {name}", limits)
        for name, array in found.fields.items()
        if name not in found.shards
    }
    return found.sealed({**dict.fromkeys(new, 0), **found.record.sealed}, new) if new else found


def _sealed(found: RootDocument, rows: Mapping[str, int]) -> RootDocument:
    more = {name: max(count, rows.get(name, 0)) for name, count in found.record.sealed.items()}
    return found if more == found.record.sealed else found.sealed(more, {})


def sharded(array: ArrayMetadataV3, chunks: int, where: str, limits: Limits) -> ArrayMetadataV3:
    """Return the array of a field's shards, of no row, each of which holds so many chunks of rows."""
    document = array.to_json()
    inner = list(array.chunks)
    codec = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": inner,
            "codecs": document["codecs"],
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            "index_location": "end",
        },
    }
    grid = {"name": "regular", "configuration": {"chunk_shape": [inner[0] * chunks, *inner[1:]]}}
    shape = [0, *array.shape[1:]]
    found = parse_v3(document | {"shape": shape, "chunk_grid": grid, "codecs": [codec]}, where, limits)
    assert isinstance(found, ArrayMetadataV3)
    return found


def _copy(store: Store, path: str, snapshot: Snapshot, name: str, array: ArrayMetadataV3, rows: range) -> int:
    """Put the shards with `rows` of a field, from the first row that is there on; return how many."""
    length, count = chunk_rows_of(array), 0
    prefix, chain = key_below(key_below(path, SHARDS), name), array.chain()
    for start in range(rows.start, rows.stop, length):
        if start + length <= snapshot.first_row:
            continue
        for index in _indices(array, start // length):
            data = chain.encode(_rows(snapshot, name, array, index))
            store.put(key_below(prefix, array.chunk_keys.encode(index)), data)
            count += 1
    return count


def _indices(array: ArrayMetadataV3, number: int) -> Iterator[tuple[int, ...]]:
    sizes = zip(array.shape[1:], array.chunk_grid.chunk_shape[1:], strict=True)
    return itertools.product((number,), *(range(-(-length // chunk)) for length, chunk in sizes))


def _rows(snapshot: Snapshot, name: str, array: ArrayMetadataV3, index: tuple[int, ...]) -> NDArray:
    """Return the content of one shard; rows that were given up are the fill value."""
    shape = array.chunk_grid.chunk_shape
    out = np.full(shape, array.fill_value, array.dtype)
    start = index[0] * shape[0]
    part = snapshot.between(start, start + shape[0])[name]
    inner = tuple(slice(at * size, (at + 1) * size) for at, size in zip(index[1:], shape[1:], strict=True))
    values = part.read((slice(None), *inner))
    out[(slice(part.start - start, part.stop - start), *map(slice, values.shape[1:]))] = values
    return out


def _delete(store: Store, path: str, root: RootDocument) -> int:
    """Delete the chunks that are in shards, and return how many."""
    gone = [
        chunk.key
        for chunk in stored_chunks(store, path, root)
        if chunk.rows.stop <= root.record.sealed.get(chunk.array, 0)
    ]
    store.delete_many(gone)
    return len(gone)
