"""The shards of a stream: how large they are, what one of them holds, and putting it.

A chunk that holds only committed rows never changes, so whoever copies it copies what it will always be, and
all who put the same shard put the same values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import numpy as np

from streamzarr.errors import CodecError, KeyNotFoundError, PreconditionFailedError, StoreError
from streamzarr.limits import Limits
from streamzarr.stores import Store
from streamzarr.stream.document import SHARDS, RootDocument
from streamzarr.stream.schema import chunk_rows_of
from streamzarr.stream.snapshot import Snapshot
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.metadata import ArrayMetadataV3
from streamzarr.zarr.metadata.v3 import parse_v3
from streamzarr.zarr.nodes.paths import key_below

TRIES: Final = 8
"""Puts of one shard, each refused by somebody else's."""


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
    document |= {
        "shape": [0, *array.shape[1:]],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [inner[0] * chunks, *inner[1:]]}},
        "codecs": [codec],
    }
    found = parse_v3(document, where, limits)
    assert isinstance(found, ArrayMetadataV3)
    return found


def whole_shards(root: RootDocument, name: str) -> int:
    """Return how many rows of a field fill whole shards, without the chunk of its last row."""
    length, shard = chunk_rows_of(root.fields[name]), chunk_rows_of(root.shards[name])
    return max(root.record.rows - 1, 0) // length * length // shard * shard


def shard_bytes(array: ArrayMetadataV3) -> int | None:
    """Return how many bytes the values of one shard take in memory; None: as many as their texts are long."""
    if array.dtype.kind in "OT":
        return None
    return math.prod(array.chunk_grid.chunk_shape) * array.dtype.itemsize


def shards_of(array: ArrayMetadataV3, rows: range) -> Iterator[tuple[int, ...]]:
    """Yield the indices of the shards with `rows`, which begin and end with a shard."""
    sizes = zip(array.shape[1:], array.chunk_grid.chunk_shape[1:], strict=True)
    length = chunk_rows_of(array)
    numbers = range(rows.start // length, rows.stop // length)
    return itertools.product(numbers, *(range(-(-length // chunk)) for length, chunk in sizes))


def read_rows(snapshot: Snapshot, name: str, region: tuple[slice, ...], fill: Any) -> NDArray:
    """Return some committed rows of a field; those that were given up are `fill`.

    Raises
    ------
    streamzarr.errors.KeyNotFoundError, streamzarr.errors.CodecError
        A chunk is missing or damaged.
    """
    rows, inner = region[0], region[1:]
    while True:
        part = snapshot.between(rows.start, rows.stop)[name]
        try:
            values = part.read((slice(None), *inner))
            break
        except KeyNotFoundError:
            now = snapshot.refresh()
            if now.first_row <= part.start:
                raise
            snapshot = now
    out = np.full((rows.stop - rows.start, *values.shape[1:]), fill, values.dtype)
    if len(values):
        out[part.start - rows.start : part.stop - rows.start] = values
    return out


def put_shard(
    store: Store, path: str, name: str, array: ArrayMetadataV3, index: tuple[int, ...], values: NDArray
) -> None:
    """Put the shard at `index` of a field of the stream at `path`, all of whose rows are in `values`.

    One that is there stays, unless it is damaged. It may be read by now, in parts; and where rows were given
    up between two who copy them their shards are not the same, byte by byte.

    Raises
    ------
    streamzarr.errors.StoreError
        The store failed, or others put and delete the shard again and again.
    """
    chain, shape = array.chain(), array.chunk_grid.chunk_shape
    if values.shape != shape:  # at the far end of another axis
        whole = np.full(shape, array.fill_value, array.dtype)
        whole[tuple(map(slice, values.shape))] = values
        values = whole
    key = key_below(key_below(key_below(path, SHARDS), name), array.chunk_keys.encode(index))
    data, etag = chain.encode(values), None
    for _ in range(TRIES):
        with suppress(PreconditionFailedError):
            store.put(key, data, if_match=etag, if_none_match=etag is None)
            return
        try:
            found = store.fetch(key)
            chain.decode(found.data)
            return
        except KeyNotFoundError:
            etag = None
        except CodecError:
            etag = found.etag
    raise StoreError(f"{store.url}: key {key!r} was replaced {TRIES} times while we put it")


def shard_region(array: ArrayMetadataV3, index: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the rows, and the part of each, that the shard at `index` holds.

    Along other axes than that of the rows it may end behind the array.
    """
    shape = array.chunk_grid.chunk_shape
    return tuple(slice(at * size, (at + 1) * size) for at, size in zip(index, shape, strict=True))
