"""Compaction: full chunks are gathered in large shards, in arrays beside those of the fields.

The root says how many rows of a field are in shards; that is the one step that counts. Nothing that a writer
puts is touched: its chunks begin where the committed ones end. :func:`streamzarr.jobs.compact_stream` has the
same steps, with the shards put by workers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from streamzarr.errors import ConfigError, NodeExistsError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.options import integer
from streamzarr.stores import Store, StoreLike, join_url, open_store
from streamzarr.stream.acquire import require_conditional_put
from streamzarr.stream.amend import amend
from streamzarr.stream.children import Children
from streamzarr.stream.document import SHARDS, RootDocument
from streamzarr.stream.shards import (
    put_shard,
    read_rows,
    shard_bytes,
    shard_region,
    sharded,
    shards_of,
    whole_shards,
)
from streamzarr.stream.snapshot import Snapshot, snapshot_of
from streamzarr.stream.stored import stored_chunks
from streamzarr.stream.view import open_view
from streamzarr.zarr.chunks.parallel import for_each
from streamzarr.zarr.nodes.documents import check_absent, make_group
from streamzarr.zarr.nodes.paths import key_below, normalize_path
from streamzarr.zarr.streaming.progress import Progress, as_progress

T = TypeVar("T")

CHUNKS: Final = 64
"""Chunks of rows in a shard, where nothing else is said."""
COPIED_BYTES: Final = 256 << 20
"""Shards that are copied at the same time, where the store likes several requests, hold at most so much; of
texts one at a time is copied, as nobody knows how long they are."""


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
    progress: Progress | bool | None = None,
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
    progress
        Called with the number of shards that were begun and of all, on whichever thread begins one; True
        draws a line on stderr.

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
    root = declare(opened, path, chunks, limits)
    snapshot = snapshot_of(open_view(opened, path, limits))
    whole = {name: range(root.record.sealed[name], whole_shards(root, name)) for name in root.shards}
    count = _copy(opened, path, snapshot, root, whole, as_progress(progress, "shards"))
    root = seal(opened, path, {name: rows.stop for name, rows in whole.items()}, limits)
    return Compacted(
        dict(root.record.sealed), count, delete_sealed(opened, path, root, root.fields) if delete else 0
    )


def declare(store: Store, path: str, chunks: int, limits: Limits = DEFAULT_LIMITS) -> RootDocument:
    """Let the root say how large the shards of each field are, where it does not yet, and return it.

    That comes before one is put, so that all who compact at the same time put the same. For errors see
    :func:`compact`.
    """
    integer("chunks", chunks, 1)
    require_conditional_put(store)
    snapshot = snapshot_of(open_view(store, path, limits))
    where = join_url(store.url, path)
    if not snapshot.document.shards:
        _check_room(store, path, snapshot)
    return amend(store, path, lambda found: _declared(found, chunks, where, limits), limits)


def seal(store: Store, path: str, rows: Mapping[str, int], limits: Limits = DEFAULT_LIMITS) -> RootDocument:
    """Let the root say that the first `rows` of fields are in shards, all of which are there; return it.

    From that step on everybody reads them there. A field of which more are already stays as it is.
    """
    root = amend(store, path, lambda found: _sealed(found, rows), limits)
    make_group(store, key_below(path, SHARDS), 3)
    for name in root.shards:
        Children(store, path, limits).follow_to(root, key_below(SHARDS, name), root.record.sealed[name])
    return root


def delete_sealed(store: Store, path: str, root: RootDocument, names: Collection[str]) -> int:
    """Delete the chunks of the fields called `names` that are in shards, and return how many."""
    gone = [
        chunk.key
        for chunk in stored_chunks(store, path, root)
        if chunk.array in names and chunk.rows.stop <= root.record.sealed.get(chunk.array, 0)
    ]
    store.delete_many(gone)
    return len(gone)


def _check_room(store: Store, path: str, snapshot: Snapshot) -> None:
    try:
        check_absent(store, key_below(path, SHARDS))
    except NodeExistsError as error:
        if not snapshot.refresh().document.shards:  # else somebody else has just begun
            raise ConfigError(
                f"{snapshot.url}: has a member {SHARDS!r}, where the shards would be"
            ) from error


def _declared(found: RootDocument, chunks: int, where: str, limits: Limits) -> RootDocument:
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


def _copy(
    store: Store,
    path: str,
    snapshot: Snapshot,
    root: RootDocument,
    whole: Mapping[str, range],
    progress: Progress,
) -> int:
    """Put the shards with these rows of the fields, from the first row that is there on; return how many."""
    wanted = [
        (name, index, region)
        for name, rows in whole.items()
        for index in shards_of(root.shards[name], rows)
        if (region := shard_region(root.shards[name], index))[0].stop > snapshot.first_row
    ]

    def copy(shard: tuple[str, tuple[int, ...], tuple[slice, ...]]) -> None:
        name, index, region = shard
        array = root.shards[name]
        put_shard(store, path, name, array, index, read_rows(snapshot, name, region, array.fill_value))

    sizes = {name: shard_bytes(array) for name, array in root.shards.items()}
    known = [shard for shard in wanted if sizes[shard[0]] is not None]
    texts = [shard for shard in wanted if sizes[shard[0]] is None]
    largest = max((sizes[name] or 0 for name, _, _ in known), default=0)
    shards = _told([*known, *texts], progress)
    at_once = max(1, min(store.capabilities.in_flight, COPIED_BYTES // max(largest, 1)))
    for_each(copy, islice(shards, len(known)), at_once)
    for_each(copy, shards, 1)
    return len(wanted)


def _told(shards: Sequence[T], progress: Progress) -> Iterator[T]:
    """Yield the shards; tell of each how many were begun before it."""
    for number, shard in enumerate(shards):
        progress(number, len(shards))
        yield shard
    progress(len(shards), len(shards))
