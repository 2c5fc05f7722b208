"""A mark in an encoded chunk, which no decoder looks at: no two puts store the same bytes. No I/O.

Object stores make etags of the content. Were a chunk to come back to bytes that it had before, a put of a
fenced writer, under way for long, would find the etag that it expects, and replace committed rows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.zstd_frames import header_length

MARK_BYTES: Final = 16
_BLOSC_COPIED: Final = 0x02
"""Flag of blosc: the content did not become smaller, and is stored as it is."""

Marker: TypeAlias = Callable[[bytes, bytes], bytes]


def _zstd(data: bytes, mark: bytes) -> bytes:
    """Add blocks behind the header that repeat a byte no times (RFC 8878, 3.1.1.2): a byte of the mark each.

    A frame of its own would do as well, and make two frames of one, which some readers take the slow way.
    """
    end = header_length(data)
    return data[:end] + b"".join(b"\x02\0\0%c" % byte for byte in mark) + data[end:]


def _gzip(data: bytes, mark: bytes) -> bytes:
    """Add an extra field to the header (RFC 1952, 2.3.1.1), of which our encoders write none."""
    assert data[3] == 0
    field = b"sz" + struct.pack("<H", len(mark)) + mark
    return data[:3] + b"\x04" + data[4:10] + struct.pack("<H", len(field)) + field + data[10:]


def _blosc(data: bytes, mark: bytes) -> bytes:
    """Add bytes behind the last block, within the length that the header states; none to a plain copy."""
    if data[2] & _BLOSC_COPIED:  # its length is checked
        return data
    (length,) = struct.unpack_from("<I", data, 12)
    assert length == len(data)
    return data[:12] + struct.pack("<I", length + len(mark)) + data[16:] + mark


_MARKERS: Final[dict[str, Marker]] = {"zstd": _zstd, "gzip": _gzip, "blosc": _blosc}


def marked(codec: str, data: BytesLike, mark: bytes) -> BytesLike:
    """Return `data`, encoded by the codec of this name, with the mark; as it is where that has no room."""
    add = _MARKERS.get(codec)
    return data if add is None else add(bytes(data), mark)
