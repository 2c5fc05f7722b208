"""Decompression as a stream, for input that states no size: it stops where too much would come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamzarr.errors import CodecError
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import Bound, checked


def decompress(
    name: str,
    start: Callable[[], Any],
    more: Callable[[bytes], bool],
    data: BytesLike,
    bound: Bound,
    failures: tuple[type[Exception], ...],
) -> BytesLike:
    """Decompress one stream, or several in a row; see ``bounded``.

    Parameters
    ----------
    start
        Makes a decompressor, in the form of those of the standard library.
    more
        Tells of what follows a stream whether it is another one.
    failures
        What the decompressor raises on corrupt input.
    """
    parts: list[bytes] = []
    room, rest = bound.size, bytes(data)
    try:
        while True:
            stream = start()
            parts.append(stream.decompress(rest, room + 1))
            room -= len(parts[-1])
            if room < 0:
                raise CodecError(f"{name}: decodes to more than {bound.size} bytes, expected {bound}")
            if not stream.eof:
                raise CodecError(f"{name}: input of {len(data)} bytes ends in the middle of a stream")
            rest = stream.unused_data
            if not more(rest):
                break
    except failures as error:
        raise CodecError(f"{name}: {error}; got {len(data)} compressed bytes") from error
    return checked(name, parts[0] if len(parts) == 1 else b"".join(parts), bound)
