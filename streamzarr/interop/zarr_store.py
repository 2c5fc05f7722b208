# ruff: noqa: D102 - methods are documented by zarr.abc.store.Store, where nothing is added to it
"""Our stores as zarr-python's: the same bytes, read and written by zarr-python, xarray and dask.

Source: https://zarr.readthedocs.io/en/stable/api/zarr/abc/store ; every method of it that has a cheaper form
here (sizes without the value, one plan for many ranges, one delete for a tree) is overridden.
"""

from __future__ import annotations

import asyncio
import builtins
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.abc.store import Store as TheirStore
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from streamzarr.errors import KeyNotFoundError, PreconditionFailedError, UnsupportedError
from streamzarr.stores import (
    ByteRange,
    MemoryStore,
    RangeRequest,
    Store,
    StoreLike,
    SuffixRequest,
    open_store,
)

_LISTED_AT_ONCE = 1000
"""Keys that a listing takes from a store in one go: one page of S3, and few hops between threads."""


class ZarrStore(TheirStore):
    """The values of `store`, for zarr-python.

    Blocking calls run in the threads of the event loop that awaits them (their number:
    ``zarr.config.set({"threading.max_workers": n})``), so one slow store never stops another. Instances may
    be shared by threads and event loops. Two are equal when they read and write the same place in the same
    way. Picklable as far as the store is: one in memory only within its process.

    Parameters
    ----------
    store
        A store, or whatever :func:`streamzarr.stores.open_store` opens. One that was passed in stays open
        when this one is closed.
    read_only
        Refuse writes. Always true of a store that cannot be written, an archive for one.

    Raises
    ------
    ValueError
        By writing methods of a read-only store.
    streamzarr.errors.StoreError
        By every method, when the storage fails.

    Examples
    --------
    >>> import zarr
    >>> store = ZarrStore("memory://")
    >>> zarr.create_array(store, name="a", shape=4, dtype="i4")[:] = 7
    >>> import streamzarr as sz
    >>> sz.open_array(store.inner, path="a")[:]
    array([7, 7, 7, 7], dtype=int32)
    """

    def __init__(self, store: StoreLike, *, read_only: bool = False) -> None:
        self._inner = open_store(store)
        self._owned = not isinstance(store, Store)
        super().__init__(read_only=read_only or not self._inner.capabilities.writable)

    @property
    def inner(self) -> Store:
        """The store of ours that holds the values."""
        return self._inner

    def with_read_only(self, read_only: bool = False) -> ZarrStore:
        """Return a store of the same values that refuses writes, or takes them if they can be written."""
        return type(self)(self._inner, read_only=read_only)

    def close(self) -> None:
        super().close()
        if self._owned:
            self._inner.close()

    # What it can do -----------------------------------------------------------------------------------------

    @property
    def supports_writes(self) -> bool:
        return self._inner.capabilities.writable

    @property
    def supports_deletes(self) -> bool:
        return self._inner.capabilities.writable

    @property
    def supports_listing(self) -> bool:
        return self._inner.capabilities.listing

    # Reading ------------------------------------------------------------------------------------------------

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        await self._ensure_open()
        return await asyncio.to_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return the value of `key`, or None; blocks."""
        wanted = _our_range(byte_range)
        try:
            data = self._inner.get(key, wanted)
        except KeyNotFoundError:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> builtins.list[Buffer | None]:
        """Return a part of each value in the order asked for; the parts of one key are read together."""
        await self._ensure_open()
        asked = list(key_ranges)
        places: dict[str, builtins.list[int]] = defaultdict(list)
        for place, (key, _) in enumerate(asked):
            places[key].append(place)
        found: builtins.list[Buffer | None] = [None] * len(asked)

        async def read(key: str) -> None:
            ranges = [_our_range(asked[place][1]) or RangeRequest(0) for place in places[key]]
            with suppress(KeyNotFoundError):
                parts = await asyncio.to_thread(self._inner.get_ranges, key, ranges)
                for place, part in zip(places[key], parts, strict=True):
                    found[place] = prototype.buffer.from_bytes(part)

        await asyncio.gather(*map(read, places))
        return found

    async def exists(self, key: str) -> bool:
        await self._ensure_open()
        return await asyncio.to_thread(self._inner.exists, key)

    async def getsize(self, key: str) -> int:
        """Return the size of a value in bytes, without reading it; raises ``FileNotFoundError``."""
        try:
            return (await asyncio.to_thread(self._inner.head, key)).size
        except KeyNotFoundError as error:
            raise FileNotFoundError(str(error)) from error

    # Writing ------------------------------------------------------------------------------------------------

    async def set(self, key: str, value: Buffer) -> None:
        await self._ensure_open()
        await asyncio.to_thread(self.set_sync, key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write one value, atomically; blocks."""
        self._check_writable()
        self._inner.put(key, _bytes_of(value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write `value` unless the key holds one; of several writers one wins, if the store can tell."""
        if not self._inner.capabilities.conditional_put:
            await super().set_if_not_exists(key, value)
            return
        self._check_writable()
        await self._ensure_open()
        with suppress(PreconditionFailedError):
            await asyncio.to_thread(partial(self._inner.put, key, _bytes_of(value), if_none_match=True))

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        self._check_writable()
        await self._ensure_open()
        items = [(key, _bytes_of(value)) for key, value in values]
        await asyncio.to_thread(self._inner.put_many, items)

    async def delete(self, key: str) -> None:
        await self._ensure_open()
        await asyncio.to_thread(self.delete_sync, key)

    def delete_sync(self, key: str) -> None:
        """Remove one value, if there is one; blocks."""
        self._check_writable()
        self._inner.delete(key)

    async def delete_dir(self, prefix: str) -> None:
        self._check_writable()
        await self._ensure_open()
        await asyncio.to_thread(self._inner.delete_prefix, prefix.strip("/"))

    # Listing ------------------------------------------------------------------------------------------------

    async def list(self) -> AsyncIterator[str]:
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield every key that begins with the text `prefix`, a page at a time."""
        await self._ensure_open()
        directory = prefix.rpartition("/")[0]
        async for key in _in_thread(lambda: self._inner.list(directory)):
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        await self._ensure_open()
        path = prefix.strip("/")
        found = await asyncio.to_thread(self._inner.list_dir, path)
        for each in (*found.keys, *found.prefixes):
            yield each.rstrip("/").rpartition("/")[2]

    # Identity -----------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ZarrStore)
            and self.read_only == other.read_only
            and (self._inner is other._inner or self._inner.url == other._inner.url)
        )

    __hash__ = None  # type: ignore[assignment]  # as zarr-python's own stores

    def __repr__(self) -> str:
        return f"ZarrStore({self._inner.url!r}{', read_only=True' if self.read_only else ''})"

    def __str__(self) -> str:
        return self._inner.url

    def __reduce__(self) -> tuple[Callable[..., ZarrStore], tuple[Any, ...]]:
        if isinstance(self._inner, MemoryStore):
            return _reopen_memory, (self._inner.url, self.read_only, os.getpid())
        return _reopen, (self._inner, self.read_only)


def _reopen(store: Store, read_only: bool) -> ZarrStore:
    return ZarrStore(store, read_only=read_only)


def _reopen_memory(url: str, read_only: bool, process: int) -> ZarrStore:
    if process != os.getpid():
        raise UnsupportedError(
            f"{url}: a memory store lives in one process ({process}) and cannot be sent to another; "
            "use a local path"
        )
    return ZarrStore(url, read_only=read_only)


def _our_range(byte_range: ByteRequest | None) -> ByteRange | None:
    match byte_range:
        case None:
            return None
        case RangeByteRequest(start, end):
            return RangeRequest(start, end)
        case OffsetByteRequest(offset):
            return RangeRequest(offset)
        case SuffixByteRequest(suffix):
            return SuffixRequest(suffix)
    raise TypeError(f"Unexpected byte_range, got {byte_range!r}")


def _bytes_of(value: Buffer) -> memoryview:
    if not isinstance(value, Buffer):
        raise TypeError(f"expected a zarr Buffer as value, got {type(value).__name__}")
    array: Any = value.as_numpy_array()
    return memoryview(array).cast("B") if len(value) else memoryview(b"")


async def _in_thread(start: Callable[[], Iterator[str]]) -> AsyncIterator[str]:
    """Yield what a blocking iterator gives, some at a time, without blocking the event loop."""
    iterator = await asyncio.to_thread(start)
    while page := await asyncio.to_thread(lambda: list(islice(iterator, _LISTED_AT_ONCE))):
        for each in page:
            yield each
