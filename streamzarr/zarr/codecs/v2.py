# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""The codecs of Zarr v2: numcodecs configurations, as filters and compressor, around the array's bytes.

Specification: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html, "compressor" and "filters".
A v2 array becomes an ordinary :class:`~streamzarr.zarr.codecs.chain.CodecChain`: order "F" is a transpose,
the filters are one array to bytes step, the compressor is one bytes to bytes step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.errors import CodecError, MetadataError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs import blosc_buffers, bounded
from streamzarr.zarr.codecs.base import (
    ArrayBytes,
    Bound,
    BytesBytes,
    ChunkSpec,
    Codec,
    NDArray,
    as_buffer,
    check_count,
    worst_compression,
)
from streamzarr.zarr.codecs.compressors import without_threads
from streamzarr.zarr.codecs.foreign import COMPRESSORS, SERIALIZERS, check_config, compressor, decompressor
from streamzarr.zarr.codecs.library import numcodecs
from streamzarr.zarr.codecs.objects import check_json, check_text, decode_json
from streamzarr.zarr.codecs.raw import BytesCodec, machine_endian
from streamzarr.zarr.codecs.snappy import Snappy
from streamzarr.zarr.codecs.transpose import TransposeCodec
from streamzarr.zarr.codecs.vlen import decode_vlen

_WIDEST = 16
"""Bytes of the largest number that a filter makes."""
_REFUSED = {"pickle": "could run code from data", "msgpack2": "takes the memory that the data asks for"}
"""Codecs that are never built from metadata, and why."""


def numcodecs_codec(config: dict[str, Any], where: str) -> Any:
    """Return the codec, in the form of ``numcodecs.abc.Codec``, that `config` names by its ``id``.

    Raises
    ------
    streamzarr.errors.MetadataError
        Unknown or refused id, or a configuration that the codec does not accept.
    """
    if not isinstance(config, dict) or not isinstance(config.get("id"), str):
        raise MetadataError(f"{where}: expected an object with an id, got {config!r}")
    if config["id"] in _REFUSED:
        raise MetadataError(f"{where}: codec {config['id']!r} {_REFUSED[config['id']]} and is refused")
    try:
        check_config(config)
        if config["id"] == "json2":
            check_json(config)
        if config["id"] == Snappy.codec_id:  # which numcodecs lacks
            return Snappy.from_config({key: value for key, value in config.items() if key != "id"})
        return numcodecs().get_codec(without_threads(config) if config["id"] == "blosc" else dict(config))
    except (ValueError, TypeError, LookupError, ImportError) as error:
        raise MetadataError(f"{where}: codec {config!r}: {error}") from error


@dataclass(frozen=True, slots=True)
class V2Compressor(BytesBytes):
    """A numcodecs codec from bytes to bytes."""

    name: ClassVar[str] = "numcodecs compressor"
    config: dict[str, Any]
    typesize: int | None = None
    """Bytes of one element, for Blosc, where the data does not come with its type (trap T28)."""
    _codec: Any = field(init=False, repr=False, compare=False)
    _decode: bounded.Decompress = field(init=False, repr=False, compare=False)
    _encode: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        config = self.config
        identity = str(config.get("id"))
        if identity == "blosc" and self.typesize and not config.get("typesize"):
            config = config | {"typesize": self.typesize}
        codec = numcodecs_codec(config, "compressor")
        object.__setattr__(self, "_codec", codec)
        object.__setattr__(self, "_decode", decompressor(identity, codec))
        object.__setattr__(self, "_encode", compressor(identity, codec))

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        return cls(configuration)

    def configuration(self) -> dict[str, Any]:
        return self.config

    @property
    def is_light(self) -> bool:
        return self.config["id"] == "blosc" and self._codec.cname in blosc_buffers.LIGHT

    def encoded_bound(self, bound: Bound) -> Bound:
        return worst_compression(bound)

    def encode(self, data: BytesLike) -> BytesLike:
        try:
            return _as_bytes(self._encode(data))
        except bounded.FAILURES as error:
            raise CodecError(f"compressor {self.config['id']}: {error}") from error

    def decode(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        return self._decode(data, bound, out)


@dataclass(frozen=True, slots=True)
class V2Filters(ArrayBytes):
    """The filters of a v2 array, first to last, if any, and the array's own bytes."""

    name: ClassVar[str] = "numcodecs filters"
    configs: tuple[dict[str, Any], ...]
    limits: Limits = DEFAULT_LIMITS
    _filters: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_count(self.configs, "filters")
        filters = (numcodecs_codec(config, f"filters[{n}]") for n, config in enumerate(self.configs))
        object.__setattr__(self, "_filters", tuple(filters))

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        return cls(tuple(configuration["filters"]))

    def configuration(self) -> dict[str, Any]:
        return {"filters": list(self.configs)}

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        return replace(self, limits=limits)

    def encoded_size(self, spec: ChunkSpec) -> int | None:
        return None if self.configs else spec.nbytes

    def encode(self, array: NDArray, spec: ChunkSpec) -> BytesLike:
        # numcodecs knows strings and bytes of any length as objects, in writable arrays; it takes elements in
        # the order of memory, which order="C" makes that of the (transposed) array.
        variable = spec.nbytes is None
        data: Any = array.astype(object, order="C") if variable else np.ascontiguousarray(array, spec.dtype)
        for config, codec in zip(self.configs, self._filters, strict=True):
            try:
                data = codec.encode(data)
                if config["id"] == "json2":
                    check_text(data, self.limits)
            except bounded.FAILURES as error:
                raise CodecError(
                    f"filter {config['id']}: cannot encode {spec.dtype} values: {error}"
                ) from error
        # The buffer keeps the type that the last filter gave it, since Blosc compresses by element size.
        typed = isinstance(data, np.ndarray) and data.dtype.kind in "biufc"
        return memoryview(data) if typed else _as_bytes(data)

    def decode(self, data: BytesLike, spec: ChunkSpec) -> NDArray:
        value: Any = data
        for position in range(len(self.configs) - 1, -1, -1):
            config = self.configs[position]
            try:
                value = self._decoded(position, value, spec)
            except bounded.FAILURES as error:
                raise CodecError(f"filter {config['id']}: {error}; got {len(data)} encoded bytes") from error
        if spec.nbytes is None:
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "OU" or value.size != spec.size:
                raise CodecError(f"filters decoded to no array of {spec.size} objects")
            return value.reshape(spec.shape).astype(spec.dtype)
        flat = _as_bytes(value)
        if len(flat) != spec.nbytes:
            raise CodecError(f"filters decoded to {len(flat)} bytes, expected {spec.nbytes}")
        return np.frombuffer(flat, spec.dtype, spec.size).reshape(spec.shape)

    def _decoded(self, position: int, value: Any, spec: ChunkSpec) -> Any:
        config, codec = self.configs[position], self._filters[position]
        identity = config["id"]
        if identity in ("vlen-utf8", "vlen-bytes", "vlen-array"):
            return decode_vlen(identity, _as_bytes(value), spec.size, codec)
        if identity in SERIALIZERS or identity == "json2":
            before = replace(spec, dtype=self._dtype_before(position, spec))
            if identity == "json2":
                return decode_json(config, _as_bytes(value), before, self.limits)
            return SERIALIZERS[identity](_as_bytes(value), before)
        if identity in COMPRESSORS:
            return decompressor(identity, codec)(_as_bytes(value), self._room(position, spec))
        return codec.decode(value)

    def _room(self, position: int, spec: ChunkSpec) -> Bound:
        """Return how much a compressor that stands among the filters may have been given."""
        most = self.limits.max_chunk_bytes
        if spec.nbytes is not None:
            most = min(spec.size * max(spec.dtype.itemsize, _WIDEST), most)
        bound = Bound(most, exact=False)
        for _ in range(position):
            bound = worst_compression(bound)
        return bound

    def _dtype_before(self, position: int, spec: ChunkSpec) -> np.dtype[Any]:
        """Return the type that the filter at `position` is given."""
        probe: NDArray = np.zeros(8, spec.dtype)
        for codec in self._filters[:position]:
            probe = np.asarray(codec.encode(probe))
        return probe.dtype


def v2_codecs(
    spec: ChunkSpec, order: str, filters: tuple[dict[str, Any], ...], compressor: dict[str, Any] | None
) -> list[Codec]:
    """Return the codecs of a v2 array in the order of encoding."""
    codecs: list[Codec] = []
    # json2 writes nested lists, in which order has no meaning; zarr-python 2 reads such arrays scrambled.
    nested = bool(filters) and filters[0]["id"] == "json2"
    if order == "F" and len(spec.shape) > 1 and not nested:
        codecs.append(TransposeCodec(tuple(reversed(range(len(spec.shape))))))
    if compressor is not None and compressor.get("id") in SERIALIZERS:  # they take numbers, as filters do
        filters, compressor = (*filters, compressor), None
    if filters or _mixes_byte_orders(spec.dtype):
        codecs.append(V2Filters(filters))
    else:
        codecs.append(BytesCodec(machine_endian(spec.dtype)))
    if compressor is not None:
        codecs.append(V2Compressor(compressor, None if filters else spec.dtype.itemsize))
    return codecs


def _mixes_byte_orders(dtype: np.dtype[Any]) -> bool:
    """Tell whether `dtype` is a record whose fields a ``bytes`` codec, of one order, would change (T11)."""
    return dtype.names is not None and dtype != dtype.newbyteorder("<")


def _as_bytes(value: Any) -> BytesLike:
    if isinstance(value, bytes | bytearray | memoryview):
        return value
    return as_buffer(np.ascontiguousarray(value))
