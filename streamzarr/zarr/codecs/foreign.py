# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``numcodecs.*``: the codecs of numcodecs in v3 chains, under the names that zarr-python gives them.

Source: https://numcodecs.readthedocs.io/en/stable/zarr3.html
``{"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}``
Which kind of step each is, and how large its output can be, is all that is said here; the rest is numcodecs'.
``numcodecs.categorize`` is ours alone: zarr-python has no name for that filter in v3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.errors import ChecksumError, CodecError
from streamzarr.limits import Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs import bounded, snappy
from streamzarr.zarr.codecs.base import (
    ArrayArray,
    ArrayBytes,
    Bound,
    BytesBytes,
    ChunkSpec,
    Codec,
    NDArray,
    as_buffer,
    worst_compression,
)
from streamzarr.zarr.codecs.compressors import GzipCodec, without_threads
from streamzarr.zarr.codecs.library import numcodecs
from streamzarr.zarr.codecs.pcodec import decode_pcodec
from streamzarr.zarr.codecs.zfp import check_rate, decode_headed

PREFIX = "numcodecs."
_FILTERS = ("astype", "bitround", "categorize", "delta", "fixedscaleoffset", "packbits", "quantize")
SERIALIZERS: dict[str, Callable[[BytesLike, ChunkSpec], NDArray]] = {
    "pcodec": decode_pcodec,
    "zfpy": decode_headed,
}
"""Compressors of numbers, which know of what type these are and how many; with what decodes theirs."""
_CHECKSUMS = ("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3")
COMPRESSORS = ("blosc", "bz2", "gzip", "lz4", "lzma", "shuffle", "zlib", "zstd")

_NEEDS = {"pcodec": "pcodec", "zfpy": "zfpy"}

_TAKEN_FROM_DTYPE = {
    "categorize": "dtype",
    "delta": "dtype",
    "fixedscaleoffset": "dtype",
    "quantize": "dtype",
    "astype": "decode_dtype",
}
"""The parameter that a filter takes from the array when it is not given."""

_DTYPES = ("dtype", "astype", "encode_dtype", "decode_dtype")
_WIDEST = 1024
"""Bytes of the largest element that a filter may be told to make."""

_BOUNDED: dict[str, bounded.Decompress] = {
    "zstd": bounded.zstd,
    "blosc": bounded.blosc,
    "gzip": bounded.gzip,
    "zlib": bounded.zlib_,
    "bz2": bounded.bzip2,
    "lz4": bounded.lz4,
    "snappy": snappy.decompress,
}


def check_config(config: dict[str, Any]) -> None:
    """Check that a codec of numcodecs is not told to take memory at will; ``ValueError`` when it is."""
    for key in _DTYPES:
        if config.get(key) is not None and np.dtype(config[key]).itemsize > _WIDEST:
            raise ValueError(f"{key}: expected elements of at most {_WIDEST} bytes, got {config[key]!r}")
    check_rate(config.get("rate") or 0)
    for step in config.get("filters") or ():
        if isinstance(step, dict) and (step.get("dict_size") or 0) > bounded.LZMA_MEMORY:
            raise ValueError(f"dict_size: expected at most {bounded.LZMA_MEMORY} bytes, got {step!r}")


def decompressor(identity: str, codec: Any) -> bounded.Decompress:
    """Return the function that decodes what `codec`, known to numcodecs as `identity`, has encoded."""
    if identity == "lzma":
        return bounded.xz(codec)
    return _BOUNDED.get(identity) or partial(_unbounded, codec, identity)


def compressor(identity: str, codec: Any) -> Callable[[Any], Any]:
    """Return the function that encodes as `codec`, known to numcodecs as `identity`, does.

    numcodecs' gzip writes the time of day; ours gives equal bytes for equal chunks.
    """
    encode: Callable[[Any], Any] = codec.encode
    return GzipCodec(codec.level).encode if identity == "gzip" else encode


def _unbounded(
    codec: Any, name: str, data: BytesLike, bound: Bound, out: memoryview | None = None
) -> BytesLike:
    return bounded.decode_unbounded(codec, name, data, bound)


@dataclass(frozen=True, slots=True)
class _Numcodec(Codec):
    identity: ClassVar[str]

    config: dict[str, Any]
    _codec: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_config(self.config)
        missing = _TAKEN_FROM_DTYPE.get(self.identity)
        if missing is None or missing in self.config:
            object.__setattr__(self, "_codec", numcodecs().get_codec({"id": self.identity} | self.config))

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        try:
            blosc = cls.identity == "blosc"
            return cls(without_threads(configuration) if blosc else dict(configuration))
        except (KeyError, ImportError) as error:
            raise ValueError(f"numcodecs has no codec {cls.identity!r} here: {error}") from error

    def configuration(self) -> dict[str, Any]:
        config: dict[str, Any] = self._codec.get_config()
        return {key: value for key, value in config.items() if key != "id"}

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "configuration": self.configuration()}  # zarr-python insists on the key

    def __reduce__(self) -> tuple[Callable[..., Codec], tuple[Any, ...]]:
        return _restore, (self.identity, self.config)


@dataclass(frozen=True, slots=True)
class NumcodecsFilter(_Numcodec, ArrayArray):
    """A filter from array to array."""

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        parameter = _TAKEN_FROM_DTYPE.get(self.identity)
        if parameter is None:
            return self
        dtype = np.dtype(object) if spec.dtype.kind == "T" else spec.dtype
        if parameter not in self.config:
            return replace(self, config=self.config | {parameter: dtype.str})
        if np.dtype(self.config[parameter]) != dtype:  # numcodecs would take the bytes for other numbers
            raise ValueError(f"{parameter} is {self.config[parameter]!r}, but the values are {dtype.str!r}")
        return self

    def encoded_spec(self, spec: ChunkSpec) -> ChunkSpec:
        probe = self.encode(np.zeros(8, spec.dtype))
        shape = (1 + -(-spec.size // 8),) if self.identity == "packbits" else spec.shape
        return ChunkSpec(shape, probe.dtype, np.zeros((), probe.dtype)[()])

    def encode(self, array: NDArray) -> NDArray:
        if array.dtype.kind == "T":  # numcodecs knows strings of any length as objects
            array = array.astype(object)
        try:
            encoded = np.asarray(self._codec.encode(np.ascontiguousarray(array)))
        except bounded.FAILURES as error:
            raise CodecError(f"{self.name}: cannot encode {array.dtype} values: {error}") from error
        return encoded.reshape(array.shape) if encoded.size == array.size else encoded

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        try:
            decoded: NDArray = np.asarray(self._codec.decode(np.ascontiguousarray(array)))
        except bounded.FAILURES as error:
            raise CodecError(f"{self.name}: {error}") from error
        if spec.dtype.kind == "T" and decoded.size == spec.size:
            return decoded.reshape(spec.shape).astype(spec.dtype)
        if decoded.size != spec.size or decoded.dtype.itemsize != spec.dtype.itemsize:
            raise CodecError(
                f"{self.name}: decoded to {decoded.size} {decoded.dtype} values, "
                f"expected {spec.size} of {spec.dtype}"
            )
        return decoded.reshape(spec.shape).view(spec.dtype)


@dataclass(frozen=True, slots=True)
class NumcodecsSerializer(_Numcodec, ArrayBytes):
    """A compressor of numbers, from array to bytes."""

    def encoded_size(self, spec: ChunkSpec) -> int | None:
        return None

    def encode(self, array: NDArray, spec: ChunkSpec) -> BytesLike:
        try:
            return bytes(self._codec.encode(np.ascontiguousarray(array))) if array.size else b""
        except bounded.FAILURES as error:
            raise CodecError(f"{self.name}: cannot encode {array.dtype} values: {error}") from error

    def decode(self, data: BytesLike, spec: ChunkSpec) -> NDArray:
        return SERIALIZERS[self.identity](data, spec)


@dataclass(frozen=True, slots=True)
class NumcodecsCompressor(_Numcodec, BytesBytes):
    """A compressor or checksum, from bytes to bytes."""

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        if self.identity != "shuffle" or "elementsize" in self.config or spec.nbytes is None:
            return self
        return replace(self, config=self.config | {"elementsize": spec.dtype.itemsize})

    def encoded_bound(self, bound: Bound) -> Bound:
        if self.identity in _CHECKSUMS:
            return Bound(bound.size + 4, bound.exact)
        return bound if self.identity == "shuffle" else worst_compression(bound)

    def encode(self, data: BytesLike) -> BytesLike:
        try:
            encoded: BytesLike | NDArray = compressor(self.identity, self._codec)(data)
        except bounded.FAILURES as error:
            raise CodecError(f"{self.name}: {error}") from error
        return as_buffer(encoded) if isinstance(encoded, np.ndarray) else encoded

    def decode(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        try:
            return decompressor(self.identity, self._codec)(data, bound, out)
        except CodecError as error:
            if self.identity in _CHECKSUMS and isinstance(error.__cause__, RuntimeError):
                raise ChecksumError(str(error)) from error
            raise


def foreign_codecs() -> dict[str, type[Codec]]:
    """Return a class for each codec of numcodecs by its v3 name.

    >>> foreign_codecs()["numcodecs.bz2"].from_configuration({"level": 2}).to_json()
    {'name': 'numcodecs.bz2', 'configuration': {'level': 2}}
    """
    return {f"{PREFIX}{identity}": codec for identity, codec in _OWN.items()}


def registered_compressor(identity: str, found: Any = None) -> type[Codec] | None:
    """Return a class for a codec that someone gave to numcodecs: the class `found`, or what its registry has.

    Such a codec is taken to work from bytes to bytes, as a v2 compressor does. None when there is none, or it
    is numcodecs' own: those not listed here code objects rather than numbers, ``pickle`` among them.
    """
    if found is None:
        found = numcodecs().registry.codec_registry.get(identity)
    if found is None or found.__module__.partition(".")[0] == "numcodecs":
        return None
    for method in ("encode", "decode", "get_config"):
        if not callable(getattr(found, method, None)):
            raise TypeError(f"expected a codec of numcodecs, got {found!r} without {method}")
    return _named(identity, NumcodecsCompressor)


@cache
def _named(identity: str, kind: type[_Numcodec]) -> type[_Numcodec]:
    members = {"name": f"{PREFIX}{identity}", "identity": identity, "needs": _NEEDS.get(identity, "")}
    doc = f"The codec ``{identity}`` of numcodecs."
    return type(f"{kind.__name__}_{identity}", (kind,), {**members, "__doc__": doc})


def _restore(identity: str, config: dict[str, Any]) -> Codec:
    """Make a codec again that was pickled; classes made here have no importable name."""
    known = _OWN.get(identity) or registered_compressor(identity)
    if known is None:
        raise CodecError(f"numcodecs has no codec {identity!r} here")
    return known.from_configuration(config)


_OWN: dict[str, type[Codec]] = {
    identity: _named(identity, kind)
    for identities, kind in (
        (_FILTERS, NumcodecsFilter),
        (tuple(SERIALIZERS), NumcodecsSerializer),
        (_CHECKSUMS + COMPRESSORS, NumcodecsCompressor),
    )
    for identity in identities
}
