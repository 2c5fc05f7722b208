"""CRC-32C (Castagnoli): google-crc32c where it is installed, else numpy.

The fallback needs no library of its own and gives about 100 MB/s: the data is cut into lanes whose
checksums advance together, one table lookup per byte position, and are then joined with the operator that
appends zeros to a checksum (Mark Adler, "crc32_combine", zlib).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from streamzarr.stores.base import BytesLike

_POLYNOMIAL = 0x82F63B78
_LANES = 1024


@cache
def _table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


def _times(matrix: list[int], vector: int) -> int:
    """Multiply a 32 x 32 matrix over GF(2), given as columns, by a vector."""
    result = 0
    for column in matrix:
        if vector & 1:
            result ^= column
        vector >>= 1
    return result


@cache
def _append_zeros(count: int) -> list[int]:
    """Return the matrix that takes a raw checksum to the one after `count` more zero bytes."""
    square = [_POLYNOMIAL] + [1 << bit for bit in range(31)]  # one zero bit
    result = [1 << bit for bit in range(32)]
    bits = count * 8
    while bits:
        if bits & 1:
            result = [_times(square, column) for column in result]
        square = [_times(square, column) for column in square]
        bits >>= 1
    return result


def crc32c_numpy(data: BytesLike, value: int = 0) -> int:
    """Return the CRC-32C of `data`, without google-crc32c.

    >>> hex(crc32c_numpy(b"123456789"))
    '0xe3069283'
    """
    flat: Any = np.frombuffer(data, np.uint8)
    table = _table()
    raw = value ^ 0xFFFFFFFF
    lane, _ = divmod(len(flat), _LANES)
    if lane:
        states = np.zeros(_LANES, np.uint32)
        states[0] = raw
        for column in flat[: lane * _LANES].reshape(_LANES, lane).T:
            states = table[(states ^ column) & 0xFF] ^ (states >> np.uint32(8))
        matrix = _append_zeros(lane)
        raw = int(states[0])
        for state in states[1:].tolist():
            raw = _times(matrix, raw) ^ state
    for byte in flat[lane * _LANES :].tolist():
        raw = int(table[(raw ^ byte) & 0xFF]) ^ (raw >> 8)
    return raw ^ 0xFFFFFFFF


def _best() -> Callable[[BytesLike], int]:
    try:
        import google_crc32c
    except ImportError:
        return crc32c_numpy
    if google_crc32c.implementation == "python":
        return crc32c_numpy

    def fast(data: BytesLike) -> int:
        return int(google_crc32c.value(data if isinstance(data, bytes) else np.frombuffer(data, np.uint8)))

    return fast


@cache
def _implementation() -> Callable[[BytesLike], int]:
    return _best()


def crc32c(data: BytesLike) -> int:
    """Return the CRC-32C of `data`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    return _implementation()(data)
