"""From the arguments of ``create_array`` to metadata: defaults, and the many ways to name a codec. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from streamzarr.errors import ConfigError, MetadataError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.zarr.codecs.base import ArrayArray, BytesBytes, ChunkSpec, Codec
from streamzarr.zarr.codecs.chain import codec_chain
from streamzarr.zarr.codecs.compressors import ZstdCodec
from streamzarr.zarr.codecs.raw import BytesCodec
from streamzarr.zarr.codecs.registry import lookup, parse_codec
from streamzarr.zarr.codecs.sharding import ShardingCodec
from streamzarr.zarr.codecs.v2 import numcodecs_codec
from streamzarr.zarr.dtypes import DataType, data_type, data_type_from_v2
from streamzarr.zarr.grids.grid import RegularChunks, guess_chunks, guess_inner_chunks, guess_shards
from streamzarr.zarr.grids.keys import ChunkKeys, DefaultKeys, V2Keys, parse_chunk_keys
from streamzarr.zarr.grids.rectilinear import RectilinearChunks
from streamzarr.zarr.metadata import ArrayMetadata, ArrayMetadataV2, ArrayMetadataV3
from streamzarr.zarr.metadata.checks import check_coverage, check_rank
from streamzarr.zarr.metadata.document import plain_attributes

CodecLike: TypeAlias = Any
"""A codec's name, a configuration, one of our codecs, or one of numcodecs' or zarr-python's."""
CodecsLike: TypeAlias = CodecLike | Sequence[CodecLike] | None
ShapeLike: TypeAlias = int | Sequence[int]
ChunksLike: TypeAlias = ShapeLike | Sequence[int | Sequence[Any]] | RegularChunks | RectilinearChunks
"""One length, a length for each axis, or lists of lengths for axes whose chunks differ; or a grid."""
ShardsLike: TypeAlias = ChunksLike | Mapping[str, Any] | Literal["auto"]
"""A shape as for chunks, or with it where the index is: ``{"shape": ..., "index_location": "start"}``."""


@dataclass(frozen=True, slots=True)
class ArrayConfig:
    """The arguments of :func:`streamzarr.zarr.create_array` that become metadata."""

    shape: ShapeLike
    dtype: Any
    chunks: ChunksLike | Literal["auto"] | None = "auto"
    shards: ShardsLike | None = None
    filters: CodecsLike = "auto"
    compressors: CodecsLike = "auto"
    serializer: CodecLike = "auto"
    fill_value: Any = None
    order: Literal["C", "F"] = "C"
    zarr_format: Literal[2, 3] = 3
    attributes: Mapping[str, Any] | None = None
    dimension_names: Iterable[str | None] | None = None
    chunk_key_encoding: ChunkKeys | Mapping[str, Any] | str | None = None

    def metadata(self, limits: Limits = DEFAULT_LIMITS) -> ArrayMetadata:
        """Return the metadata of the array that this describes.

        Raises
        ------
        streamzarr.errors.ConfigError
            An argument makes no sense, or not together with the others.
        streamzarr.errors.MetadataError
            The codecs do not form a chain, or Zarr has no such data type.
        streamzarr.errors.LimitExceededError
            Rank or chunk size above `limits`.
        """
        if self.zarr_format not in (2, 3):
            raise ConfigError(f"zarr_format: expected 2 or 3, got {self.zarr_format!r}")
        if self.order not in ("C", "F"):
            raise ConfigError(f"order: expected 'C' or 'F', got {self.order!r}")
        shape = _lengths(self.shape, "shape", least=0)
        data = self._data_type()
        chunks = self._chunk_grid(shape, data)
        check_rank(shape, chunks.chunk_shape, "create_array", limits)
        return (self._v2 if self.zarr_format == 2 else self._v3)(shape, data, chunks, limits)

    def _data_type(self) -> DataType:
        filters = [] if _is_auto(self.filters) else _listed(self.filters)
        if self.zarr_format == 2 and filters and self.dtype in (object, "O", "|O"):
            # Objects are known by their filter.
            return data_type_from_v2("|O", [numcodecs_config(filters[0], "filters")], "create_array")
        return data_type(self.dtype)

    def _chunk_grid(self, shape: tuple[int, ...], data: DataType) -> RegularChunks | RectilinearChunks:
        if self.chunks is None or isinstance(self.chunks, str):
            return RegularChunks(self._guess(shape, data.itemsize or 16))
        if isinstance(self.chunks, RegularChunks | RectilinearChunks):
            return self.chunks
        one = isinstance(self.chunks, int | np.integer)
        given: Any = (self.chunks,) * len(shape) if one else self.chunks
        if len(given) != len(shape):
            raise ConfigError(f"chunks: expected {len(shape)} lengths for shape {shape}, got {given!r}")
        whole = [
            max(n, 1) if c is None or (not _is_list(c) and c == -1) else c
            for c, n in zip(given, shape, strict=True)
        ]
        if not any(map(_is_list, whole)):
            return RegularChunks(_lengths(whole, "chunks", least=1))
        chunks = _rectilinear(whole, "chunks")
        for axis, length in enumerate(shape):
            # Of an empty axis these are the chunks that it grows into.
            if length and chunks.covered(axis) not in (length, math.inf):
                raise ConfigError(
                    f"chunks: axis {axis}: lengths add up to {chunks.covered(axis)}, expected {length}"
                )
        return chunks

    def _guess(self, shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
        """Choose the chunks, within the shards if there are any of one shape."""
        given = None if self.shards is None else _shards(self.shards)[0]
        if given is None or given == "auto":
            return guess_chunks(shape, itemsize)
        shards = self._shard_grid(shape, (1,) * len(shape), given)
        if isinstance(shards, RegularChunks):
            return guess_inner_chunks(shards.chunk_shape, itemsize)
        return guess_chunks(shape, itemsize)

    def _shard_grid(
        self, shape: tuple[int, ...], chunks: tuple[int, ...], given: Any
    ) -> RegularChunks | RectilinearChunks:
        if isinstance(given, str):
            if given != "auto":
                raise ConfigError(f"shards: expected a shape or 'auto', got {given!r}")
            given = guess_shards(shape, chunks)
        if isinstance(given, RegularChunks | RectilinearChunks):
            given = given.chunk_shape if isinstance(given, RegularChunks) else given.lists
        given = (given,) * len(shape) if isinstance(given, int | np.integer) else given
        if len(given) != len(chunks):
            raise ConfigError(f"shards: expected {len(chunks)} lengths for chunks {chunks}, got {given!r}")
        if not any(map(_is_list, given)):
            shards = _lengths(given, "shards", least=1)
            if any(s % c for s, c in zip(shards, chunks, strict=True)):
                raise ConfigError(f"shards: expected multiples of the chunk shape {chunks}, got {shards}")
            return RegularChunks(shards)
        return _rectilinear(given, "shards")

    def _fill(self, data: DataType) -> Any:
        if self.fill_value is None:
            return data.default_fill()
        try:
            return data.cast_fill(self.fill_value)
        except (ValueError, TypeError, OverflowError) as error:
            raise ConfigError(f"fill_value: {self.fill_value!r} is no {data.dtype}: {error}") from error

    def _v3(
        self,
        shape: tuple[int, ...],
        data: DataType,
        chunks: RegularChunks | RectilinearChunks,
        limits: Limits,
    ) -> ArrayMetadataV3:
        data = data.native()
        try:
            data.to_v3()
        except ValueError as error:
            raise MetadataError(f"create_array: {error}") from error
        fill = self._fill(data)
        codecs: list[Codec] = [
            *as_codecs(() if self.filters == "auto" else self.filters, ArrayArray, "filters"),
            as_codec(default_serializer(data) if self.serializer == "auto" else self.serializer),
            *as_codecs(
                ZstdCodec() if _is_auto(self.compressors) else self.compressors, BytesBytes, "compressors"
            ),
        ]
        unit = chunks
        if self.shards is not None:
            if isinstance(chunks, RectilinearChunks):
                raise ConfigError(
                    "shards: chunks inside of shards are regular; make the shards rectilinear: "
                    "chunks=(2, ...), shards=[[4, 6], ...]"
                )
            given, location = _shards(self.shards)
            unit = self._shard_grid(shape, chunks.chunk_shape, given)
            codecs = [ShardingCodec(chunks.chunk_shape, tuple(codecs), index_location=location)]
        chain = codec_chain(codecs, ChunkSpec(unit.chunk_shape, data.dtype, fill), limits=limits)
        check_coverage(shape, unit, chain.codecs, "create_array")
        return ArrayMetadataV3(
            shape,
            data,
            unit,
            as_chunk_keys(self.chunk_key_encoding, DefaultKeys()),
            fill,
            chain.codecs,
            plain_attributes(self.attributes, "create_array", limits),
            self._dimension_names(len(shape)),
        )

    def _dimension_names(self, rank: int) -> tuple[str | None, ...] | None:
        if self.dimension_names is None:
            return None
        names = tuple(self.dimension_names)
        if len(names) != rank or not all(name is None or isinstance(name, str) for name in names):
            raise ConfigError(f"dimension_names: expected {rank} names or None, got {names!r}")
        return names

    def _v2(
        self,
        shape: tuple[int, ...],
        data: DataType,
        chunks: RegularChunks | RectilinearChunks,
        limits: Limits,
    ) -> ArrayMetadataV2:
        if isinstance(chunks, RectilinearChunks):
            raise ConfigError("chunks: Zarr v2 has no rectilinear chunk grid; use zarr_format=3")
        for name in ("shards", "dimension_names"):
            if getattr(self, name) is not None:
                raise ConfigError(f"{name}: Zarr v2 has none; use zarr_format=3")
        if self.serializer not in ("auto", None):
            raise ConfigError("serializer: Zarr v2 has none; use filters")
        keys = as_chunk_keys(self.chunk_key_encoding, V2Keys())
        if not isinstance(keys, V2Keys):
            raise ConfigError(f"chunk_key_encoding: Zarr v2 has only 'v2', got {keys.to_json()!r}")
        filters = tuple(
            numcodecs_config(each, "filters")
            for each in _listed(default_filters(data) if _is_auto(self.filters) else self.filters)
        )
        compressors = [
            numcodecs_config(each, "compressors")
            for each in _listed(
                {"id": "zstd", "level": 0} if _is_auto(self.compressors) else self.compressors
            )
        ]
        if len(compressors) > 1:
            raise ConfigError(
                f"compressors: Zarr v2 takes one, got {len(compressors)}; use filters for the others"
            )
        fill = data.fill_from_json(data.fill_to_json(self._fill(data), 2), 2)  # where NaN has no payload
        metadata = ArrayMetadataV2(
            shape,
            data,
            chunks,
            fill,
            self.order,
            filters,
            compressors[0] if compressors else None,
            keys.separator,
            plain_attributes(self.attributes, "create_array", limits),
        )
        metadata.chain(limits)
        return metadata


def default_serializer(data: DataType) -> CodecLike:
    """Return the array to bytes codec of a v3 array that was given none."""
    if data.object_codec is not None:
        return data.object_codec
    return BytesCodec("little" if data.has_byte_order else None)


def default_filters(data: DataType) -> list[CodecLike]:
    """Return the filters of a v2 array that was given none."""
    return [] if data.object_codec is None else [{"id": data.object_codec}]


def as_codecs(given: CodecsLike, kind: Any, argument: str) -> list[Codec]:
    """Return `given` as a list of codecs of one kind."""
    codecs = [as_codec(each) for each in _listed(given)]
    for codec in codecs:
        if not isinstance(codec, kind):
            raise ConfigError(
                f"{argument}: {codec.name!r} does not belong there; see filters, serializer, compressors"
            )
    return codecs


def as_codec(given: CodecLike) -> Codec:
    """Return one v3 codec for a name, a v3 configuration, or a codec of ours, numcodecs or zarr-python.

    >>> as_codec("gzip")
    GzipCodec(level=5)
    >>> as_codec({"name": "zstd", "configuration": {"level": 7}})
    ZstdCodec(level=7, checksum=False)

    Raises
    ------
    streamzarr.errors.ConfigError
        It names no codec.
    """
    if isinstance(given, Codec):
        return given
    if isinstance(given, str):
        found = lookup(given)
        if found is None:
            return parse_codec(f"numcodecs.{given}" if lookup(f"numcodecs.{given}") else given, "codecs")
        return found.from_configuration({})
    if isinstance(given, Mapping):
        return _from_numcodecs(dict(given)) if "id" in given else parse_codec(dict(given), "codecs")
    if callable(getattr(given, "get_config", None)):
        return _from_numcodecs(given.get_config())
    if callable(getattr(given, "to_dict", None)):
        return _from_zarr_python(given)
    raise ConfigError(f"expected a codec's name, configuration or object, got {given!r}")


_V2_BLOSC_SHUFFLE = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle", -1: None}


def _from_numcodecs(config: dict[str, Any]) -> Codec:
    """Return the v3 codec for a numcodecs configuration."""
    rest = dict(config)
    name = rest.pop("id")
    if name == "blosc":
        rest["shuffle"] = _V2_BLOSC_SHUFFLE[rest.get("shuffle", 1)]
    if name in ("blosc", "gzip", "snappy", "zstd", "crc32c"):
        rest = {
            key: value
            for key, value in rest.items()
            if value is not None and (name, key) != ("crc32c", "location")
        }
        return parse_codec({"name": name, "configuration": rest}, "codecs")
    return parse_codec({"name": f"numcodecs.{name}", "configuration": rest}, "codecs")


def _from_zarr_python(codec: Any) -> Codec:
    document = codec.to_dict()
    configuration = dict(document.get("configuration", {}))
    # zarr-python marks what it may still take from the data type; its placeholder must not be taken for a
    # choice.
    for key in getattr(codec, "_tunable_attrs", ()):
        configuration.pop(key, None)
    return parse_codec({"name": document["name"], "configuration": configuration}, "codecs")


def numcodecs_config(given: CodecLike, argument: str) -> dict[str, Any]:
    """Return the configuration that v2 metadata holds, for a codec or its name or configuration.

    >>> numcodecs_config("gzip", "compressors")
    {'id': 'gzip', 'level': 1}
    """
    if isinstance(given, str):
        given = {"id": given}
    elif isinstance(given, Codec) or (
        not isinstance(given, Mapping) and not hasattr(given, "get_config") and hasattr(given, "to_dict")
    ):
        given = _to_numcodecs(as_codec(given), argument)
    if not isinstance(given, Mapping):
        if not callable(getattr(given, "get_config", None)):
            raise ConfigError(f"{argument}: expected a numcodecs codec or its name, got {given!r}")
        given = given.get_config()
    if "id" not in given and "name" in given:
        given = _to_numcodecs(parse_codec(dict(given), argument), argument)
    found = numcodecs_codec(dict(given), argument).get_config()
    config: dict[str, Any] = {
        key: list(each) if isinstance(each, tuple) else each for key, each in found.items()
    }
    # zarr-python leaves out what is at its default here, and so do we.
    if config["id"] == "zstd" and not config.get("checksum"):
        config.pop("checksum", None)
    if config["id"] == "blosc" and config.get("typesize") is None:
        config.pop("typesize", None)
    return config


def _to_numcodecs(codec: Codec, argument: str) -> dict[str, Any]:
    config = codec.configuration()
    if codec.name == "blosc":
        shuffles = {name: number for number, name in _V2_BLOSC_SHUFFLE.items()}
        return {"id": "blosc"} | config | {"shuffle": shuffles[config["shuffle"]]}
    if codec.name in ("zstd", "gzip", "snappy"):
        return {"id": codec.name} | config
    if codec.name.startswith("numcodecs."):
        return {"id": codec.name.removeprefix("numcodecs.")} | config
    raise ConfigError(f"{argument}: Zarr v2 has no codec {codec.name!r}")


def as_chunk_keys(given: ChunkKeys | Mapping[str, Any] | str | None, default: ChunkKeys) -> ChunkKeys:
    """Return a chunk key encoding for a name, a separator, a configuration or an encoding."""
    if given is None:
        return default
    if given in (".", "/"):
        return type(default)(given)  # type: ignore[call-arg]
    if isinstance(given, Mapping) and "separator" in given:  # zarr-python's short form
        given = {"name": given["name"], "configuration": {"separator": given["separator"]}}
    if callable(getattr(given, "to_dict", None)):  # zarr-python's objects
        given = given.to_dict()  # type: ignore[union-attr]
    if isinstance(given, str | Mapping):
        return parse_chunk_keys(dict(given) if isinstance(given, Mapping) else given, "chunk_key_encoding")
    return given


def _shards(given: ShardsLike) -> tuple[Any, Literal["start", "end"]]:
    """Split what was given for shards into their shape and where their index is."""
    if not isinstance(given, Mapping):
        return given, "end"
    location = given.get("index_location", "end")
    if given.keys() - {"shape", "index_location"} or "shape" not in given or location not in ("start", "end"):
        raise ConfigError(f"shards: expected a shape, and index_location 'start' or 'end', got {given!r}")
    return given["shape"], location


def _rectilinear(given: Sequence[Any], argument: str) -> RectilinearChunks:
    try:
        return RectilinearChunks.of(each.tolist() if isinstance(each, np.ndarray) else each for each in given)
    except ValueError as error:
        raise ConfigError(f"{argument}: {error}") from error


def _is_list(given: Any) -> bool:
    return isinstance(given, list | tuple | np.ndarray)


def _is_auto(given: Any) -> bool:
    return isinstance(given, str) and given == "auto"


def _listed(given: CodecsLike) -> list[CodecLike]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _lengths(given: ShapeLike, argument: str, *, least: int) -> tuple[int, ...]:
    items = (given,) if isinstance(given, int | np.integer) else tuple(given)
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int | np.integer) or not least <= item < 2**63:
            raise ConfigError(f"{argument}: expected integers of at least {least}, got {given!r}")
    return tuple(int(item) for item in items)
