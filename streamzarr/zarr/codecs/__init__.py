"""Codecs: the steps between a chunk's array and its stored bytes."""

from streamzarr.zarr.codecs.base import ArrayArray, ArrayBytes, Bound, BytesBytes, ChunkSpec, Codec
from streamzarr.zarr.codecs.builtin import ALIASES as _ALIASES
from streamzarr.zarr.codecs.builtin import CODECS as _CODECS
from streamzarr.zarr.codecs.chain import CodecChain, codec_chain
from streamzarr.zarr.codecs.compressors import BloscCodec, GzipCodec, ZstdCodec
from streamzarr.zarr.codecs.crc32c import Crc32cCodec
from streamzarr.zarr.codecs.raw import BytesCodec
from streamzarr.zarr.codecs.registry import CodecInfo, info, register, unregister
from streamzarr.zarr.codecs.registry import build_in as _build_in
from streamzarr.zarr.codecs.registry import names as list  # noqa: A004
from streamzarr.zarr.codecs.sharding import ShardingCodec
from streamzarr.zarr.codecs.snappy import SnappyCodec
from streamzarr.zarr.codecs.transpose import TransposeCodec
from streamzarr.zarr.codecs.vlen import VlenBytesCodec, VlenUtf8Codec

_build_in(_CODECS, _ALIASES)

__all__ = [
    "ArrayArray",
    "ArrayBytes",
    "BloscCodec",
    "Bound",
    "BytesBytes",
    "BytesCodec",
    "ChunkSpec",
    "Codec",
    "CodecChain",
    "CodecInfo",
    "Crc32cCodec",
    "GzipCodec",
    "ShardingCodec",
    "SnappyCodec",
    "TransposeCodec",
    "VlenBytesCodec",
    "VlenUtf8Codec",
    "ZstdCodec",
    "codec_chain",
    "info",
    "list",
    "register",
    "unregister",
]
