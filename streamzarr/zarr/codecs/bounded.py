"""Decompression that never gives back, or holds, more than the caller expects (promise P10).

Each function takes the compressed bytes, a :class:`~streamzarr.zarr.codecs.base.Bound` and optionally a
buffer of exactly that many bytes, and raises :class:`streamzarr.errors.CodecError` on anything corrupt,
truncated or larger. Sizes are checked from headers before memory is spent; where a format has no size,
output is limited.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs import streamed
from streamzarr.zarr.codecs.base import FAILURES, Bound, as_buffer, checked
from streamzarr.zarr.codecs.blosc_buffers import decompress as blosc
from streamzarr.zarr.codecs.deflated import gzip, zlib_
from streamzarr.zarr.codecs.library import numcodecs
from streamzarr.zarr.codecs.zstd_frames import decompress as zstd

__all__ = [
    "FAILURES",
    "Decompress",
    "blosc",
    "bzip2",
    "decode_unbounded",
    "gzip",
    "lz4",
    "xz",
    "zlib_",
    "zstd",
]


class Decompress(Protocol):
    """The form of every function here."""

    def __call__(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        """Return `data`, decompressed."""


def _streamed(
    data: BytesLike, bound: Bound, out: memoryview | None = None, *, name: str, start: Callable[[], Any]
) -> BytesLike:
    return streamed.decompress(name, start, bool, data, bound, (*FAILURES, lzma.LZMAError))


bzip2: Decompress = partial(_streamed, name="bz2", start=bz2.BZ2Decompressor)


LZMA_MEMORY = 128 << 20
"""Bytes that a header may make liblzma allocate for its dictionary; the highest preset needs 65 MiB."""


def xz(codec: Any) -> Decompress:
    """Return the decompressor for a numcodecs ``LZMA``, whose raw streams need its filters to be read."""
    start = partial(lzma.LZMADecompressor, format=lzma.FORMAT_AUTO, memlimit=LZMA_MEMORY)
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
    return decode_unbounded(numcodecs().LZ4(), "lz4", data, bound) if stated else b""


def decode_unbounded(codec: Any, name: str, data: BytesLike, bound: Bound) -> BytesLike:
    """Decode with a numcodecs codec whose output cannot be limited beforehand, then check its size."""
    try:
        decoded = codec.decode(data)
    except FAILURES as error:
        raise CodecError(f"{name}: {error}; got {len(data)} encoded bytes, expected {bound}") from error
    if isinstance(decoded, np.ndarray):
        decoded = as_buffer(np.ascontiguousarray(decoded))
    return checked(name, decoded, bound)
