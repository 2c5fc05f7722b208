"""Blosc 1 buffers, decompressed right where they are wanted.

Format: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst

numcodecs looks at both buffers in Python before it calls C-Blosc, which for small chunks takes as long as the
work, and holds the GIL meanwhile. So C-Blosc is called by its public C interface, in the very build that
numcodecs brings; where a build does not export it, numcodecs' own function serves.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from functools import cache

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import FAILURES, Bound
from streamzarr.zarr.codecs.library import numcodecs

LIGHT = frozenset(["lz4", "blosclz"])
"""Compressors that decode at nearly the speed of a copy."""

_SIZES = struct.Struct("<III")
"""In the header from byte 4 on: bytes decompressed, bytes of a block, bytes of this buffer."""


def decompress(data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
    """Decompress one buffer, whose header states both sizes; the form of every function in ``bounded``."""
    if len(data) < 16:
        raise CodecError(f"blosc: got {len(data)} bytes, expected a header of 16")
    stated, _, stored = _SIZES.unpack_from(data, 4)
    if stored != len(data):
        raise CodecError(f"blosc: got {len(data)} bytes, the header states {stored}")
    if not bound.admits(stated):
        raise CodecError(f"blosc: decodes to {stated} bytes, expected {bound}")
    if not stated:
        return b""
    target = memoryview(bytearray(stated)) if out is None or len(out) != stated else out
    try:
        _decompressor()(data, target)
    except FAILURES as error:
        raise CodecError(f"blosc: {error}; got {len(data)} compressed bytes") from error
    return target


def _by_numcodecs(data: BytesLike, target: memoryview) -> None:
    # As arrays: numcodecs would turn any other buffer into one, more slowly.
    numcodecs().blosc.decompress(np.frombuffer(data, np.uint8), np.frombuffer(target, np.uint8))


def _directly() -> Callable[[BytesLike, memoryview], None]:
    """Return the same on ``blosc_decompress_ctx``, which never writes more than it is told to."""
    call = ctypes.CDLL(numcodecs().blosc.__file__).blosc_decompress_ctx
    call.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    call.restype = ctypes.c_int
    address, view = ctypes.addressof, ctypes.c_char.from_buffer

    def decompress(data: BytesLike, target: memoryview) -> None:
        try:
            source = data if isinstance(data, bytes) else address(view(data))
        except TypeError:  # read-only, and not bytes
            source = bytes(data)
        size = call(source, address(view(target)), len(target), 1)
        if size != len(target):
            raise RuntimeError(f"C-Blosc gave {size}")

    return decompress


@cache
def _decompressor() -> Callable[[BytesLike, memoryview], None]:
    try:
        return _directly()
    except (OSError, AttributeError):
        return _by_numcodecs
