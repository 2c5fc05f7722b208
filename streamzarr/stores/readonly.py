# ruff: noqa: D102 - methods are documented by Store, where nothing is added to it
"""A store seen without its writing side."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from dataclasses import replace

from streamzarr.errors import UnsupportedError
from streamzarr.stores.base import (
    ByteRange,
    BytesLike,
    Capabilities,
    DirListing,
    ObjectInfo,
    Store,
    StoredObject,
)


class ReadOnlyStore(Store):
    """Reads go to `inner`; writes raise :class:`~streamzarr.errors.UnsupportedError`. Threads: as `inner`.

    Examples
    --------
    >>> from streamzarr.stores import MemoryStore
    >>> ReadOnlyStore(MemoryStore("shared")).put("a", b"")
    Traceback (most recent call last):
    streamzarr.errors.UnsupportedError: memory://shared: cannot write 'a': opened read-only
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    @property
    def url(self) -> str:
        """The URL of the inner store."""
        return self._inner.url

    @property
    def capabilities(self) -> Capabilities:
        """Those of the inner store, less writing."""
        return replace(
            self._inner.capabilities, writable=False, conditional_put=False, multi_key_transaction=False
        )

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        return self._inner.get(key, byte_range)

    def get_limited(self, key: str, limit: int) -> bytes:
        return self._inner.get_limited(key, limit)

    def get_into(self, key: str, buffer: bytearray | memoryview) -> int | None:
        return self._inner.get_into(key, buffer)

    def get_many_into(
        self, keys: Sequence[str], buffers: Sequence[bytearray | memoryview]
    ) -> builtins.list[int | None]:
        return self._inner.get_many_into(keys, buffers)

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> builtins.list[bytes]:
        return self._inner.get_ranges(key, ranges)

    def fetch(self, key: str) -> StoredObject:
        return self._inner.fetch(key)

    def fetch_limited(self, key: str, limit: int) -> StoredObject:
        return self._inner.fetch_limited(key, limit)

    def fetch_changed(self, key: str, etag: str, limit: int) -> StoredObject | None:
        return self._inner.fetch_changed(key, etag, limit)

    def head(self, key: str) -> ObjectInfo:
        return self._inner.head(key)

    def put(
        self, key: str, data: BytesLike, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        raise self._refused("write", key)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        raise self._refused("delete", key)

    def delete_prefix(self, prefix: str) -> None:
        raise self._refused("delete", f"{prefix}/")

    def list(self, prefix: str = "") -> Iterator[str]:
        return self._inner.list(prefix)

    def list_sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return self._inner.list_sizes(prefix)

    def list_strange(self, prefix: str = "") -> Iterator[str]:
        return self._inner.list_strange(prefix)

    def list_stale(self, prefix: str = "") -> Iterator[str]:
        return self._inner.list_stale(prefix)

    def list_dir(self, prefix: str = "") -> DirListing:
        return self._inner.list_dir(prefix)

    def exists(self, key: str) -> bool:
        return self._inner.exists(key)

    def close(self) -> None:
        self._inner.close()

    def __repr__(self) -> str:
        return f"ReadOnlyStore({self._inner!r})"

    def _refused(self, what: str, key: str) -> UnsupportedError:
        return UnsupportedError(f"{self.url}: cannot {what} {key!r}: opened read-only")
