"""A cache of decoded chunks, bounded by bytes: the least recently used chunk goes first."""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from weakref import WeakSet

from streamzarr.errors import ConfigError
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.metadata import ArrayMetadata

NODES = 1024
"""Of how many nodes the metadata are kept. Documents are small, or bounded by ``Limits``."""

Index: TypeAlias = tuple[int, ...]
_Owner: TypeAlias = tuple[str, str]
"""URL of an array, and how its chunks are laid out: one that took another's place shares nothing with it."""
_Name: TypeAlias = tuple[_Owner, str]
"""An array, and the key of a chunk or shard in its store."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache has done, and holds."""

    hits: int
    misses: int
    evictions: int
    """Chunks that made room for others."""
    chunks: int
    bytes: int
    max_bytes: int

    @property
    def hit_rate(self) -> float:
        """Share of reads that were served; 0 before the first."""
        return self.hits / (self.hits + self.misses) if self.hits else 0.0


class ChunkCache:
    """Decoded chunks of any number of arrays, `max_bytes` of them together.

    Give it to ``open_array`` or ``open_group`` as ``cache=``. Worth it where chunks are read more than once:
    in windows that slide over them, or one row at a time. Chunks that are written or deleted through an array
    which has this cache are forgotten, as are all of an array on :meth:`Array.refresh
    <streamzarr.zarr.Array.refresh>`; what somebody else writes is seen only after that.
    Inside a shard, each inner chunk is kept on its own. Chunks that are not stored are not kept.

    Thread-safe; no method blocks. A forked child begins with an empty cache, and so does who unpickles one.

    Parameters
    ----------
    max_bytes
        Bound on the bytes of the elements that are kept.

    Examples
    --------
    >>> import numpy as np
    >>> import streamzarr.zarr as zarr
    >>> made = zarr.create_array("memory://windows", data=np.arange(1000), chunks=100)
    >>> cache = ChunkCache(max_bytes=64 << 20)
    >>> z = zarr.open_array("memory://windows", cache=cache)
    >>> means = [float(z[start : start + 50].mean()) for start in range(950)]
    >>> stats = cache.stats()
    >>> stats.misses, stats.hits > 1000, stats.bytes
    (10, True, 8000)
    """

    def __init__(self, max_bytes: int = 256 << 20) -> None:
        if max_bytes < 1:
            raise ConfigError(f"max_bytes: expected at least 1, got {max_bytes}")
        self.max_bytes = max_bytes
        self._reset()
        _caches.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[_Name, Index], tuple[NDArray, int]] = OrderedDict()
        self._inner: dict[_Name, set[Index]] = {}
        self._stamps: defaultdict[_Owner, int] = defaultdict(int)
        self._changing: set[_Name] = set()
        self._nodes: OrderedDict[Hashable, Any] = OrderedDict()
        self._bytes = self._hits = self._misses = self._evictions = 0

    def of(self, url: str, metadata: ArrayMetadata) -> ArrayCache:
        """Return the part of the cache that belongs to the array at `url`."""
        document = metadata.to_json()
        layout = {name: value for name, value in document.items() if name not in ("shape", "attributes")}
        return ArrayCache(self, (url, json.dumps(layout, sort_keys=True, default=str)))

    def stats(self) -> CacheStats:
        """Return counts since the cache was made, and what it holds now."""
        with self._lock:
            return CacheStats(
                self._hits, self._misses, self._evictions, len(self._blocks), self._bytes, self.max_bytes
            )

    @property
    def misses(self) -> int:
        """Chunks that were asked for and not there, since the cache was made."""
        return self._misses

    def clear(self) -> None:
        """Forget all chunks; counts go on."""
        self.invalidate("")

    def invalidate(self, prefix: str) -> None:
        """Forget the chunks of the array at URL `prefix`, or of all arrays below it; ``""`` is all."""
        self._forget(lambda url: not prefix or f"{url}/".startswith(f"{prefix}/"))  # "a" is not above "ab"

    def _forget(self, chosen: Callable[[str], bool]) -> None:
        with self._lock:
            for owner in self._stamps:
                if chosen(owner[0]):
                    self._stamps[owner] += 1
            for name in [name for name in self._inner if chosen(name[0][0])]:
                self._drop(name)

    def node(self, place: Hashable) -> Any:
        """Return the metadata that was kept of a node, or None."""
        return self._nodes.get(place)

    def keep_node(self, url: str, place: Hashable, metadata: Any) -> None:
        """Keep the metadata of the node at `url`, whose etag the reader compares each time.

        They are new or have changed, so the chunks may have been written anew with them.
        """
        self._forget(url.__eq__)
        with self._lock:
            self._nodes[place] = metadata
            if len(self._nodes) > NODES:
                self._nodes.popitem(last=False)

    def _drop(self, name: _Name) -> None:
        for inner in self._inner.pop(name, ()):
            self._bytes -= self._blocks.pop((name, inner))[1]

    def __reduce__(self) -> tuple[type[ChunkCache], tuple[int]]:
        return ChunkCache, (self.max_bytes,)

    def __repr__(self) -> str:
        return f"ChunkCache(max_bytes={self.max_bytes})"


@dataclass(frozen=True, slots=True)
class ArrayCache:
    """The chunks of one array in a :class:`ChunkCache`. `inner` is the index of a chunk within a shard."""

    cache: ChunkCache
    owner: _Owner

    def get(self, key: str, inner: Index = ()) -> NDArray | None:
        """Return a chunk, read-only, if it is there."""
        cache, at = self.cache, ((self.owner, key), inner)
        with cache._lock:
            found = cache._blocks.get(at)
            if found is None:
                cache._misses += 1
                return None
            cache._hits += 1
            cache._blocks.move_to_end(at)
            return found[0]

    def stamp(self) -> int:
        """Return a number to be asked for before a chunk is read from the store, and given to :meth:`put`."""
        with self.cache._lock:
            return self.cache._stamps[self.owner]

    def put(self, key: str, stamp: int, inner: Index, block: NDArray) -> NDArray:
        """Keep a chunk, unless any of the array was written since `stamp`, and return it, read-only.

        A reader that was overtaken by a writer would keep the old chunk for good.
        """
        kept = block if block.base is None else block.copy()  # a view would keep all that it is a view of
        kept.flags.writeable = False
        size = _nbytes(kept)
        cache, name = self.cache, (self.owner, key)
        with cache._lock:
            overtaken = stamp != cache._stamps[self.owner] or name in cache._changing
            if size > cache.max_bytes or overtaken or (name, inner) in cache._blocks:
                return kept
            while cache._bytes + size > cache.max_bytes:
                (old, place), (_, freed) = cache._blocks.popitem(last=False)
                cache._bytes -= freed
                cache._evictions += 1
                cache._inner[old].discard(place)
                if not cache._inner[old]:
                    del cache._inner[old]
            cache._blocks[name, inner] = kept, size
            cache._inner.setdefault(name, set()).add(inner)
            cache._bytes += size
        return kept

    @contextmanager
    def changing(self, keys: Sequence[str]) -> Iterator[None]:
        """Forget chunks, or all chunks of shards, and keep none of them until they are written.

        Meanwhile readers ask the store: one that has seen the new chunk there never sees the old one here.
        One writer at a time may change a key.
        """
        cache, names = self.cache, [(self.owner, key) for key in keys]
        with cache._lock:
            cache._changing.update(names)
            for name in names:
                cache._drop(name)
        try:
            yield
        finally:
            with cache._lock:
                cache._stamps[self.owner] += 1
                cache._changing.difference_update(names)


CacheLike: TypeAlias = ChunkCache | int | None


def as_cache(cache: CacheLike) -> ChunkCache | None:
    """Return a new cache for a number of bytes, and others as they are."""
    return ChunkCache(cache) if isinstance(cache, int) else cache


def _nbytes(block: NDArray) -> int:
    """Return the bytes of a block, with those of strings, which lie elsewhere."""
    return block.nbytes + (sum(map(len, block.flat)) if block.dtype.kind in "OT" else 0)


_caches: WeakSet[ChunkCache] = WeakSet()


def _empty_all() -> None:
    """Empty the caches of a forked child: a thread of the parent may have been changing one."""
    for cache in _caches:
        cache._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_empty_all)
