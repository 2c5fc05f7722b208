"""gzip and zlib (RFC 1952, RFC 1950): libdeflate where the size is known, else the standard library.

libdeflate reads twice and writes three times as fast as zlib, at the same levels and sizes, but only whole
buffers of a known size. What it does not understand (several members, say) is left to zlib, which also says
what is wrong with corrupt input.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from functools import partial

import deflate
import numpy as np

from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs import streamed
from streamzarr.zarr.codecs.base import Bound, checked

_MAGIC = re.compile(rb"\x1f\x8b\x08")
_SMALL = 32 * 1024
"""Bytes up to which a regular expression finds something sooner than numpy does."""
_MAGIC_PAIR = 0x8B1F
"""The first two bytes of the same as a little-endian number."""
_GZIP = 31
_ZLIB = 15


def compress_gzip(data: BytesLike, level: int) -> BytesLike:
    """Return `data` as one gzip member without a time: equal input gives equal bytes."""
    encoded: bytearray = deflate.gzip_compress(data, level)
    return encoded


def gzip(data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
    """Decompress one or more gzip members; the form of every function in ``bounded``."""
    if bound.exact and _is_one_member(data, bound.size):
        try:
            return _kept("gzip", deflate.gzip_decompress(data, bound.size), bound, out)
        except deflate.DeflateError:
            pass
    return _inflate("gzip", _GZIP, _another_member, data, bound)


def zlib_(data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
    """Decompress a zlib stream; the form of every function in ``bounded``."""
    if bound.exact and bound.size:
        try:
            return _kept("zlib", deflate.zlib_decompress(data, bound.size), bound, out)
        except deflate.DeflateError:
            pass
    return _inflate("zlib", _ZLIB, lambda rest: False, data, bound)


def _is_one_member(data: BytesLike, size: int) -> bool:
    """Tell whether `data` can only be one member of `size` bytes: libdeflate reads one and ignores the rest.

    Its last four bytes are its size, and nothing in it looks like the beginning of another one.
    """
    return (
        size > 0
        and len(data) >= 18
        and int.from_bytes(data[-4:], "little") == size & 0xFFFF_FFFF
        and not _begins_again(data)
    )


def _begins_again(data: BytesLike) -> bool:
    """Tell whether the first bytes of a gzip member are somewhere behind those at the beginning.

    ``bytes.find`` would take a fifth of the time of decompression, and the GIL for as long.
    """
    if len(data) < _SMALL:
        return _MAGIC.search(data, 3) is not None
    for start in (3, 4):
        pairs = np.frombuffer(data, "<u2", (len(data) - start) >> 1, start)
        for at in (pairs == _MAGIC_PAIR).nonzero()[0].tolist():
            if data[start + 2 * at + 2 : start + 2 * at + 3] == b"\x08":
                return True
    return False


def _kept(name: str, decoded: bytearray, bound: Bound, out: memoryview | None) -> BytesLike:
    if out is None or len(decoded) != len(out):
        return checked(name, decoded, bound)
    out[:] = decoded
    return out


def _another_member(rest: bytes) -> bool:
    return bool(rest.strip(b"\0"))  # zeros pad a file


def _inflate(
    name: str, wbits: int, more: Callable[[bytes], bool], data: BytesLike, bound: Bound
) -> BytesLike:
    return streamed.decompress(name, partial(zlib.decompressobj, wbits), more, data, bound, (zlib.error,))
