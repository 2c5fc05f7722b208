"""Putting the chunks of a stream so that a fenced writer cannot replace one of its successor.

Swapping the root alone does not fence data: a writer that was stopped before a put would carry it out when it
goes on, over rows that its successor has committed. So every put has a condition.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from streamzarr.errors import KeyNotFoundError, PreconditionFailedError, StoreError
from streamzarr.stores import Store, StoredObject
from streamzarr.stores.base import BytesLike
from streamzarr.stream.root import Root

FOR_A_THREAD: Final = 4
"""Puts that wait for a disk, for each thread that they are shared out to."""
TRIES: Final = 8
"""Puts of one chunk: each one that is refused met another writer, and the root says soon who of us may."""


def puts_in_flight(store: Store, count: int) -> int:
    """Return how many of `count` small puts should be under way at a time.

    Those that wait for a disk go one after the other where they are few: a commit then takes some ten
    milliseconds, and no thread is needed.
    """
    capabilities = store.capabilities
    return max(capabilities.in_flight, min(capabilities.syncs_in_flight, count // FOR_A_THREAD))


class FencedChunks:
    """Chunks by key, put by the writer of `root`. Any of its threads may put, each another key.

    Every call blocks on the store.
    """

    def __init__(self, store: Store, root: Root) -> None:
        self._store = store
        self._root = root
        self._etags: dict[str, str] = {}
        self._sizes: list[int] = []  # of chunks that were put: an append is one step for any thread
        self._put_bytes = 0

    def fetch(self, key: str, limit: int) -> StoredObject:
        """Return a chunk, and take note of its etag: the root is to be checked before any chunk is put."""
        stored = self._store.fetch_limited(key, limit)
        self._etags[key] = stored.etag
        return stored

    def put(self, key: str, data: BytesLike) -> None:
        """Put a chunk over what we last saw of it, or where nothing is.

        Raises
        ------
        streamzarr.errors.FencedError
            Another writer has taken over; the chunk is as it was.
        streamzarr.errors.StoreError
            The store failed: the chunk may have been put, now or later. Put it again.
        """
        for _ in range(TRIES):
            known = self._etags.get(key)
            try:
                etag = self._store.put(key, data, if_match=known, if_none_match=known is None)
            except PreconditionFailedError:
                self._learn(key)
            else:
                self._etags[key] = etag
                self._sizes.append(len(data))
                return
        raise StoreError(f"{self._store.url}: key {key!r} was replaced {TRIES} times while we put it")

    @property
    def put_bytes(self) -> int:
        """Bytes that were put so far."""
        return self._put_bytes + sum(self._sizes)

    def _learn(self, key: str) -> None:
        """Find out what is stored under `key`, and whether we may replace it.

        In this order: a writer that looked at the root first could be fenced before it asks for the etag, and
        would then know the etag of its successor's chunk.
        """
        try:
            etag = self._store.head(key).etag
        except KeyNotFoundError:
            etag = None
        self._root.require_ours()
        if etag is None:
            self._etags.pop(key, None)
        else:
            self._etags[key] = etag

    def keep_only(self, keys: Collection[str]) -> None:
        """Forget the chunks that are not among `keys`: full ones, which are not put again."""
        self._etags = {key: etag for key, etag in self._etags.items() if key in keys}
        self._put_bytes, self._sizes = self.put_bytes, []
