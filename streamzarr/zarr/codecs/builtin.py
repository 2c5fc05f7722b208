"""The codecs that streamzarr brings, by their names in v3 metadata."""

from __future__ import annotations

from streamzarr.zarr.codecs.base import Codec
from streamzarr.zarr.codecs.bitround import BitroundCodec
from streamzarr.zarr.codecs.cast_value import CastValueCodec
from streamzarr.zarr.codecs.compressors import BloscCodec, GzipCodec, ZstdCodec
from streamzarr.zarr.codecs.crc32c import Crc32cCodec
from streamzarr.zarr.codecs.foreign import foreign_codecs
from streamzarr.zarr.codecs.packbits import PackbitsCodec
from streamzarr.zarr.codecs.raw import BytesCodec
from streamzarr.zarr.codecs.reshape import ReshapeCodec
from streamzarr.zarr.codecs.scale_offset import ScaleOffsetCodec
from streamzarr.zarr.codecs.sharding import ShardingCodec
from streamzarr.zarr.codecs.snappy import SnappyCodec
from streamzarr.zarr.codecs.transpose import TransposeCodec
from streamzarr.zarr.codecs.vlen import VlenArrayCodec, VlenBytesCodec, VlenUtf8Codec
from streamzarr.zarr.codecs.zfp import ZfpCodec

_OURS: tuple[type[Codec], ...] = (
    *(TransposeCodec, ReshapeCodec, BitroundCodec, ScaleOffsetCodec, CastValueCodec),
    *(BytesCodec, PackbitsCodec, VlenUtf8Codec, VlenBytesCodec, VlenArrayCodec, ShardingCodec, ZfpCodec),
    *(ZstdCodec, GzipCodec, BloscCodec, SnappyCodec, Crc32cCodec),
)

CODECS: dict[str, type[Codec]] = {codec.name: codec for codec in _OURS} | foreign_codecs()

_ZARRS = "https://codec.zarrs.dev/array_to_bytes/"

ALIASES = {
    "endian": "bytes",
    "pcodec": "numcodecs.pcodec",
    "zfpy": "numcodecs.zfpy",
    "zarrs.zfp": "zfp",
    "numcodecs.vlen-array": "vlen-array",
    **{f"{_ZARRS}{name}": f"numcodecs.{name}" for name in ("pcodec", "zfpy")},
    f"{_ZARRS}zfp": "zfp",
    f"{_ZARRS}vlen_array": "vlen-array",
}
"""Other names of some codecs; metadata is written with the codec's own."""
