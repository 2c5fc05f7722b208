"""Stores that misbehave on purpose: faults by plan, latency, and a record of what was called.

Each wraps another store and keeps the whole contract: while nothing is planned, it passes
:mod:`streamzarr.testing.stores` itself.
"""

# ruff: noqa: D102 - methods are documented by Store

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from streamzarr.errors import ConfigError, StoreError
from streamzarr.runtime import SYSTEM
from streamzarr.stores.base import (
    ByteRange,
    BytesLike,
    Capabilities,
    DirListing,
    ObjectInfo,
    Store,
    StoredObject,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a store's method."""

    operation: str
    """Name of the method: ``get``, ``put``, ...; each item of a ``put_many`` is a ``put``."""
    key: str
    """The key, or the prefix of the listings, of ``delete_prefix`` and of ``collect_stale``."""


class WrappedStore(Store):
    """Passes every call on to `inner` through :meth:`around`, the one method that a subclass overrides.

    Thread-safe as far as `inner` and ``around`` are.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def around(self, call: Call, action: Callable[[], T]) -> T:
        """Carry out `action`, which is `call` on the inner store, and return its result."""
        return action()

    @property
    def url(self) -> str:
        """The URL of the inner store."""
        return self.inner.url

    @property
    def capabilities(self) -> Capabilities:
        """Those of the inner store."""
        return self.inner.capabilities

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        return self.around(Call("get", key), lambda: self.inner.get(key, byte_range))

    def get_into(self, key: str, buffer: bytearray | memoryview) -> int | None:
        return self.around(Call("get_into", key), lambda: self.inner.get_into(key, buffer))

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> builtins.list[bytes]:
        return self.around(Call("get_ranges", key), lambda: self.inner.get_ranges(key, ranges))

    def fetch(self, key: str) -> StoredObject:
        return self.around(Call("fetch", key), lambda: self.inner.fetch(key))

    def fetch_limited(self, key: str, limit: int) -> StoredObject:
        return self.around(Call("fetch", key), lambda: self.inner.fetch_limited(key, limit))

    def fetch_changed(self, key: str, etag: str, limit: int) -> StoredObject | None:
        return self.around(Call("fetch_changed", key), lambda: self.inner.fetch_changed(key, etag, limit))

    def head(self, key: str) -> ObjectInfo:
        return self.around(Call("head", key), lambda: self.inner.head(key))

    def put(
        self, key: str, data: BytesLike, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        return self.around(
            Call("put", key),
            lambda: self.inner.put(key, data, if_match=if_match, if_none_match=if_none_match),
        )

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        self.around(Call("delete", key), lambda: self.inner.delete(key, if_match=if_match))

    def delete_prefix(self, prefix: str) -> None:
        self.around(Call("delete_prefix", prefix), lambda: self.inner.delete_prefix(prefix))

    def list(self, prefix: str = "") -> Iterator[str]:
        return self.around(Call("list", prefix), lambda: iter([*self.inner.list(prefix)]))

    def list_sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return self.around(Call("list_sizes", prefix), lambda: iter([*self.inner.list_sizes(prefix)]))

    def list_strange(self, prefix: str = "") -> Iterator[str]:
        return self.around(Call("list_strange", prefix), lambda: iter([*self.inner.list_strange(prefix)]))

    def list_dir(self, prefix: str = "") -> DirListing:
        return self.around(Call("list_dir", prefix), lambda: self.inner.list_dir(prefix))

    def list_stale(self, prefix: str = "") -> Iterator[str]:
        return self.around(Call("list_stale", prefix), lambda: iter([*self.inner.list_stale(prefix)]))

    def collect_stale(self, prefix: str = "") -> int:
        return self.around(Call("collect_stale", prefix), lambda: self.inner.collect_stale(prefix))

    def close(self) -> None:
        self.inner.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.inner,)


@dataclass(frozen=True, slots=True)
class Fault:
    """One planned failure: the `nth` call that fits all criteria given, and the next ``times - 1`` of them.

    Examples
    --------
    >>> Fault(operation="put", nth=3)  # the third put
    Fault(operation='put', key=None, predicate=None, nth=3, times=1, lost_response=False, error=None)
    >>> forever = Fault(key="*/zarr.json", times=None)
    >>> unsure = Fault(operation="put", lost_response=True)  # written, but the caller is told that it failed
    """

    operation: str | None = None
    """Name of the method; ``None`` fits all."""
    key: str | None = None
    """Pattern of the key, as in :mod:`fnmatch`."""
    predicate: Callable[[Call], bool] | None = None
    """Any other criterion."""
    nth: int = 1
    """Which fitting call is the first to fail, counted from 1."""
    times: int | None = 1
    """How many fitting calls fail in a row; ``None``: all from `nth` on."""
    lost_response: bool = False
    """The call is carried out first, and its result lost."""
    error: Callable[[], Exception] | None = None
    """Makes what is raised; a :class:`~streamzarr.errors.StoreError` when absent."""

    def __post_init__(self) -> None:
        if self.nth < 1 or (self.times is not None and self.times < 1):
            raise ConfigError(f"fault: nth {self.nth} and times {self.times}, expected 1 or more")

    def fits(self, call: Call) -> bool:
        """Tell whether `call` counts towards this fault."""
        return (
            (self.operation is None or self.operation == call.operation)
            and (self.key is None or fnmatchcase(call.key, self.key))
            and (self.predicate is None or self.predicate(call))
        )

    def strikes(self, count: int) -> bool:
        """Tell whether the `count`-th fitting call fails."""
        return count >= self.nth and (self.times is None or count < self.nth + self.times)


class FaultyStore(WrappedStore):
    """A store that fails by `plan`: the same calls in the same order fail in every run.

    Thread-safe; calls are numbered in the order in which they arrive.

    Examples
    --------
    >>> from streamzarr.stores import MemoryStore
    >>> store = FaultyStore(MemoryStore("faulty"), [Fault(operation="get", nth=2)])
    >>> etag = store.put("a", b"1")
    >>> store.get("a")
    b'1'
    >>> store.get("a")
    Traceback (most recent call last):
    streamzarr.errors.StoreError: memory://faulty: planned fault in get of 'a'
    >>> store.struck
    [Call(operation='get', key='a')]
    """

    def __init__(self, inner: Store, plan: Iterable[Fault] = ()) -> None:
        super().__init__(inner)
        self.plan = tuple(plan)
        self.struck: builtins.list[Call] = []
        self._counts = [0] * len(self.plan)
        self._lock = SYSTEM.lock()  # held for a moment only, and never while anybody waits

    def around(self, call: Call, action: Callable[[], T]) -> T:
        fault = self._next_fault(call)
        if fault is None:
            return action()
        if fault.lost_response:
            action()
        if fault.error is not None:
            raise fault.error()
        raise StoreError(f"{self.url}: planned fault in {call.operation} of {call.key!r}")

    def _next_fault(self, call: Call) -> Fault | None:
        striking = None
        with self._lock:
            for index, fault in enumerate(self.plan):
                if fault.fits(call):
                    self._counts[index] += 1
                    if striking is None and fault.strikes(self._counts[index]):
                        striking = fault
            if striking is not None:
                self.struck.append(call)
        return striking

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.inner, self.plan)


class LatencyStore(WrappedStore):
    """A store that takes `latency` seconds longer for every call, as a distant one does. Thread-safe.

    Parameters
    ----------
    wait
        How a call passes the time; tests give the ``sleep`` of a fake clock.
    """

    def __init__(self, inner: Store, latency: float, wait: Callable[[float], object] | None = None) -> None:
        super().__init__(inner)
        self.latency = latency
        self._wait = wait

    def around(self, call: Call, action: Callable[[], T]) -> T:
        if self._wait is not None:
            self._wait(self.latency)
        else:
            SYSTEM.event().wait(self.latency)
        return action()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.inner, self.latency, self._wait)


class RecordingStore(WrappedStore):
    """A store that remembers its calls, failed ones included. Thread-safe.

    Examples
    --------
    >>> from streamzarr.stores import MemoryStore
    >>> store = RecordingStore(MemoryStore())
    >>> etag = store.put("a", b"1")
    >>> store.calls, store.count("get")
    ([Call(operation='put', key='a')], 0)
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._calls: builtins.list[Call] = []
        self._lock = SYSTEM.lock()  # held for a moment only, and never while anybody waits

    def around(self, call: Call, action: Callable[[], T]) -> T:
        with self._lock:
            self._calls.append(call)
        return action()

    @property
    def calls(self) -> builtins.list[Call]:
        """The calls so far, in order; a copy."""
        with self._lock:
            return [*self._calls]

    def count(self, operation: str, key: str = "*") -> int:
        """Return how often `operation` was called on keys that fit the pattern `key`."""
        return sum(call.operation == operation and fnmatchcase(call.key, key) for call in self.calls)

    def clear(self) -> None:
        """Forget the calls so far."""
        with self._lock:
            self._calls.clear()
