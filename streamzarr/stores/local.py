# ruff: noqa: D102 - methods are documented by Store, where nothing is added to it
"""Values as files below a directory: atomic, durable, with conditional put between processes."""

from __future__ import annotations

import builtins
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from streamzarr.errors import (
    ConfigError,
    KeyNotFoundError,
    PreconditionFailedError,
    StoreError,
    UnsupportedError,
)
from streamzarr.stores.base import (
    ByteRange,
    BytesLike,
    Capabilities,
    DirListing,
    ObjectInfo,
    RangeRequest,
    Store,
    StoredObject,
    as_bytes_view,
    limited,
    resolve_range,
)
from streamzarr.stores.directories import Directories, Kind
from streamzarr.stores.files import MAX_READ_BYTES, read_on, read_pieces, read_span
from streamzarr.stores.key import below, check_key, check_prefix
from streamzarr.stores.parallel import batches
from streamzarr.stores.replace import (
    TEMP_PREFIX,
    NoLocksError,
    TempFile,
    TempFiles,
    collect_all,
    collect_remains,
    etag_of,
    locked,
    stale_names,
)
from streamzarr.stores.url import StoreURL, split_url

T = TypeVar("T")

MAX_ATTEMPTS = 16
"""Tries of a write whose directory is being removed by others at the same time."""
MAX_BATCH_FILES = 64
"""Temp files that ``put_many`` holds open at once."""
MAX_BATCH_NAMES = 10_000
"""Keys that ``delete_many`` takes in hand at a time."""
MAX_BATCH_BYTES = 64 << 20
"""Bytes that ``put_many`` gathers before it writes."""
SMALL_DIRECTORY = 256 << 10
"""Size of a directory file, bytes (some 5,000 names), up to which its first use clears stale temp files."""

_SPILL = bytearray(1)  # shared and never looked at
_SYNCS_IN_FLIGHT = 16
"""Small puts on an ext4 of a virtual disk take 6 to 9 ms one by one, 0.4 ms with 4 under way, and not less
with more than 16: what the journal makes durable it makes durable for all who wait."""
_UNSYNCED = Capabilities(conditional_put=True, atomic_put=True, temp_files=True)
_SYNCED = replace(_UNSYNCED, syncs_in_flight=_SYNCS_IN_FLIGHT)


class LocalStore(Store):
    """Files below the directory `root`, which the first write makes if need be.

    A value is written to a temp file, synced, and renamed; then its directory is synced. Readers see the old
    or the new value whole, and when ``put`` returns the new one survives a power cut. Temp files of killed
    writers never show; the next write into their directory, or :meth:`collect_stale`, removes them.

    Thread-safe, and safe between processes on one machine; picklable. Calls block on the disk, and those that
    change the same directory on each other for the time of a rename. Conditional puts need a file system with
    locks on directories: local ones have them, NFS does not, and says so with ``UnsupportedError``.

    Parameters
    ----------
    root
        Directory; symbolic links in it are resolved when the store is made. A link *below* it may lead
        anywhere inside; one that leads outside is refused with ``UnsupportedError``.
    fsync
        Sync files and directories. Without, values are still atomic, but a power cut may undo or empty them.

    Examples
    --------
    >>> import tempfile
    >>> store = LocalStore(tempfile.mkdtemp())
    >>> etag = store.put("a/c/0", b"chunk")
    >>> store.get("a/c/0"), list(store.list())
    (b'chunk', ['a/c/0'])
    """

    def __init__(self, root: str | os.PathLike[str], *, fsync: bool = True) -> None:
        path = os.fspath(root)
        if not path or "\0" in path:
            raise ConfigError(f"local store {path!r}: expected the path of a directory")
        self._directories = Directories(path, fsync=fsync)
        self._fsync = fsync
        options = {} if fsync else {"fsync": "false"}
        self._url = str(StoreURL("file", path=self._directories.root, options=options))

    @classmethod
    def from_url(cls, url: StoreURL) -> LocalStore:
        """Open ``file:///path`` or ``file:///path?fsync=false``."""
        url.reject_options(("fsync",))
        fsync = url.options.get("fsync", "true")
        if fsync not in ("true", "false"):
            raise ConfigError(f"store URL {url.shown}: option fsync is {fsync!r}, expected true or false")
        return cls(url.path, fsync=fsync == "true")

    @property
    def root(self) -> str:
        """The directory, absolute and free of symbolic links."""
        return self._directories.root

    @property
    def url(self) -> str:
        """``file:///path``, with ``?fsync=false`` where that was asked for."""
        return self._url

    @property
    def capabilities(self) -> Capabilities:
        """Conditional and atomic put; no transactions."""
        return _SYNCED if self._fsync else _UNSYNCED

    # Reading ------------------------------------------------------------------------------------------------

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        return self._read(key, None if byte_range is None else (byte_range,))[0][0]

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> builtins.list[bytes]:
        return self._read(key, ranges)[0]

    def fetch(self, key: str) -> StoredObject:
        [data], status = self._read(key, None)
        return StoredObject(data, etag_of(status))

    def fetch_limited(self, key: str, limit: int) -> StoredObject:
        [data], status = self._read(key, (RangeRequest(0, limit + 1),))
        return limited(StoredObject(data, etag_of(status)), limit, self.url, key)

    def _read(
        self, key: str, ranges: Sequence[ByteRange] | None
    ) -> tuple[builtins.list[bytes], os.stat_result]:
        check_key(key)
        try:
            fd = self._directories.open_value(key)
            if fd is not None:
                try:
                    status = os.fstat(fd)
                    if stat.S_ISREG(status.st_mode):
                        size = status.st_size
                        if ranges is None:
                            return [read_span(fd, 0, size)], status
                        return [read_span(fd, *resolve_range(wanted, size)) for wanted in ranges], status
                finally:
                    os.close(fd)
        except OSError as error:
            raise self._failed("read", key, error) from error
        raise self._missing(key)

    def get_into(self, key: str, buffer: bytearray | memoryview) -> int | None:
        return self.get_many_into((key,), (buffer,))[0]

    def get_many_into(
        self, keys: Sequence[str], buffers: Sequence[bytearray | memoryview]
    ) -> builtins.list[int | None]:
        # The path of every small chunk, hence the names for what is looked up in each turn.
        open_value, readv, close = self._directories.open_value, os.readv, os.close
        sizes: builtins.list[int | None] = []
        for key, buffer in zip(keys, buffers, strict=True):
            check_key(key)
            try:
                fd = open_value(key)
                if fd is None:
                    sizes.append(None)
                    continue
                try:
                    # The byte of room beyond the buffer tells a value that just fits from a longer one.
                    count = readv(fd, (buffer, _SPILL))
                    if 0 < count <= len(buffer) and count < MAX_READ_BYTES:
                        sizes.append(count)  # the common case: one open, one read, one close
                    else:
                        sizes.append(read_on(fd, memoryview(buffer), count))
                finally:
                    close(fd)
            except IsADirectoryError:
                sizes.append(None)
            except OSError as error:
                raise self._failed("read", key, error) from error
        return sizes

    def get_pieces(
        self, key: str, buffer: bytearray | memoryview, use: Callable[[int], object]
    ) -> int | None:
        check_key(key)
        try:
            fd = self._directories.open_value(key)
            if fd is None:
                return None
            try:
                return read_pieces(fd, memoryview(buffer), use)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._failed("read", key, error) from error

    def head(self, key: str) -> ObjectInfo:
        check_key(key)
        try:
            path = self._directories.path(key)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                status = Path(self._directories.resolve(path)).stat()
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(key) from None
        except OSError as error:
            raise self._failed("read", key, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise self._missing(key)
        return ObjectInfo(status.st_size, etag_of(status))

    # Writing ------------------------------------------------------------------------------------------------

    def put(
        self, key: str, data: BytesLike, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        parent, name = self._split(key)
        view = as_bytes_view(data)
        try:
            for attempt in range(MAX_ATTEMPTS):
                try:
                    directory = self._open_to_write(parent)
                    try:
                        return self._put_in(directory, key, name, view, if_match, if_none_match)
                    finally:
                        os.close(directory)
                except FileNotFoundError:  # someone pruned the directory, or took our temp file for stale
                    if attempt == MAX_ATTEMPTS - 1:
                        raise
                    self._directories.forget()
        except OSError as error:
            raise self._failed("write", key, error) from error
        raise AssertionError("the last attempt returns or raises")

    def _put_in(
        self, directory: int, key: str, name: str, data: memoryview, if_match: str | None, if_none_match: bool
    ) -> str:
        temp = TempFile(directory)
        try:
            etag = temp.fill(data)
            if self._fsync:
                temp.sync()
            with locked(directory, exclusive=if_none_match or if_match is not None):
                self._check_condition(key, directory, name, if_match, if_none_match)
                temp.rename(name)
        finally:
            temp.close()
        if self._fsync:
            os.fsync(directory)
        return etag

    def put_many(self, items: Iterable[tuple[str, BytesLike]]) -> None:
        batch: builtins.list[tuple[str, memoryview]] = []
        size = 0
        for key, data in items:
            view = as_bytes_view(data)
            if batch and (len(batch) == MAX_BATCH_FILES or size + len(view) > MAX_BATCH_BYTES):
                self._put_batch(batch)
                batch, size = [], 0
            batch.append((key, view))
            size += len(view)
        self._put_batch(batch)

    def _put_batch(self, items: Sequence[tuple[str, memoryview]]) -> None:
        """Write all temp files, sync all, rename all, and sync each directory once."""
        for attempt in range(MAX_ATTEMPTS):
            try:
                self._try_batch(items)
                break
            except FileNotFoundError as error:  # as in put
                if attempt == MAX_ATTEMPTS - 1:
                    raise self._failed("write", items[0][0], error) from error
                self._directories.forget()

    def _try_batch(self, items: Sequence[tuple[str, memoryview]]) -> None:
        parent = name = ""
        batches: dict[str, TempFiles] = {}
        try:
            with ExitStack() as stack:
                for key, view in items:
                    parent, name = self._split(key)
                    files = batches.get(parent)
                    if files is None:
                        directory = self._open_to_write(parent)
                        stack.callback(os.close, directory)
                        files = batches[parent] = stack.enter_context(TempFiles(directory))
                    files.add(name, view)
                if self._fsync:
                    for parent, files in batches.items():  # noqa: B007 - errors name parent and name
                        for name in files.sync():  # noqa: B007
                            pass
                for parent, files in batches.items():  # noqa: B007
                    with locked(files.directory, exclusive=False):
                        for name in files.rename():  # noqa: B007
                            pass
                    if self._fsync:
                        os.fsync(files.directory)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._failed("write", below(parent) + name, error) from error

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        parent, name = self._split(key)
        try:
            try:
                directory = self._directories.open(parent)
            except (FileNotFoundError, NotADirectoryError):
                if if_match is not None:
                    raise self._unexpected(key, "no value", f"etag {if_match!r}") from None
                return
            try:
                with locked(directory, exclusive=if_match is not None):
                    self._check_condition(key, directory, name, if_match, False)
                    with suppress(FileNotFoundError, IsADirectoryError):
                        os.unlink(name, dir_fd=directory)
                if self._fsync:
                    os.fsync(directory)
            finally:
                os.close(directory)
            self._directories.prune(parent)
        except OSError as error:
            raise self._failed("delete", key, error) from error

    def delete_many(self, keys: Iterable[str]) -> None:
        for batch in batches(keys, MAX_BATCH_NAMES):
            names: dict[str, builtins.list[str]] = {}
            for key in batch:
                parent, name = self._split(key)
                names.setdefault(parent, []).append(name)
            for path in sorted(names, reverse=True):  # children before parents
                self._clear(path, names[path])

    def delete_prefix(self, prefix: str) -> None:
        check_prefix(prefix)
        try:
            self._directories.unlink(prefix)
            for path, entries in self._directories.climb(prefix):
                self._clear(path, [e.name for e in entries if not e.is_dir(follow_symlinks=False)])
        except OSError as error:
            raise self._failed("delete", below(prefix), error) from error

    def list_stale(self, prefix: str = "") -> Iterator[str]:
        return (below(path) + name for path, names in self._stale(prefix, stale_names) for name in names)

    def collect_stale(self, prefix: str = "") -> int:
        return sum(count for _, count in self._stale(prefix, collect_all))

    def _open_to_write(self, parent: str) -> int:
        """Open the directory `parent`, made and cleared of stale temp files when this is its first use."""
        if self._directories.is_durable(parent):
            return self._directories.open(parent)
        made = self._directories.make(parent)
        directory = self._directories.open(parent)
        try:
            if not made and os.fstat(directory).st_size <= SMALL_DIRECTORY:
                collect_all(directory)
        except BaseException:
            os.close(directory)
            raise
        return directory

    def _stale(self, prefix: str, action: Callable[[int], T]) -> Iterator[tuple[str, T]]:
        """Yield each directory with temp files, and what `action` makes of it when it is open."""
        check_prefix(prefix)
        try:
            for path, directory in self._directories.holding(prefix, TEMP_PREFIX):
                yield path, action(directory)
        except OSError as error:
            raise self._failed("clean up", below(prefix), error) from error

    def _clear(self, path: str, names: Sequence[str]) -> None:
        """Remove the files `names` of a directory, and it and those above as far as they are empty then."""
        try:
            if names:
                with suppress(FileNotFoundError, NotADirectoryError):
                    self._remove(path, names)
            self._directories.prune(path)
        except OSError as error:
            raise self._failed("delete", below(path), error) from error

    def _remove(self, path: str, names: Sequence[str]) -> None:
        directory = self._directories.open(path)
        try:
            with locked(directory, exclusive=False):
                for name in names:
                    if not name.startswith(TEMP_PREFIX):
                        with suppress(FileNotFoundError, IsADirectoryError):
                            os.unlink(name, dir_fd=directory)
                collect_remains(directory)
            if self._fsync:
                os.fsync(directory)
        finally:
            os.close(directory)

    def _check_condition(
        self, key: str, directory: int, name: str, if_match: str | None, if_none_match: bool
    ) -> None:
        """Raise unless the value `name` in the open, exclusively locked `directory` is as expected."""
        if if_match is None and not if_none_match:
            return
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                status = Path(self._directories.resolve(self._directories.path(key))).stat()
        except FileNotFoundError:
            if if_match is not None:
                raise self._unexpected(key, "no value", f"etag {if_match!r}") from None
            return
        etag = etag_of(status)
        if if_none_match:
            raise self._unexpected(key, f"a value with etag {etag!r}", "none")
        if etag != if_match:
            raise self._unexpected(key, f"etag {etag!r}", f"etag {if_match!r}")

    # Listing ------------------------------------------------------------------------------------------------

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield every key below `prefix`; symbolic links to directories are not descended into."""
        return (key for key, entry, kind in self._walk(prefix) if kind == "value")

    def list_sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        for key, entry, kind in self._walk(prefix):
            if kind != "value":
                continue
            try:
                with suppress(FileNotFoundError):  # deleted meanwhile
                    yield key, entry.stat().st_size
            except OSError as error:
                raise self._failed("list", key, error) from error

    def list_strange(self, prefix: str = "") -> Iterator[str]:
        if self._directories.is_link(prefix):
            yield prefix  # what is below it goes by another name, too
        for key, entry, kind in self._walk(prefix):
            if kind == "strange" or (kind == "directory" and entry.is_symlink()):
                yield key

    def _walk(self, prefix: str) -> Iterator[tuple[str, os.DirEntry[str], Kind]]:
        check_prefix(prefix)
        try:
            for path, entries in self._directories.walk(prefix):
                start = below(path)
                for entry in entries:
                    yield start + entry.name, entry, self._directories.kind(start, entry)
        except OSError as error:
            raise self._failed("list", below(prefix), error) from error

    def list_dir(self, prefix: str = "") -> DirListing:
        check_prefix(prefix)
        start = below(prefix)
        keys, prefixes = [], []
        try:
            for entry in self._directories.entries(prefix):
                kind = self._directories.kind(start, entry)
                if kind == "value":
                    keys.append(start + entry.name)
                elif kind == "directory":
                    prefixes.append(f"{start}{entry.name}/")
        except OSError as error:
            raise self._failed("list", start, error) from error
        return DirListing(tuple(sorted(keys)), tuple(sorted(prefixes)))

    # Errors and pickling ------------------------------------------------------------------------------------

    def _split(self, key: str) -> tuple[str, str]:
        check_key(key)
        if TEMP_PREFIX in key:
            raise ConfigError(f"key {key!r}: {TEMP_PREFIX!r} names temp files")
        return key.rpartition("/")[::2]

    def _missing(self, key: str) -> KeyNotFoundError:
        return KeyNotFoundError(f"{self.url}: no value under key {key!r}")

    def _unexpected(self, key: str, got: str, expected: str) -> PreconditionFailedError:
        return PreconditionFailedError(f"{self.url}: key {key!r} has {got}, expected {expected}")

    def _failed(self, what: str, key: str, error: OSError) -> StoreError:
        kind = UnsupportedError if isinstance(error, NoLocksError) else StoreError
        return kind(f"{self.url}: cannot {what} {key!r}: {error.strerror or error}")

    def __repr__(self) -> str:
        return f"LocalStore({self.root!r})"

    def __reduce__(self) -> tuple[Callable[[StoreURL], LocalStore], tuple[StoreURL]]:
        return LocalStore.from_url, (split_url(self.url),)
