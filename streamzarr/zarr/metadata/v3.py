"""Zarr v3 metadata: the ``zarr.json`` of arrays and groups.

Source: Zarr v3 core specification, "Array metadata" and "Group metadata", with the inline consolidated
metadata that zarr-python writes. Key order is zarr-python's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.errors import MetadataError, UnsupportedError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.zarr.codecs.base import ArrayArray, ArrayBytes, BytesBytes, ChunkSpec, Codec
from streamzarr.zarr.codecs.chain import CodecChain, codec_chain
from streamzarr.zarr.codecs.registry import lookup, parse_codecs
from streamzarr.zarr.codecs.sharding import ShardingCodec
from streamzarr.zarr.dtypes import DataType, data_type_from_v3
from streamzarr.zarr.dtypes.base import JSON, named
from streamzarr.zarr.grids.grid import Grid, RegularChunks
from streamzarr.zarr.grids.keys import ChunkKeys, parse_chunk_keys
from streamzarr.zarr.grids.rectilinear import RectilinearChunks
from streamzarr.zarr.metadata.checks import (
    check_attributes,
    check_coverage,
    check_lengths,
    check_lengths_of,
    check_rank,
)

ZARR_JSON = "zarr.json"

_CONSOLIDATED = "consolidated_metadata"
_NODE_KEYS = frozenset(["attributes", "zarr_format", "node_type"])
_GROUP_KEYS = _NODE_KEYS | {"consolidated_metadata"}
_ARRAY_KEYS = _NODE_KEYS | {"shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs"}
_ARRAY_KEYS |= {"dimension_names", "storage_transformers"}


@dataclass(frozen=True, slots=True)
class ArrayMetadataV3:
    """Everything a v3 ``zarr.json`` says about an array.

    Examples
    --------
    >>> import streamzarr.zarr as zarr
    >>> array = zarr.create_array("memory://", shape=(4,), dtype="i2", chunks=(2,))
    >>> array.metadata.to_json()["data_type"]
    'int16'
    """

    zarr_format: ClassVar[int] = 3
    order: ClassVar[str] = "C"

    shape: tuple[int, ...]
    data_type: DataType
    chunk_grid: RegularChunks | RectilinearChunks
    chunk_keys: ChunkKeys
    fill_value: Any
    codecs: tuple[Codec, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    dimension_names: tuple[str | None, ...] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Unknown keys that need not be understood; kept when the document is written again (trap T18)."""
    ignored_codecs: tuple[tuple[int, JSON], ...] = ()
    """Unknown codecs that need not be understood, each with its place in the list; kept like `extra`."""
    ignored_transformers: tuple[JSON, ...] = ()
    """Storage transformers that need not be understood; kept like `extra`."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in memory."""
        return self.data_type.dtype

    @property
    def fill(self) -> Any:
        """What absent chunks read as."""
        return self.fill_value

    @property
    def sharding(self) -> ShardingCodec | None:
        """The codec of shards whose chunks are read one by one; None without."""
        first = self.codecs[0]
        return first if isinstance(first, ShardingCodec) else None

    @property
    def inner_chunks(self) -> tuple[int, ...] | None:
        """Shape of the chunks inside of shards; None without sharding."""
        return self.sharding.chunk_shape if self.sharding else None

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the chunks, inside the shards where there are any.

        Raises
        ------
        streamzarr.errors.UnsupportedError
            The chunks of a rectilinear grid have no one shape.
        """
        return self.inner_chunks or self._one_shape("chunks")

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shape of the shards; None without sharding. Raises as :attr:`chunks`."""
        return self._one_shape("shards") if self.sharding else None

    def _one_shape(self, what: str) -> tuple[int, ...]:
        if isinstance(self.chunk_grid, RegularChunks):
            return self.chunk_grid.chunk_shape
        raise UnsupportedError(
            f"{what} of a rectilinear grid have no one shape, here {self.chunk_grid}; "
            "see grid, read_chunk_sizes and write_chunk_sizes of the array"
        )

    @property
    def _chunk_codecs(self) -> tuple[Codec, ...]:
        return self.sharding.codecs if self.sharding else self.codecs

    @property
    def filters(self) -> tuple[ArrayArray, ...]:
        """The array to array codecs."""
        return tuple(codec for codec in self._chunk_codecs if isinstance(codec, ArrayArray))

    @property
    def serializer(self) -> ArrayBytes:
        """The array to bytes codec."""
        return next(codec for codec in self._chunk_codecs if isinstance(codec, ArrayBytes))

    @property
    def compressors(self) -> tuple[BytesBytes, ...]:
        """The bytes to bytes codecs."""
        return tuple(codec for codec in self._chunk_codecs if isinstance(codec, BytesBytes))

    @property
    def grid(self) -> Grid:
        """The write units of the array."""
        return self.chunk_grid.grid(self.shape)

    def chain(
        self, limits: Limits = DEFAULT_LIMITS, chunk_shape: tuple[int, ...] | None = None
    ) -> CodecChain:
        """Return the codecs, bound to a chunk; of `chunk_shape` where the chunks of a grid differ."""
        spec = ChunkSpec(chunk_shape or self.chunk_grid.chunk_shape, self.dtype, self.fill_value)
        return codec_chain(self.codecs, spec, limits=limits)

    def with_shape(self, shape: tuple[int, ...]) -> Self:
        """Return this metadata for an array of another `shape` of the same rank."""
        return replace(self, shape=shape, chunk_grid=self.chunk_grid.resized(shape, self.inner_chunks))

    def with_attributes(self, attributes: dict[str, Any]) -> Self:
        """Return this metadata with other attributes."""
        return replace(self, attributes=attributes)

    def to_json(self) -> dict[str, Any]:
        """Return the document to write."""
        document: dict[str, Any] = {
            "shape": list(self.shape),
            "data_type": self.data_type.to_v3(),
            "chunk_grid": self.chunk_grid.to_json(),
            "chunk_key_encoding": self.chunk_keys.to_json(),
            "fill_value": self.data_type.fill_to_json(self.fill_value, 3),
            "codecs": [codec.to_json() for codec in self.codecs],
            "attributes": self.attributes,
        }
        for place, codec in self.ignored_codecs:
            document["codecs"].insert(place, codec)
        if self.dimension_names is not None:
            document["dimension_names"] = list(self.dimension_names)
        document |= {"zarr_format": 3, "node_type": "array"}
        return document | {"storage_transformers": list(self.ignored_transformers)} | self.extra

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return every document of the array by its name below the array's path."""
        return {ZARR_JSON: self.to_json()}

    @classmethod
    def from_json(cls, document: dict[str, Any], where: str, limits: Limits = DEFAULT_LIMITS) -> Self:
        """Read a document; `where` names it in errors.

        Raises
        ------
        streamzarr.errors.MetadataError
            Not valid, or asks for what is not supported.
        streamzarr.errors.LimitExceededError
            Rank or chunk size above `limits`.
        """
        extra = _extra_keys(document, _ARRAY_KEYS, where)
        transformers = _transformers(document.get("storage_transformers"), where)
        shape = check_lengths(document, "shape", where, least=0)
        chunk_grid = _chunk_grid(document.get("chunk_grid"), f"{where}: chunk_grid")
        check_rank(shape, chunk_grid.chunk_shape, where, limits)
        data_type = data_type_from_v3(document.get("data_type"), where)
        if document.get("fill_value") is None:
            raise MetadataError(f"{where}: fill_value is missing; Zarr v3 requires one")
        try:
            fill_value = data_type.fill_from_json(document["fill_value"], 3)
        except (ValueError, TypeError, OverflowError) as error:
            raise MetadataError(f"{where}: fill_value for {data_type.to_v3()!r}: {error}") from error
        understood, ignored = _split_codecs(document.get("codecs"))
        codecs = parse_codecs(understood, f"{where}: codecs")
        spec = ChunkSpec(chunk_grid.chunk_shape, data_type.dtype, fill_value)
        chain = codec_chain(codecs, spec, where=f"{where}: codecs", limits=limits)
        check_coverage(shape, chunk_grid, chain.codecs, where)
        return cls(
            shape,
            data_type,
            chunk_grid,
            parse_chunk_keys(document.get("chunk_key_encoding"), where),
            fill_value,
            chain.codecs,
            check_attributes(document.get("attributes"), where),
            _dimension_names(document.get("dimension_names"), len(shape), where),
            extra,
            ignored,
            transformers,
        )


@dataclass(frozen=True, slots=True)
class GroupMetadataV3:
    """Everything a v3 ``zarr.json`` says about a group."""

    zarr_format: ClassVar[int] = 3

    attributes: dict[str, Any] = field(default_factory=dict)
    consolidated: dict[str, JSON] | None = None
    """Documents of all nodes below, by path relative to this group; None when there are none inline."""
    extra: dict[str, Any] = field(default_factory=dict)
    consolidated_error: str | None = None
    """Why the group's consolidated metadata cannot be read; they are kept in `extra` then."""

    def with_attributes(self, attributes: dict[str, Any]) -> Self:
        """Return this metadata with other attributes."""
        return replace(self, attributes=attributes)

    def with_consolidated(self, documents: dict[str, JSON]) -> Self:
        """Return this metadata with other consolidated metadata."""
        extra = {key: value for key, value in self.extra.items() if key != _CONSOLIDATED}
        return replace(self, consolidated=documents, extra=extra, consolidated_error=None)

    def to_json(self) -> dict[str, Any]:
        """Return the document to write."""
        document: dict[str, Any] = {"attributes": self.attributes, "zarr_format": 3}
        if self.consolidated is not None:
            document["consolidated_metadata"] = {
                "kind": "inline",
                "must_understand": False,
                "metadata": self.consolidated,
            }
        return document | {"node_type": "group"} | self.extra

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return every document of the group by its name below the group's path."""
        return {ZARR_JSON: self.to_json()}

    @classmethod
    def from_json(cls, document: dict[str, Any], where: str, limits: Limits = DEFAULT_LIMITS) -> Self:
        """Read a document; see :meth:`ArrayMetadataV3.from_json`."""
        extra = _extra_keys(document, _GROUP_KEYS, where)
        attributes, value = check_attributes(document.get("attributes"), where), document.get(_CONSOLIDATED)
        try:
            return cls(attributes, _consolidated(value, where), extra)
        except MetadataError as error:
            return cls(attributes, None, extra | {_CONSOLIDATED: value}, str(error))


def parse_v3(
    document: dict[str, Any], where: str, limits: Limits = DEFAULT_LIMITS
) -> ArrayMetadataV3 | GroupMetadataV3:
    """Read the ``zarr.json`` of an array or a group."""
    if document.get("zarr_format") != 3 or isinstance(document["zarr_format"], bool):
        raise MetadataError(f"{where}: expected zarr_format 3, got {document.get('zarr_format')!r}")
    match document.get("node_type"):
        case "array":
            return ArrayMetadataV3.from_json(document, where, limits)
        case "group":
            return GroupMetadataV3.from_json(document, where, limits)
    raise MetadataError(f"{where}: expected node_type 'array' or 'group', got {document.get('node_type')!r}")


def _extra_keys(document: dict[str, Any], known: frozenset[str], where: str) -> dict[str, Any]:
    extra = {key: value for key, value in document.items() if key not in known}
    for key, value in extra.items():
        if not _may_be_ignored(value):
            raise MetadataError(f"{where}: unknown key {key!r}, and it does not say must_understand: false")
    return extra


def _may_be_ignored(extension: JSON) -> bool:
    """Tell whether an extension says that readers and writers that do not know it can do without.

    Specification, "must_understand". Data types, chunk grids and chunk key encodings cannot say so.
    """
    return isinstance(extension, dict) and extension.get("must_understand") is False


def _split_codecs(documents: JSON) -> tuple[JSON, tuple[tuple[int, JSON], ...]]:
    """Split a list of codecs into those to be understood, and those that are unknown and can be ignored."""
    if not isinstance(documents, list):
        return documents, ()
    ignored = tuple(
        (place, each)
        for place, each in enumerate(documents)
        if _may_be_ignored(each) and isinstance(each.get("name"), str) and lookup(each["name"]) is None
    )
    places = {place for place, _ in ignored}
    return [each for place, each in enumerate(documents) if place not in places], ignored


def _transformers(documents: JSON, where: str) -> tuple[JSON, ...]:
    """Return storage transformers; none is known, so all must be ones that can be ignored."""
    if not isinstance(documents, list | tuple | None) or not all(map(_may_be_ignored, documents or ())):
        raise MetadataError(f"{where}: storage_transformers are not supported, got {documents!r}")
    return tuple(documents or ())


def _chunk_grid(document: JSON, where: str) -> RegularChunks | RectilinearChunks:
    name, configuration = named(document) or (None, {})
    if name == "rectilinear":
        try:
            return RectilinearChunks.from_configuration(configuration)
        except ValueError as error:
            raise MetadataError(f"{where}: rectilinear: {error}") from error
    if name != "regular":
        raise MetadataError(f"{where}: expected a regular or rectilinear grid, got {document!r}")
    if configuration.keys() != {"chunk_shape"}:
        raise MetadataError(f"{where}: expected a chunk_shape and nothing else, got {configuration!r}")
    return RegularChunks(check_lengths_of(configuration["chunk_shape"], f"{where}: chunk_shape", least=0))


def _dimension_names(value: Any, rank: int, where: str) -> tuple[str | None, ...] | None:
    if value is None:
        return None
    if (
        not isinstance(value, list | tuple)
        or len(value) != rank
        or not all(name is None or isinstance(name, str) for name in value)
    ):
        raise MetadataError(f"{where}: dimension_names: expected {rank} names or nulls, got {value!r}")
    return tuple(value)


def _consolidated(value: Any, where: str) -> dict[str, JSON] | None:
    if value is None:
        return None
    if (
        not isinstance(value, dict)
        or value.get("kind") != "inline"
        or not isinstance(value.get("metadata"), dict)
    ):
        raise MetadataError(f"{where}: consolidated_metadata: expected kind 'inline' and metadata by path")
    nodes: dict[str, JSON] = value["metadata"]
    return nodes
