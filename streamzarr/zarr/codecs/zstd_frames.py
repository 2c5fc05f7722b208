"""Zstandard with each thread's own contexts, and decompression that is bounded (RFC 8878).

numcodecs makes a context for every call, which at 16 KiB costs as much as the work; python-zstandard keeps
one. The bytes are the same: both are libzstd.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from streamzarr.errors import CodecError
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import FAILURES, Bound, checked
from streamzarr.zarr.codecs.library import numcodecs

MAX_KEPT_BYTES = 128 * 1024
"""Up to this size (one block) a kept context saves time. Above, numcodecs decompresses as fast straight into
the result, and when compressing, the block splitters of two versions of libzstd can give different bytes."""


class _Contexts(threading.local):
    """What one thread has made; a context serves one thread at a time."""

    def __init__(self) -> None:
        import zstandard  # here, because importing it takes a while

        decompressor = zstandard.ZstdDecompressor()
        self.decompress = decompressor.decompress
        self.content_size = zstandard.frame_content_size
        self.error = zstandard.ZstdError
        self._compressors: dict[tuple[int, bool], Any] = {}

    def compressor(self, level: int, checksum: bool) -> Any:
        found = self._compressors.get((level, checksum))
        if found is None:
            import zstandard

            found = zstandard.ZstdCompressor(level=level, write_checksum=checksum)
            self._compressors[level, checksum] = found
        return found


_contexts: _Contexts | None = None


def _own() -> _Contexts:
    global _contexts
    if _contexts is None:
        _contexts = _Contexts()
    return _contexts


def compress(data: BytesLike, level: int, checksum: bool) -> bytes:
    """Return `data` as one frame that states its size."""
    if len(data) > MAX_KEPT_BYTES:
        large: bytes = numcodecs().zstd.compress(data, level, checksum)
        return large
    compressed: bytes = _own().compressor(level, checksum).compress(data)
    return compressed


def decompress(data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
    """Decompress one or more frames; the form of every function in ``bounded``."""
    if not bound.exact:
        return _decompress_unknown(_past_skippable(data), bound)
    if out is not None and 0 < bound.size <= MAX_KEPT_BYTES and _decompress_one(data, out):
        return out
    data = _past_skippable(data)
    first = _frame_size(data)
    # With a buffer given, libzstd writes no further and fails when there is more. It does not say when there
    # is less, but the first frame's header does; only input of several frames is measured by decoding it
    # apart.
    target = memoryview(bytearray(bound.size)) if out is None else out
    try:
        if bound.size:
            numcodecs().zstd.decompress(data, target)
        if first is None or first == bound.size:
            return target
        whole: BytesLike = numcodecs().zstd.decompress(data)
    except FAILURES as error:
        raise CodecError(f"zstd: {error}; expected {bound}, got {len(data)} compressed bytes") from error
    return checked("zstd", whole, bound)


def _decompress_one(data: BytesLike, out: memoryview) -> bool:
    """Decompress `data` if it is one frame that states the size of `out`; if not, or if corrupt, tell so."""
    own = _own()
    try:
        if own.content_size(data) != len(out):
            return False
        out[:] = own.decompress(data, allow_extra_data=False)
    except own.error:
        return False
    return True


def _decompress_unknown(data: BytesLike, bound: Bound) -> BytesLike:
    ceiling, empty = 0, len(data) > 0
    for frame in _frames(data):
        ceiling += frame.blocks if frame.size is None else frame.size
        empty = empty and frame.is_empty
    if empty:
        return b""  # which numcodecs takes for damaged
    if ceiling > bound.size + (32 << 20):
        raise CodecError(f"zstd: frames may decode to {ceiling} bytes, expected {bound}")
    try:
        whole: BytesLike = numcodecs().zstd.decompress(data)
    except FAILURES as error:
        raise CodecError(f"zstd: {error}; got {len(data)} compressed bytes") from error
    return checked("zstd", whole, bound)


def _past_skippable(data: BytesLike) -> BytesLike:
    """Return `data` from its first frame with content on (RFC 8878, 3.1.2); libzstd passes the others."""
    view = memoryview(data)
    while len(view) >= 8 and view[0] & 0xF0 == 0x50 and view[1:4] == _SKIPPABLE:
        view = view[8 + int.from_bytes(view[4:8], "little") :]
    return data if len(view) == len(data) else view


_SKIPPABLE = b"\x2a\x4d\x18"
"""Bytes 1 to 3 of the header of a frame that has no content."""
_MAGIC = b"\x28\xb5\x2f\xfd"
_BLOCK = 128 * 1024
_NO_BYTES = b"\x99\xe9\xd8\x51"
"""Checksum of a frame without content."""


def _header(data: BytesLike) -> tuple[int, int | None]:
    """Return length and stated content size of the frame header that begins `data` (RFC 8878, 3.1.1)."""
    head = bytes(data[:18])
    if len(head) < 6 or head[:4] != _MAGIC:
        raise CodecError(f"zstd: no frame header; got {len(data)} bytes that begin with 0x{head[:4].hex()}")
    descriptor = head[4]
    single = bool(descriptor & 0x20)
    position = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    width = ((1 if single else 0), 2, 4, 8)[descriptor >> 6]
    if not width:
        return position, None
    size = int.from_bytes(head[position : position + width], "little") + (256 if width == 2 else 0)
    return position + width, size


def header_length(data: BytesLike) -> int:
    """Return how long the frame header is that begins `data`; raises ``CodecError`` if there is none."""
    return _header(data)[0]


def _frame_size(data: BytesLike) -> int | None:
    return _header(data)[1]


class _Frame(NamedTuple):
    """What is to be seen of a frame without decoding it."""

    size: int | None
    """As it states."""
    blocks: int
    """Bytes that its blocks decode to at most."""
    whole: bool
    """It is all there, and a checksum is that of no bytes."""

    @property
    def is_empty(self) -> bool:
        """Whether it is right, and has no content."""
        return self.whole and not self.size and not self.blocks


def _frames(data: BytesLike) -> Iterator[_Frame]:
    """Yield the frames in `data` that have content; the last may be cut off."""
    view = memoryview(data)
    while len(view):
        header, size = _header(view)
        blocks, position, last = 0, header, False
        while not last and position + 3 <= len(view):
            block = int.from_bytes(view[position : position + 3], "little")
            last, kind, length = bool(block & 1), (block >> 1) & 3, block >> 3
            blocks += length if kind in (0, 1) else _BLOCK
            position += 3 + (1 if kind == 1 else length)
        end = position + (4 if view[4] & 4 else 0)
        whole = last and len(view) >= end and view[position:end] in (b"", _NO_BYTES)
        yield _Frame(size, blocks, whole)
        view = memoryview(_past_skippable(view[end:]))
