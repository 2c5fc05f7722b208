"""Codecs: the steps between a chunk's array and its stored bytes."""

from streamzarr.zarr.codecs.base import ArrayArray, ArrayBytes, Bound, BytesBytes, ChunkSpec, Codec
from streamzarr.zarr.codecs.chain import CodecChain, codec_chain
from streamzarr.zarr.codecs.compressors import BloscCodec, GzipCodec, ZstdCodec
from streamzarr.zarr.codecs.crc32c import Crc32cCodec
from streamzarr.zarr.codecs.raw import BytesCodec
from streamzarr.zarr.codecs.registry import names, register
from streamzarr.zarr.codecs.sharding import ShardingCodec
from streamzarr.zarr.codecs.transpose import TransposeCodec
from streamzarr.zarr.codecs.vlen import VlenBytesCodec, VlenUtf8Codec

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
    "Crc32cCodec",
    "GzipCodec",
    "ShardingCodec",
    "TransposeCodec",
    "VlenBytesCodec",
    "VlenUtf8Codec",
    "ZstdCodec",
    "codec_chain",
    "names",
    "register",
]
