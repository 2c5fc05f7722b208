# ruff: noqa: D102 - methods are documented by Store, where nothing is added to it
"""Values in this process's memory: for tests, examples and small intermediate arrays."""

from __future__ import annotations

import builtins
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from typing import NoReturn
from weakref import WeakValueDictionary

from streamzarr.errors import KeyNotFoundError, PreconditionFailedError, UnsupportedError
from streamzarr.stores.base import (
    ByteRange,
    BytesLike,
    Capabilities,
    DirListing,
    ObjectInfo,
    Store,
    StoredObject,
    as_bytes_view,
    resolve_range,
)
from streamzarr.stores.key import below, check_key, check_prefix
from streamzarr.stores.url import StoreURL

_CAPABILITIES = Capabilities(conditional_put=True, atomic_put=True)


class _Values:
    """What the stores of one name share. Reads take no lock: one dict lookup is atomic."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_key: dict[str, StoredObject] = {}


_etags = itertools.count(1)
_anonymous = itertools.count(1)
_all: WeakValueDictionary[str, _Values] = WeakValueDictionary()
_named: dict[str, _Values] = {}
_registry_lock = threading.Lock()


def _renew_locks() -> None:
    """Give a forked child free locks: the thread that held one does not exist there."""
    global _registry_lock
    _registry_lock = threading.Lock()
    for values in _all.values():
        values.lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)


class MemoryStore(Store):
    """Values in a dict. Stores of one `name` share it within the process; without a name it is new.

    Thread-safe. Nothing blocks but writers on each other, for the time of a dict update. A child made by
    ``fork`` has a copy of its own from then on; pickling is refused, since the values would not follow.

    Parameters
    ----------
    name
        Values under a name live as long as the process; those of a nameless store as long as the object.
    prefix
        Directory path below which this store keeps its keys.

    Examples
    --------
    >>> store = MemoryStore()
    >>> etag = store.put("a/zarr.json", b"{}")
    >>> store.get("a/zarr.json"), store.list_dir()
    (b'{}', DirListing(keys=(), prefixes=('a/',)))
    """

    def __init__(self, name: str = "", prefix: str = "") -> None:
        check_prefix(prefix)
        with _registry_lock:
            self._name = name or f"anonymous-{os.getpid()}-{next(_anonymous)}"
            values = _all.get(self._name)
            if values is None:
                values = _all[self._name] = _Values()
            if name and not name.startswith("anonymous-"):
                _named[name] = values
        self._values = values
        self._path = prefix
        self._below = below(prefix)

    @classmethod
    def from_url(cls, url: StoreURL) -> MemoryStore:
        """Open ``memory://name/prefix``, or a new store for ``memory://``."""
        url.reject_options()
        return cls(url.authority, url.path)

    @property
    def url(self) -> str:
        """``memory://name``; opens the same values within this process."""
        return str(StoreURL("memory", self._name, self._path))

    @property
    def capabilities(self) -> Capabilities:
        """All but transactions."""
        return _CAPABILITIES

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        data = self.fetch(key).data
        if byte_range is None:
            return data
        start, stop = resolve_range(byte_range, len(data))
        return data[start:stop]

    def get_into(self, key: str, buffer: bytearray | memoryview) -> int | None:
        check_key(key)
        found = self._values.by_key.get(self._below + key)
        if found is None:
            return None
        size = len(found.data)
        if size <= len(buffer):
            buffer[:size] = found.data
        else:
            buffer[:] = memoryview(found.data)[: len(buffer)]
        return size

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> builtins.list[bytes]:
        data = self.fetch(key).data  # of one version
        return [data[slice(*resolve_range(wanted, len(data)))] for wanted in ranges]

    def fetch(self, key: str) -> StoredObject:
        check_key(key)
        found = self._values.by_key.get(self._below + key)
        if found is None:
            raise KeyNotFoundError(f"{self.url}: no value under key {key!r}")
        return found

    def head(self, key: str) -> ObjectInfo:
        found = self.fetch(key)
        return ObjectInfo(len(found.data), found.etag)

    def put(
        self, key: str, data: BytesLike, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        check_key(key)
        value = StoredObject(bytes(as_bytes_view(data)), f"{next(_etags):x}")
        full = self._below + key
        values = self._values
        with values.lock:
            if if_match is not None or if_none_match:
                self._check(key, values.by_key.get(full), if_match, if_none_match)
            values.by_key[full] = value
        return value.etag

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        check_key(key)
        full = self._below + key
        with self._values.lock:
            if if_match is not None:
                self._check(key, self._values.by_key.get(full), if_match, False)
            self._values.by_key.pop(full, None)

    def delete_prefix(self, prefix: str) -> None:
        check_prefix(prefix)
        start = self._below + below(prefix)
        with self._values.lock:
            for key in [key for key in self._values.by_key if key.startswith(start)]:
                del self._values.by_key[key]

    def list(self, prefix: str = "") -> Iterator[str]:
        check_prefix(prefix)
        start, skip = self._below + below(prefix), len(self._below)
        return iter([key[skip:] for key in self._snapshot() if key.startswith(start)])

    def list_sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        check_prefix(prefix)
        start, skip = self._below + below(prefix), len(self._below)
        with self._values.lock:
            found = [*self._values.by_key.items()]
        return ((key[skip:], len(each.data)) for key, each in found if key.startswith(start))

    def list_dir(self, prefix: str = "") -> DirListing:
        return DirListing.of(prefix, self.list(prefix))

    def _snapshot(self) -> builtins.list[str]:
        with self._values.lock:
            return [*self._values.by_key]

    def _check(self, key: str, found: StoredObject | None, if_match: str | None, if_none_match: bool) -> None:
        if if_none_match and found is not None:
            raise PreconditionFailedError(f"{self.url}: key {key!r} already holds a value, expected none")
        if if_match is not None and (found is None or found.etag != if_match):
            got = "no value" if found is None else f"etag {found.etag!r}"
            raise PreconditionFailedError(f"{self.url}: key {key!r} has {got}, expected etag {if_match!r}")

    def __repr__(self) -> str:
        return f"MemoryStore({self.url!r})"

    def __reduce__(self) -> NoReturn:
        raise UnsupportedError(
            f"{self.url}: a memory store lives in one process and cannot be sent to another; use a local path"
        )
