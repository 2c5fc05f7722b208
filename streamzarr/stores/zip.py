"""Values in a ZIP archive, read-only; :mod:`streamzarr.stores.zip_builder` makes one."""

# ruff: noqa: D102 - methods are documented by Store, where nothing is added to it

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from streamzarr.errors import (
    ChecksumError,
    ConfigError,
    KeyNotFoundError,
    LimitExceededError,
    StoreError,
    UnsupportedError,
)
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.stores.base import (
    ByteRange,
    BytesLike,
    Capabilities,
    DirListing,
    ObjectInfo,
    Store,
    StoredObject,
    resolve_range,
    too_large,
)
from streamzarr.stores.files import read_span
from streamzarr.stores.key import below, check_key, check_prefix, is_key
from streamzarr.stores.url import StoreURL
from streamzarr.stores.zip_directory import Directory, Member

_CAPABILITIES = Capabilities(conditional_put=False, atomic_put=True, writable=False)
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Of a member's local header only the signature and the lengths of name and extra field (APPNOTE 4.3.7)."""
_PIECE_BYTES = 1 << 20
"""How much of a compressed member is read at a time."""


class ZipStore(Store):
    """The members of the ZIP archive at `path`, read-only.

    Uncompressed members, which is how Zarr archives are written, are read by byte range; of a compressed one
    every read inflates the whole. Sizes and checksums are verified: damage is an error, never other bytes.

    Thread-safe; picklable, and then opened anew. Blocks on the disk. An archive replaced by rename while it
    is open goes on being read as it was.

    Parameters
    ----------
    path
        The archive. Opened, and its list of members read, on first use.
    prefix
        Directory path within the archive below which this store finds its keys.

    Raises
    ------
    streamzarr.errors.StoreError
        On first use: the file is no ZIP archive, or damaged, or its members lie on each other.
    streamzarr.errors.UnsupportedError
        On first use: a member's name is no valid key (``../x``). On a read: the member is
        encrypted, or compressed by another method than deflate.
    streamzarr.errors.LimitExceededError
        On first use: the archive's list of members is larger than ``Limits.max_metadata_bytes``. On a read:
        the member's size is over ``Limits.max_chunk_bytes``.

    Examples
    --------
    >>> import tempfile
    >>> from streamzarr.stores import ZipBuilder
    >>> path = tempfile.mkdtemp() + "/a.zip"
    >>> with ZipBuilder(path) as store:
    ...     etag = store.put("c/0", b"chunk")
    >>> ZipStore(path).get("c/0")
    b'chunk'
    """

    def __init__(self, path: str | os.PathLike[str], prefix: str = "") -> None:
        check_prefix(prefix)
        self._path = os.path.realpath(path)
        self._prefix = prefix
        self._below = below(prefix)
        self._archive: _Archive | None = None

    @classmethod
    def from_url(cls, url: StoreURL) -> ZipStore:
        """Open ``zip:///path/a.zip``, or what lies in it: ``zip:///path/a.zip/level/0``."""
        url.reject_options()
        if url.authority:
            raise ConfigError(f"store URL {url.shown}: expected an absolute path, as in zip:///data/a.zip")
        path, inner = os.path.realpath(f"/{url.path}"), ""
        whole = path
        while path != "/" and not Path(path).exists():
            path, _, name = path.rpartition("/")
            inner = f"{name}/{inner}" if inner else name
        return cls(path, inner) if Path(path).is_file() else cls(whole)

    @property
    def url(self) -> str:
        """``zip:///path/a.zip``, followed by the prefix."""
        return str(StoreURL("zip", path=f"{self._path.lstrip('/')}/{self._prefix}".rstrip("/")))

    @property
    def capabilities(self) -> Capabilities:
        """Reading and listing only."""
        return _CAPABILITIES

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        archive = self._open()
        member = self._member(archive, key)
        try:
            if byte_range is None:
                return archive.read(member)
            return archive.read_range(member, *resolve_range(byte_range, member.size))
        except (zipfile.BadZipFile, zlib.error) as error:
            raise ChecksumError(f"{self.url}: member {key!r} is damaged: {error}") from error
        except OSError as error:
            raise StoreError(f"{self.url}: cannot read {key!r}: {error.strerror or error}") from error

    def get_limited(self, key: str, limit: int) -> bytes:
        if self._member(self._open(), key).size > limit:
            raise too_large(self.url, key, limit)
        return self.get(key)

    def fetch(self, key: str) -> StoredObject:
        return StoredObject(self.get(key), self.head(key).etag)

    def head(self, key: str) -> ObjectInfo:
        member = self._member(self._open(), key)
        return ObjectInfo(member.size, f"{member.crc:x}-{member.size:x}-{member.offset:x}")

    def put(
        self, key: str, data: BytesLike, *, if_match: str | None = None, if_none_match: bool = False
    ) -> NoReturn:
        raise self._read_only("write", key)

    def delete(self, key: str, *, if_match: str | None = None) -> NoReturn:
        raise self._read_only("delete", key)

    def delete_prefix(self, prefix: str) -> NoReturn:
        raise self._read_only("delete", f"{prefix}/")

    def list(self, prefix: str = "") -> Iterator[str]:
        check_prefix(prefix)
        start, skip = self._below + below(prefix), len(self._below)
        names = self._open().members
        return iter([name[skip:] for name in names if name.startswith(start) and not name.endswith("/")])

    def list_dir(self, prefix: str = "") -> DirListing:
        return DirListing.of(prefix, self.list(prefix))

    def close(self) -> None:
        self._archive = None

    def _open(self) -> _Archive:
        archive = self._archive
        if archive is None:
            try:
                archive = self._archive = _Archive(self._path)
            except FileNotFoundError as error:
                raise StoreError(f"{self.url}: no such file; ZipBuilder makes a new archive") from error
            except (zipfile.BadZipFile, ValueError) as error:
                raise StoreError(f"{self.url}: not a ZIP archive, or damaged: {error}") from error
            except LimitExceededError as error:
                raise LimitExceededError(f"{self.url}: {error}") from None
            except OSError as error:
                raise StoreError(f"{self.url}: cannot open: {error.strerror or error}") from error
        return archive

    def _member(self, archive: _Archive, key: str) -> Member:
        check_key(key)
        member = archive.members.get(self._below + key)
        if member is None:
            raise KeyNotFoundError(f"{self.url}: no value under key {key!r}")
        if member.flags & 1:
            raise UnsupportedError(f"{self.url}: member {key!r} is encrypted")
        if member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnsupportedError(
                f"{self.url}: member {key!r} has compression {member.method}, "
                "expected 0 (none) or 8 (deflate)"
            )
        if member.size > DEFAULT_LIMITS.max_chunk_bytes:
            raise LimitExceededError(
                f"{self.url}: member {key!r} has {member.size} bytes, "
                f"expected at most {DEFAULT_LIMITS.max_chunk_bytes}"
            )
        return member

    def _read_only(self, what: str, key: str) -> UnsupportedError:
        return UnsupportedError(
            f"{self.url}: cannot {what} {key!r}: an archive is read-only; ZipBuilder makes a new one"
        )

    def __repr__(self) -> str:
        return f"ZipStore({self._path!r}, {self._prefix!r})"

    def __reduce__(self) -> tuple[Callable[[str, str], ZipStore], tuple[str, str]]:
        return ZipStore, (self._path, self._prefix)


class _Archive:
    """An archive open for reading, by position only, so that threads and forked children do not collide."""

    def __init__(self, path: str) -> None:
        with ExitStack() as stack:
            self._file = stack.enter_context(open(path, "rb", buffering=0))
            self.members = Directory(self._file.fileno())
            for name in self.members:
                if not is_key(name.removesuffix("/")):
                    raise UnsupportedError(f"{path}: member {name!r} has a name that no key can have")
            stack.pop_all()  # stays open, until the last reader lets go of it

    def read(self, member: Member) -> bytes:
        """Return the whole value, whose size and checksum are as the directory says."""
        if member.method == zipfile.ZIP_DEFLATED:
            data = self._inflate(member)
        else:
            data = self.read_range(member, 0, member.packed_size)
        if len(data) != member.size:
            raise zipfile.BadZipFile(f"{len(data)} bytes or more, expected {member.size}")
        if zlib.crc32(data) != member.crc:
            raise zipfile.BadZipFile(f"checksum {zlib.crc32(data):08x}, expected {member.crc:08x}")
        return data

    def read_range(self, member: Member, start: int, stop: int) -> bytes:
        """Return a part of the value, straight from the file where it is not compressed."""
        if member.method == zipfile.ZIP_DEFLATED:
            return self.read(member)[start:stop]
        if member.packed_size != member.size:
            raise zipfile.BadZipFile(f"{member.packed_size} bytes uncompressed, expected {member.size}")
        offset = self._data_offset(member)
        return self._read_raw(offset + start, offset + stop)

    def _inflate(self, member: Member) -> bytes:
        """Decompress at most one byte more than the size that the directory says."""
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        offset, room = self._data_offset(member), member.size + 1
        parts: list[bytes] = []
        for start in range(offset, offset + member.packed_size, _PIECE_BYTES):
            packed = self._read_raw(start, min(start + _PIECE_BYTES, offset + member.packed_size))
            parts.append(inflater.decompress(packed, room))
            room -= len(parts[-1])
            if inflater.eof or not room:
                break
        return b"".join(parts)

    def _data_offset(self, member: Member) -> int:
        """Return where in the file the member's data begin."""
        header = os.pread(self._file.fileno(), _LOCAL_HEADER.size, member.offset)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise zipfile.BadZipFile(f"no member at {member.offset}, where the directory says")
        _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
        offset: int = member.offset + _LOCAL_HEADER.size + name_size + extra_size
        if offset + member.packed_size > self.members.start:
            raise zipfile.BadZipFile("it reaches into the directory")
        return offset

    def _read_raw(self, start: int, stop: int) -> bytes:
        data = read_span(self._file.fileno(), start, stop)
        if len(data) != stop - start:
            raise zipfile.BadZipFile(f"the archive ends after {len(data)} of {stop - start} bytes")
        return data
