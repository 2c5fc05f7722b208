"""Messages whose value is compressed as a whole, by the producer and not by Kafka."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from streamzarr.errors import CodecError, ConfigError
from streamzarr.feeds.decode.assemble import joined
from streamzarr.feeds.decode.base import Decoded, Decoder, TooMuchError
from streamzarr.limits import Limits
from streamzarr.zarr.codecs.base import Bound

_Decompress = Callable[[bytes, int], bytes]

AT_ONCE: Final = 16 << 20
"""Bytes that are decompressed before they are decoded: a batch of a few bytes may become any number."""


class Decompressing:
    """Decompresses each message, to no more than the limits allow, then decodes. Owned by one thread."""

    def __init__(self, compression: str, decoder: Decoder, limits: Limits) -> None:
        if compression not in [*COMPRESSIONS]:
            raise ConfigError(
                f"decode: compression is {compression!r}, expected one of {', '.join(COMPRESSIONS)}"
            )
        self._decompress = COMPRESSIONS[compression]()
        self._decoder, self._most = decoder, limits.max_message_bytes

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`."""
        plain: list[bytes | None] = []
        parts, first, size, total = list[tuple[int, Decoded]](), 0, 0, 0
        bad = {}
        for index, value in enumerate(values):
            try:
                plain.append(None if value is None else self._decompress(value, self._most))
            except CodecError as error:
                plain.append(None)
                bad[index] = str(error)
            size += len(plain[-1] or b"")
            if size >= AT_ONCE:
                parts.append((first, self._decoder(plain)))
                total += size + parts[-1][1].nbytes
                TooMuchError.check(total, len(values))
                plain, first, size = [], index + 1, 0
        if plain or not parts:
            parts.append((first, self._decoder(plain)))
        found = joined(parts, list(parts[0][1].columns))
        return Decoded(found.columns, found.origin, {**found.bad, **bad}) if bad else found


def _gzip() -> _Decompress:
    from streamzarr.zarr.codecs.bounded import gzip

    return lambda data, most: bytes(gzip(data, Bound(most, exact=False)))


def _zstd() -> _Decompress:
    from zstandard import ZstdError, frame_content_size

    from streamzarr.zarr.codecs.bounded import zstd

    def decompress(data: bytes, most: int) -> bytes:
        with suppress(ZstdError, CodecError):  # of damaged data, or of more frames than one
            if 0 < (stated := frame_content_size(data)) <= most:
                return bytes(zstd(data, Bound(stated, exact=True)))  # which is quicker
        return bytes(zstd(data, Bound(most, exact=False)))

    return decompress


def _snappy() -> _Decompress:
    from streamzarr.zarr.codecs.snappy import decompress

    _cramjam("snappy")
    return lambda data, most: bytes(decompress(data, Bound(most, exact=False)))


def _lz4() -> _Decompress:
    return partial(_lz4_frame, _cramjam("lz4"))


def _lz4_frame(cramjam: Any, data: bytes, most: int) -> bytes:
    """Decompress a frame of LZ4 into room that grows up to `most`."""
    room = min(most, max(4096, 4 * len(data)))
    while True:
        buffer = bytearray(room)
        try:
            return bytes(memoryview(buffer)[: cramjam.lz4.decompress_into(data, buffer)])
        except cramjam.DecompressionError as error:
            full = "whole buffer" in str(error)
            if not full or room >= most:
                raise CodecError(f"lz4: {f'more than {most} bytes' if full else error}") from error
        room = min(most, 8 * room)


def _cramjam(compression: str) -> Any:
    try:
        import cramjam
    except ImportError as error:
        raise ConfigError(
            f"decode: compression {compression!r} needs the package cramjam: pip install 'streamzarr[snappy]'"
        ) from error
    return cramjam


COMPRESSIONS: Final[dict[str, Callable[[], _Decompress]]] = {
    "gzip": _gzip,
    "zstd": _zstd,
    "lz4": _lz4,
    "snappy": _snappy,
}
