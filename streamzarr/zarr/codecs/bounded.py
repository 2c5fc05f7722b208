"""Decompression that never gives back, or holds, more than the caller expects (promise P10).

Each function takes the compressed bytes, a :class:`~streamzarr.zarr.codecs.base.Bound` and optionally a
buffer of exactly that many bytes, and raises :class:`streamzarr.errors.CodecError` on anything corrupt,
truncated or larger. Sizes are checked from headers before memory is spent; where a format has no size,
output is limited.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numcodecs
import numpy as np

from streamzarr.errors import CodecError
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import Bound, as_buffer

FAILURES = (RuntimeError, ValueError, TypeError, OSError, EOFError, OverflowError, IndexError, AssertionError)
"""What numcodecs and the standard library raise on input that they cannot decode."""


class Decompress(Protocol):
    """The form of every function here."""

    def __call__(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        """Return `data`, decompressed."""


def zstd(data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
    """Decompress one or more Zstandard frames (RFC 8878)."""
    first = _zstd_frame_size(data)
    if not bound.exact:
        return _zstd_unknown(data, bound)
    # With a buffer given, libzstd writes no further and fails when there is more. It does not say when there
    # is less, but the first frame's header does; only input of several frames is measured by decoding it
    # apart.
    target = memoryview(bytearray(bound.size)) if out is None else out
    try:
        if bound.size:
            _ZSTD.decode(data, target)
        if first is None or first == bound.size:
            return target
        whole: BytesLike = _ZSTD.decode(data)
    except FAILURES as error:
        raise CodecError(f"zstd: {error}; expected {bound}, got {len(data)} compressed bytes") from error
    return _checked("zstd", whole, bound)


def _zstd_unknown(data: BytesLike, bound: Bound) -> BytesLike:
    ceiling = _zstd_ceiling(data)
    if ceiling > bound.size + (32 << 20):
        raise CodecError(f"zstd: frames may decode to {ceiling} bytes, expected {bound}")
    try:
        whole: BytesLike = _ZSTD.decode(data)
    except FAILURES as error:
        raise CodecError(f"zstd: {error}; got {len(data)} compressed bytes") from error
    return _checked("zstd", whole, bound)


_ZSTD = numcodecs.Zstd()
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_BLOCK = 128 * 1024


def _zstd_header(data: BytesLike) -> tuple[int, int | None]:
    """Return length and stated content size of the frame header that begins `data` (RFC 8878, 3.1.1)."""
    head = bytes(data[:18])
    if len(head) < 6 or head[:4] != _ZSTD_MAGIC:
        raise CodecError(f"zstd: no frame header; got {len(data)} bytes that begin with 0x{head[:4].hex()}")
    descriptor = head[4]
    single = bool(descriptor & 0x20)
    position = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    width = ((1 if single else 0), 2, 4, 8)[descriptor >> 6]
    if not width:
        return position, None
    size = int.from_bytes(head[position : position + width], "little") + (256 if width == 2 else 0)
    return position + width, size


def _zstd_frame_size(data: BytesLike) -> int | None:
    return _zstd_header(data)[1]


def _zstd_ceiling(data: BytesLike) -> int:
    """Return what the frames in `data` can decode to at most: their stated size, or their blocks' maximum."""
    total, view = 0, memoryview(data)
    while len(view):
        header, size = _zstd_header(view)
        blocks, position, last = 0, header, False
        while not last and position + 3 <= len(view):
            block = int.from_bytes(view[position : position + 3], "little")
            last, kind, length = bool(block & 1), (block >> 1) & 3, block >> 3
            blocks += length if kind in (0, 1) else _ZSTD_BLOCK
            position += 3 + (1 if kind == 1 else length)
        total += blocks if size is None else size
        view = view[position + (4 if view[4] & 4 else 0) :]
    return total


def blosc(data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
    """Decompress one Blosc 1 buffer; its 16-byte header states both sizes."""
    if len(data) < 16:
        raise CodecError(f"blosc: got {len(data)} bytes, expected a header of 16")
    stated, stored = (int.from_bytes(data[at : at + 4], "little") for at in (4, 12))
    if stored != len(data):
        raise CodecError(f"blosc: got {len(data)} bytes, the header states {stored}")
    if not bound.admits(stated):
        raise CodecError(f"blosc: decodes to {stated} bytes, expected {bound}")
    if not stated:
        return b""
    target = memoryview(bytearray(stated)) if out is None or len(out) != stated else out
    try:
        _BLOSC.decode(data, target)
    except FAILURES as error:
        raise CodecError(f"blosc: {error}; got {len(data)} compressed bytes") from error
    return target


# The global threads of C-Blosc do not survive a fork and fight with ours; zarr-python turns them off, too.
numcodecs.blosc.use_threads = False
_BLOSC = numcodecs.Blosc()


def _inflate(
    data: BytesLike, bound: Bound, out: memoryview | None = None, *, name: str, wbits: int
) -> BytesLike:
    parts: list[bytes] = []
    room, rest = bound.size, data
    try:
        while True:  # gzip allows several members
            stream = zlib.decompressobj(wbits)
            parts.append(stream.decompress(rest, room + 1))
            room -= len(parts[-1])
            if room < 0:
                raise CodecError(f"{name}: decodes to more than {bound.size} bytes, expected {bound}")
            if not stream.eof:
                raise CodecError(f"{name}: input of {len(data)} bytes ends in the middle of a stream")
            rest = stream.unused_data
            if not rest or wbits != _GZIP or not rest.strip(b"\0"):
                break
    except zlib.error as error:
        raise CodecError(f"{name}: {error}; got {len(data)} compressed bytes") from error
    return _checked(name, parts[0] if len(parts) == 1 else b"".join(parts), bound)


_GZIP = 31
gzip: Decompress = partial(_inflate, name="gzip", wbits=_GZIP)
zlib_: Decompress = partial(_inflate, name="zlib", wbits=15)


def _streamed(
    data: BytesLike, bound: Bound, out: memoryview | None = None, *, name: str, start: Callable[[], Any]
) -> BytesLike:
    parts: list[bytes] = []
    room, rest = bound.size, bytes(data)
    try:
        while rest:
            stream = start()
            parts.append(stream.decompress(rest, max_length=room + 1))
            room -= len(parts[-1])
            if room < 0:
                raise CodecError(f"{name}: decodes to more than {bound.size} bytes, expected {bound}")
            if not stream.eof:
                raise CodecError(f"{name}: input of {len(data)} bytes ends in the middle of a stream")
            rest = stream.unused_data
    except (*FAILURES, lzma.LZMAError) as error:
        raise CodecError(f"{name}: {error}; got {len(data)} compressed bytes") from error
    return _checked(name, b"".join(parts), bound)


bzip2: Decompress = partial(_streamed, name="bz2", start=bz2.BZ2Decompressor)


_LZMA_MEMORY = 128 << 20
"""Bytes that a header may make liblzma allocate for its dictionary; the highest preset needs 65 MiB."""


def xz(codec: Any) -> Decompress:
    """Return the decompressor for a numcodecs ``LZMA``, whose raw streams need its filters to be read."""
    start = partial(lzma.LZMADecompressor, format=lzma.FORMAT_AUTO, memlimit=_LZMA_MEMORY)
    if codec.format == lzma.FORMAT_RAW:
        start = partial(lzma.LZMADecompressor, format=codec.format, filters=codec.filters)
    return partial(_streamed, name="lzma", start=start)


def lz4(data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
    """Decompress numcodecs' LZ4 form: a 4-byte little-endian size, then one block."""
    if len(data) < 4:
        raise CodecError(f"lz4: got {len(data)} bytes, expected a header of 4")
    stated = int.from_bytes(data[:4], "little")
    if not bound.admits(stated):
        raise CodecError(f"lz4: decodes to {stated} bytes, expected {bound}")
    return decode_unbounded(numcodecs.LZ4(), "lz4", data, bound) if stated else b""


def decode_unbounded(codec: Any, name: str, data: BytesLike, bound: Bound) -> BytesLike:
    """Decode with a numcodecs codec whose output cannot be limited beforehand, then check its size."""
    try:
        decoded = codec.decode(data)
    except FAILURES as error:
        raise CodecError(f"{name}: {error}; got {len(data)} encoded bytes, expected {bound}") from error
    if isinstance(decoded, np.ndarray):
        decoded = as_buffer(np.ascontiguousarray(decoded))
    return _checked(name, decoded, bound)


def _checked(name: str, decoded: BytesLike, bound: Bound) -> BytesLike:
    if not bound.admits(len(decoded)):
        raise CodecError(f"{name}: decoded to {len(decoded)} bytes, expected {bound}")
    return decoded
