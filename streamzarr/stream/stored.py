"""What a stream has in its store, found by a listing: for maintenance alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from streamzarr.stores import Store
from streamzarr.stream.document import SHARDS, RootDocument
from streamzarr.stream.schema import chunk_rows_of
from streamzarr.zarr.metadata import ArrayMetadataV3
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.paths import key_below


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object below the stream's group that is no document of it."""

    array: str
    """The path of its array below the stream's group: that of a field, or of its shards; "" if none."""
    key: str
    nbytes: int
    """Its size in the store."""


@dataclass(frozen=True, slots=True)
class StoredChunk(StoredObject):
    """A chunk, or a shard, whether committed rows lie in it or not."""

    rows: range
    """The rows that it has room for."""
    inner: tuple[slice, ...]
    """Its part of a row."""
    fits: bool
    """Whether it is within the shape of a row."""


def stored_objects(store: Store, path: str, document: RootDocument) -> Iterator[StoredObject]:
    """Yield what lies below the group, but for documents and other members' own, in no stated order.

    What comes or goes meanwhile may be there.
    """
    arrays, start = document.arrays, len(key_below(path, ZARR_JSON)) - len(ZARR_JSON)
    for key, nbytes in store.list_sizes(path):
        parts = key[start:].split("/")
        depth = 2 if parts[0] == SHARDS and document.shards else 1
        name, below = "/".join(parts[:depth]), "/".join(parts[depth:])
        if name in arrays and below != ZARR_JSON:
            yield _stored(name, arrays[name], key, below, nbytes)
        elif parts[0] not in document.members and parts != [ZARR_JSON]:
            yield StoredObject("", key, nbytes)


def stored_chunks(store: Store, path: str, document: RootDocument) -> Iterator[StoredChunk]:
    """Yield the chunks and shards of all fields, in no stated order."""
    return (each for each in stored_objects(store, path, document) if isinstance(each, StoredChunk))


def _stored(name: str, array: ArrayMetadataV3, key: str, below: str, nbytes: int) -> StoredObject:
    try:
        index = array.chunk_keys.decode(below)
    except ValueError:
        return StoredObject(name, key, nbytes)
    if len(index) != len(array.shape):
        return StoredObject(name, key, nbytes)
    length = chunk_rows_of(array)
    start = index[0] * length
    along = list(zip(index[1:], array.chunks[1:], array.shape[1:], strict=True))
    fits = all(at * chunk < size for at, chunk, size in along)
    inner = tuple(slice(at * chunk, (at + 1) * chunk) for at, chunk, _ in along)
    return StoredChunk(name, key, nbytes, range(start, start + length), inner, fits)
