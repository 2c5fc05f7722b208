"""The contract of a store: bytes by key, with conditional put.

A store is sync, thread-safe and picklable: every method may be called from any thread at the same
time, may block on I/O, and a worker process that unpickles a store rebuilds its own client.
Keys are validated once, by :func:`streamzarr.stores.key.check_key`; values are opaque.

=================  =====================================================================
``get``            whole value or a byte range of it
``get_limited``    whole value, unless it is larger than it should be
``get_into``       whole value into a buffer of the caller's, without a bytes object
``get_pieces``     whole value, piece by piece through a buffer of the caller's
``get_ranges``     many ranges of one value, in one call
``fetch``          value and etag read together, for compare-and-swap loops
``fetch_changed``  value and etag if the etag is another than the one known, for readers that poll
``head``           size and etag without the value
``put``            write one value, atomically; optionally only if the old one is as expected
``put_many``       write several values, each atomically, for less than their puts would cost
``delete``         remove one value; a missing one is no error
``delete_many``    remove several values, for less than their deletes would cost
``delete_prefix``  remove everything below a prefix
``list``           every key below a prefix
``list_sizes``     every key below a prefix, and the size of its value
``list_strange``   what lies below a prefix and is no value
``list_dir``       keys and prefixes directly below a prefix
``list_stale``     what killed writers left behind
``collect_stale``  remove it
=================  =====================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

from streamzarr.errors import ConfigError, KeyNotFoundError, LimitExceededError
from streamzarr.stores.parallel import batches, in_parallel

BytesLike: TypeAlias = bytes | bytearray | memoryview

BATCH = 1000
"""Keys that a method for many takes in hand at a time, however many there are."""


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """Bytes ``start`` to ``stop`` (exclusive) of a value; ``stop=None`` reads to its end."""

    start: int
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class SuffixRequest:
    """The last ``length`` bytes of a value; the whole value when it is shorter."""

    length: int


ByteRange: TypeAlias = RangeRequest | SuffixRequest


def resolve_range(byte_range: ByteRange, size: int) -> tuple[int, int]:
    """Return the ``(start, stop)`` that `byte_range` means in a value of `size` bytes.

    ``0 <= start <= stop <= size`` always holds.

    Raises
    ------
    streamzarr.errors.ConfigError
        A start, stop or length is negative.

    Examples
    --------
    >>> resolve_range(RangeRequest(2, 100), 10), resolve_range(RangeRequest(20), 10)
    ((2, 10), (10, 10))
    >>> resolve_range(SuffixRequest(4), 10), resolve_range(SuffixRequest(400), 10)
    ((6, 10), (0, 10))
    """
    if isinstance(byte_range, SuffixRequest):
        if byte_range.length < 0:
            raise ConfigError(f"byte range {byte_range}: expected a length of 0 or more")
        return max(0, size - byte_range.length), size
    start = byte_range.start
    stop = size if byte_range.stop is None else min(byte_range.stop, size)
    if start < 0 or stop < 0:
        raise ConfigError(f"byte range {byte_range}: expected a start and stop of 0 or more")
    start = min(start, size)
    return start, max(start, stop)


def as_bytes_view(data: BytesLike) -> memoryview:
    """Return the C-contiguous buffer `data` as a flat view of its bytes, without a copy.

    Examples
    --------
    >>> import numpy
    >>> len(as_bytes_view(memoryview(numpy.zeros((2, 3), "i4"))))
    24
    """
    view = memoryview(data)
    return view.cast("B") if view.nbytes else memoryview(b"")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can promise; callers check before they rely on it."""

    conditional_put: bool
    """``if_match`` and ``if_none_match`` are honoured atomically."""
    atomic_put: bool
    """A reader sees the old or the new value, never a mixture, even if the writer is killed."""
    multi_key_transaction: bool = False
    """Several keys can change together."""
    listing: bool = True
    """``list`` and ``list_dir`` work."""
    writable: bool = True
    """``put`` and ``delete`` work."""
    temp_files: bool = False
    """A ``put`` that is killed may leave a file behind, which ``collect_stale`` removes."""
    in_flight: int = 1
    """How many reads should be under way at a time. More than one where a request waits rather than works."""
    syncs_in_flight: int = 1
    """How many puts should be under way at a time, if it is more: where each waits until a disk has it, which
    makes many durable in the time of one."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Size in bytes and etag of one value."""

    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A value and the etag it had when it was read."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class DirListing:
    """What lies directly below a prefix: full keys, and full prefixes that end in ``/``; both sorted."""

    keys: tuple[str, ...]
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, prefix: str, keys: Iterable[str]) -> DirListing:
        """Sum up `keys`, which all lie below the directory path `prefix`.

        Examples
        --------
        >>> DirListing.of("a", ["a/zarr.json", "a/c/0", "a/c/1"])
        DirListing(keys=('a/zarr.json',), prefixes=('a/c/',))
        """
        start = f"{prefix}/" if prefix else ""
        values, prefixes = [], set()
        for key in keys:
            name, slash, _ = key[len(start) :].partition("/")
            if slash:
                prefixes.add(f"{start}{name}/")
            else:
                values.append(key)
        return cls(tuple(sorted(values)), tuple(sorted(prefixes)))


def too_large(url: str, key: str, limit: int) -> LimitExceededError:
    """Return the error of :meth:`Store.get_limited`."""
    return LimitExceededError(f"{url}: the value of {key!r} has over {limit} bytes, which is the limit")


def limited(found: StoredObject, limit: int, url: str, key: str) -> StoredObject:
    """Return what was `found` if it is no larger than :meth:`Store.fetch_limited` allows."""
    if len(found.data) > limit:
        raise too_large(url, key, limit)
    return found


class Store(ABC):
    """Bytes by key. See the module's docstring for the contract.

    Raises
    ------
    streamzarr.errors.StoreError
        By every method, when the storage fails; the message names the store and the key.
    streamzarr.errors.ConfigError
        By every method, when a key is not valid (:func:`streamzarr.stores.key.check_key`).
    """

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL that opens this store again: ``file:///data/a.zarr``. It stands in errors: no secrets."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this store can promise."""

    @abstractmethod
    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        """Return the value of `key`, or the part of it that `byte_range` names.

        A range that reaches past the end is cut there; one that starts past the end is empty.

        Raises
        ------
        streamzarr.errors.KeyNotFoundError
            The key holds no value.
        """

    def get_limited(self, key: str, limit: int) -> bytes:
        """Return the value of `key`, of which at most `limit` bytes and one are read.

        Raises
        ------
        streamzarr.errors.KeyNotFoundError
            The key holds no value.
        streamzarr.errors.LimitExceededError
            The value is larger.
        """
        data = self.get(key, RangeRequest(0, limit + 1))
        if len(data) > limit:
            raise too_large(self.url, key, limit)
        return data

    def get_into(self, key: str, buffer: bytearray | memoryview) -> int | None:
        """Read the value of `key` into the writable, contiguous bytes of `buffer`; the path for chunk reads.

        Returns the size of the value in bytes, or ``None`` when the key holds none (no exception: a missing
        chunk is ordinary). A size above ``len(buffer)`` says that only the first ``len(buffer)`` bytes were
        stored: a caller who must see every byte then asks ``get``.
        """
        try:
            data = self.get(key)
        except KeyNotFoundError:
            return None
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        return len(data)

    def get_many_into(
        self, keys: Sequence[str], buffers: Sequence[bytearray | memoryview]
    ) -> list[int | None]:
        """Read several values, each as :meth:`get_into` does; stores override it to save time for each."""
        return [self.get_into(key, buffer) for key, buffer in zip(keys, buffers, strict=True)]

    def get_pieces(
        self, key: str, buffer: bytearray | memoryview, use: Callable[[int], object]
    ) -> int | None:
        """Read the value of `key` through `buffer`: fill it, call ``use`` with the bytes it holds, and so on.

        For large values that are copied on: a small buffer stays in the cache of the processor. All pieces
        are of one value, whoever replaces it meanwhile. Returns its size, or ``None`` if the key holds none.
        """
        try:
            data = memoryview(self.get(key))
        except KeyNotFoundError:
            return None
        for start in range(0, len(data), len(buffer)):
            piece = data[start : start + len(buffer)]
            buffer[: len(piece)] = piece
            use(len(piece))
        return len(data)

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Return several ranges of one value, in the order asked for; stores override it to save requests."""
        return [self.get(key, byte_range) for byte_range in ranges]

    @abstractmethod
    def fetch(self, key: str) -> StoredObject:
        """Return value and etag of `key`, read together; raises ``KeyNotFoundError``."""

    def fetch_limited(self, key: str, limit: int) -> StoredObject:
        """Return value and etag of `key` if there are at most `limit` bytes; raises as `get_limited`."""
        if self.head(key).size > limit:
            raise too_large(self.url, key, limit)
        return self.fetch(key)

    def fetch_changed(self, key: str, etag: str, limit: int) -> StoredObject | None:
        """Return value and etag of `key`, or None if it still has this `etag`; raises as `get_limited`.

        Stores override it where one request does: an object store sends no value that is known.
        """
        if self.head(key).etag == etag:
            return None
        return self.fetch_limited(key, limit)

    @abstractmethod
    def head(self, key: str) -> ObjectInfo:
        """Return size and etag of `key`; raises ``KeyNotFoundError``."""

    @abstractmethod
    def put(
        self, key: str, data: BytesLike, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        """Write `data` under `key` in one atomic, durable step and return the new etag.

        Parameters
        ----------
        if_match
            Write only if the present value has this etag.
        if_none_match
            Write only if the key holds no value.

        Raises
        ------
        streamzarr.errors.PreconditionFailedError
            The condition does not hold (``if_match`` on a missing key included).
        streamzarr.errors.UnsupportedError
            The store has no conditional put, or is read-only.
        """

    def put_many(self, items: Iterable[tuple[str, BytesLike]]) -> None:
        """Write several values; all are durable on return, and each is atomic, but not all of them together.

        When it raises, any of the values may have been written. Stores override it where a batch is cheaper:
        a local one then pays one directory fsync per directory, an object store sends in parallel.
        """
        for key, data in items:
            self.put(key, data)

    @abstractmethod
    def delete(self, key: str, *, if_match: str | None = None) -> None:
        """Remove `key`; a missing key is no error unless `if_match` is given."""

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove several values; missing ones are no error. When it raises, any of them may be gone.

        Takes the keys as they come: they may be those of a listing, and more than fit in memory.
        """
        at_once = self.capabilities.in_flight
        for batch in batches(keys, BATCH):
            in_parallel(self.delete, batch, at_once)

    def delete_prefix(self, prefix: str) -> None:
        """Remove every key below `prefix` (a directory path without trailing slash; ``""`` is all)."""
        self.delete_many(self.list(prefix))

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield every key below the directory path `prefix`, in no stated order.

        ``list("foo")`` yields ``foo/...`` and never ``foobar``. Values may be put and deleted while it goes
        on: their keys may or may not be among them, and all others are, once.
        """

    def list_sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield what :meth:`list` does, with the size in bytes of each value.

        Stores override it where a listing tells the sizes; others are asked for each key.
        """

        def size_of(key: str) -> int | None:
            try:
                return self.head(key).size
            except KeyNotFoundError:  # deleted meanwhile
                return None

        at_once = self.capabilities.in_flight
        for batch in batches(self.list(prefix), BATCH):
            sizes = in_parallel(size_of, batch, at_once)
            yield from ((key, size) for key, size in zip(batch, sizes, strict=True) if size is not None)

    def list_strange(self, prefix: str = "") -> Iterator[str]:
        """Yield what lies below `prefix` and is no value of a valid key, so that :meth:`list` leaves it out.

        On a disk: links to directories or out of the store, pipes, names that no key has; not the temp files
        of writers. Who removes only what is his looks here, too.
        """
        return iter(())

    @abstractmethod
    def list_dir(self, prefix: str = "") -> DirListing:
        """Return the keys and prefixes directly below the directory path `prefix`."""

    def list_stale(self, prefix: str = "") -> Iterator[str]:
        """Yield the names of what :meth:`collect_stale` would remove below `prefix`; they are no keys."""
        return iter(())

    def collect_stale(self, prefix: str = "") -> int:
        """Remove what killed writers left below `prefix` and return how many objects that was.

        Never touches what a live writer is writing. A writer calls it once when it takes over or resumes.
        """
        return 0

    def exists(self, key: str) -> bool:
        """Tell whether `key` holds a value."""
        try:
            self.head(key)
        except KeyNotFoundError:
            return False
        return True

    def close(self) -> None:
        """Release what the store holds open; the object may be used again and then reopens it."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
