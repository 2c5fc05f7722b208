"""The codecs that streamzarr brings, by their names in v3 metadata."""

from __future__ import annotations

from streamzarr.zarr.codecs.base import Codec
from streamzarr.zarr.codecs.compressors import BloscCodec, GzipCodec, ZstdCodec
from streamzarr.zarr.codecs.crc32c import Crc32cCodec
from streamzarr.zarr.codecs.foreign import foreign_codecs
from streamzarr.zarr.codecs.raw import BytesCodec
from streamzarr.zarr.codecs.sharding import ShardingCodec
from streamzarr.zarr.codecs.snappy import SnappyCodec
from streamzarr.zarr.codecs.transpose import TransposeCodec
from streamzarr.zarr.codecs.vlen import VlenBytesCodec, VlenUtf8Codec

_OURS: tuple[type[Codec], ...] = (
    *(TransposeCodec, BytesCodec, VlenUtf8Codec, VlenBytesCodec, ShardingCodec),
    *(ZstdCodec, GzipCodec, BloscCodec, SnappyCodec, Crc32cCodec),
)

CODECS: dict[str, type[Codec]] = {codec.name: codec for codec in _OURS} | foreign_codecs()

ALIASES = {"endian": "bytes"}
"""Other names of some codecs; metadata is written with the codec's own."""
