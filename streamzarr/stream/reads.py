"""Reads of chunks that are under way: which of them have to look at the root again before they answer."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

from streamzarr.zarr.chunks.cache import ChunkCache


class Reads:
    """The reads of one stream by all who share a cache of its chunks.

    A chunk may be deleted once its rows are given up or lie in a shard, and what a replaced writer puts late
    may then stand in its place. Whoever has fetched a chunk is sure of it when the root, looked at then,
    still says that it belongs there. Until then it lies in the cache unconfirmed, where others find it: so
    they look too, unless they were alone and fetched nothing themselves.

    Thread-safe without a lock, which a forked child might find taken; nothing blocks.
    """

    def __init__(self) -> None:
        self.stream: str | None = None
        """The id of the stream that was opened last; another one may be made in its place."""
        self._under_way: Final[set[object]] = set()

    @contextmanager
    def one(self, urls: Collection[str], *caches: ChunkCache) -> Iterator[Read]:
        """Count one read of arrays, which finds chunks in `caches`, or keeps there what it fetches.

        What one that fails has fetched will not be confirmed by anybody, so it is forgotten.
        """
        read = Read(self, caches)
        try:
            self._under_way.add(read)  # before anything is looked at, and until it is confirmed
            read.begin()
            yield read
        except BaseException:
            if not read.is_confirmed:
                read.forget(*urls)
            raise
        finally:
            self._under_way.discard(read)

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def end_all(self) -> None:
        """Forget those that are under way: a forked child has none of their threads."""
        self._under_way.clear()


_reads_of: WeakKeyDictionary[ChunkCache, dict[str, Reads]] = WeakKeyDictionary()


def reads_of(cache: ChunkCache, url: str) -> Reads:
    """Return the reads of the stream at `url` by all who keep its chunks in `cache`."""
    return _reads_of.setdefault(cache, {}).setdefault(url, Reads())


def _forget_other_threads() -> None:
    for of_one_cache in _reads_of.values():
        for reads in of_one_cache.values():
            reads.end_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


class Read:
    """One read. Owned by the thread that reads."""

    def __init__(self, reads: Reads, caches: tuple[ChunkCache, ...]) -> None:
        self._reads, self._caches = reads, caches
        self._misses, self._alone = 0, False

    def begin(self) -> None:
        """Note what it begins with; whoever fetches from now on is seen by :attr:`is_confirmed`."""
        self._misses = self._missed()
        self._alone = self._reads.count == 1

    @property
    def is_confirmed(self) -> bool:
        """Whether all that it has read so far was in the caches, and confirmed when it began."""
        return self._alone and self._reads.count == 1 and self._missed() == self._misses

    def forget(self, *urls: str) -> None:
        """Forget what lies in the caches of these arrays, some of it unconfirmed."""
        for cache in self._caches:
            for url in urls:
                cache.invalidate(url)

    def _missed(self) -> int:
        return sum(cache.misses for cache in self._caches)
