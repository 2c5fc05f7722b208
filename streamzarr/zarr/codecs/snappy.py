# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``snappy``: raw Snappy blocks (no framing), the fastest of the old compressors, by cramjam.

Source: https://github.com/google/snappy/blob/main/format_description.txt
``{"name": "snappy"}`` in v3, ``{"id": "snappy"}`` in v2. No specification of Zarr names it: where others are
to read the data, lz4 or zstd serve better. The entry point of :class:`Snappy` lets numcodecs, and by it
zarr-python, read v2 arrays of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from streamzarr.errors import CodecError
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import Bound, BytesBytes


def compress(data: BytesLike) -> bytes:
    """Return `data` as one Snappy block."""
    return bytes(_cramjam().snappy.compress_raw(data))


def decompress(data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
    """Decompress one Snappy block, whose header states the size: :mod:`streamzarr.zarr.codecs.bounded`."""
    cramjam = _cramjam()
    try:
        stated = cramjam.snappy.decompress_raw_len(data)
        if not bound.admits(stated):
            raise CodecError(f"snappy: decodes to {stated} bytes, expected {bound}")
        target = memoryview(bytearray(stated)) if out is None or len(out) != stated else out
        cramjam.snappy.decompress_raw_into(data, target)
    except cramjam.DecompressionError as error:
        raise CodecError(f"snappy: {error}; got {len(data)} compressed bytes") from error
    return target


def _cramjam() -> Any:
    try:
        import cramjam
    except ImportError as error:
        raise ValueError("needs the package cramjam: pip install 'streamzarr[snappy]'") from error
    return cramjam


@dataclass(frozen=True, slots=True)
class SnappyCodec(BytesBytes):
    """Snappy; it has no levels.

    >>> len(SnappyCodec().encode(b"abc" * 1000))
    147
    """

    name: ClassVar[str] = "snappy"
    needs: ClassVar[str] = "cramjam"

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        if configuration:
            raise ValueError(f"expected no configuration, got {configuration!r}")
        _cramjam()
        return cls()

    def configuration(self) -> dict[str, Any]:
        return {}

    def encoded_bound(self, bound: Bound) -> Bound:
        return Bound(32 + bound.size + bound.size // 6, exact=False)  # snappy::MaxCompressedLength

    def encode(self, data: BytesLike) -> BytesLike:
        return compress(data)

    def decode(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        return decompress(data, bound, out)


class Snappy:
    """Snappy as a codec of numcodecs, whose ABC it fits without importing it. Thread-safe."""

    codec_id = "snappy"

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the codec for a v2 configuration, which is empty."""
        if config:
            raise ValueError(f"snappy: expected no configuration, got {config!r}")
        _cramjam()
        return cls()

    def get_config(self) -> dict[str, Any]:
        """Return the v2 configuration."""
        return {"id": self.codec_id}

    def encode(self, buf: Any) -> bytes:
        """Return the bytes of `buf`, compressed."""
        return compress(_flat(buf))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return what was compressed, in `out` if that is given."""
        data = _flat(buf)
        decoded = decompress(data, Bound(2**32, exact=False))  # what the format can hold
        if out is None:
            return decoded
        _flat(out)[:] = decoded
        return out

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snappy)

    __hash__ = None  # type: ignore[assignment]  # as numcodecs' own codecs

    def __repr__(self) -> str:
        return "Snappy()"


def _flat(buffer: Any) -> memoryview:
    view = memoryview(buffer)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")
