"""Zarr v2 metadata: ``.zarray``, ``.zgroup``, ``.zattrs`` and the ``.zmetadata`` that gathers them.

Source: Zarr v2 specification, https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html. Key order is
zarr-python's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from streamzarr.errors import LimitExceededError, MetadataError, StreamzarrError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.zarr.codecs.base import ChunkSpec
from streamzarr.zarr.codecs.chain import CodecChain, codec_chain
from streamzarr.zarr.codecs.v2 import v2_codecs
from streamzarr.zarr.dtypes import DataType, data_type_from_v2
from streamzarr.zarr.grids.grid import Grid, RegularChunks
from streamzarr.zarr.grids.keys import Separator, V2Keys
from streamzarr.zarr.metadata.checks import check_attributes, check_lengths, check_rank

ZARRAY, ZGROUP, ZATTRS, ZMETADATA = ".zarray", ".zgroup", ".zattrs", ".zmetadata"


@dataclass(frozen=True, slots=True)
class ArrayMetadataV2:
    """Everything ``.zarray`` and ``.zattrs`` say about an array."""

    zarr_format: ClassVar[int] = 2
    dimension_names: ClassVar[None] = None
    inner_chunks: ClassVar[None] = None
    serializer: ClassVar[None] = None

    shape: tuple[int, ...]
    data_type: DataType
    chunk_grid: RegularChunks
    fill_value: Any
    """None when undefined: absent chunks then read as zeros, and null is written again (trap T4)."""
    order: Literal["C", "F"] = "C"
    filters: tuple[dict[str, Any], ...] = ()
    compressor: dict[str, Any] | None = None
    dimension_separator: Separator = "."
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in memory, byte order as stored."""
        return self.data_type.dtype

    @property
    def fill(self) -> Any:
        """What absent chunks read as: zero, or NaT for times, where it is undefined."""
        return self.data_type.default_fill() if self.fill_value is None else self.fill_value

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the chunks."""
        return self.chunk_grid.chunk_shape

    @property
    def shards(self) -> None:
        """Zarr v2 has no shards."""
        return

    @property
    def compressors(self) -> tuple[dict[str, Any], ...]:
        """The numcodecs configuration of the compressor, if there is one."""
        return () if self.compressor is None else (self.compressor,)

    @property
    def grid(self) -> Grid:
        """The write units of the array."""
        return self.chunk_grid.grid(self.shape)

    @property
    def chunk_keys(self) -> V2Keys:
        """How chunks are named."""
        return V2Keys(self.dimension_separator)

    def chain(
        self, limits: Limits = DEFAULT_LIMITS, chunk_shape: tuple[int, ...] | None = None
    ) -> CodecChain:
        """Return the codecs, bound to a chunk; all chunks of Zarr v2 have one shape."""
        return self._chain("codecs", limits)

    def _chain(self, where: str, limits: Limits) -> CodecChain:
        spec = ChunkSpec(self.chunk_grid.chunk_shape, self.dtype, self.fill)
        try:
            codecs = v2_codecs(spec, self.order, self.filters, self.compressor)
        except MetadataError as error:
            raise MetadataError(f"{where}: {error}") from error
        return codec_chain(codecs, spec, where=where, limits=limits)

    def with_shape(self, shape: tuple[int, ...]) -> Self:
        """Return this metadata for an array of another `shape` of the same rank."""
        return replace(self, shape=shape)

    def with_attributes(self, attributes: dict[str, Any]) -> Self:
        """Return this metadata with other attributes."""
        return replace(self, attributes=attributes)

    def to_json(self) -> dict[str, Any]:
        """Return the ``.zarray`` document to write."""
        fill = None if self.fill_value is None else self.data_type.fill_to_json(self.fill_value, 2)
        return {
            "shape": list(self.shape),
            "chunks": list(self.chunk_grid.chunk_shape),
            "dtype": self.data_type.to_v2(),
            "fill_value": fill,
            "order": self.order,
            "filters": list(self.filters) or None,
            "dimension_separator": self.dimension_separator,
            "compressor": self.compressor,
            "zarr_format": 2,
        }

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return every document of the array by its name below the array's path."""
        return {ZARRAY: self.to_json(), ZATTRS: self.attributes}

    @classmethod
    def from_json(
        cls,
        document: dict[str, Any],
        where: str,
        limits: Limits = DEFAULT_LIMITS,
        attributes: dict[str, Any] | None = None,
    ) -> Self:
        """Read a ``.zarray`` document, and the attributes that belong to it; `where` names it in errors.

        Raises
        ------
        streamzarr.errors.MetadataError
            Not valid, or asks for what is not supported.
        streamzarr.errors.LimitExceededError
            Rank or chunk size above `limits`.
        """
        check_format(document, where)
        shape = check_lengths(document, "shape", where, least=0)
        chunks = check_lengths(document, "chunks", where, least=0)
        check_rank(shape, chunks, where, limits)
        filters = document.get("filters") or []
        order: Any = "C" if document.get("order") is None else document["order"]
        separator: Any = (
            "." if document.get("dimension_separator") is None else document["dimension_separator"]
        )
        if not isinstance(filters, list) or not all(isinstance(each, dict) for each in filters):
            raise MetadataError(f"{where}: filters: expected a list of objects, got {filters!r}")
        if order not in ("C", "F"):
            raise MetadataError(f"{where}: order: expected 'C' or 'F', got {order!r}")
        if separator not in (".", "/"):
            raise MetadataError(f"{where}: dimension_separator: expected '.' or '/', got {separator!r}")
        compressor = document.get("compressor")
        if compressor is not None and not isinstance(compressor, dict):
            raise MetadataError(f"{where}: compressor: expected an object or null, got {compressor!r}")
        data_type = data_type_from_v2(document.get("dtype"), filters, where)
        fill = document.get("fill_value")
        try:
            fill_value = None if fill is None else data_type.fill_from_json(fill, 2)
        except (ValueError, TypeError, OverflowError) as error:
            raise MetadataError(f"{where}: fill_value for {data_type.to_v2()!r}: {error}") from error
        metadata = cls(
            shape,
            data_type,
            RegularChunks(chunks),
            fill_value,
            order,
            tuple(filters),
            compressor,
            separator,
            check_attributes(attributes, where),
        )
        metadata._chain(where, limits)
        return metadata


@dataclass(frozen=True, slots=True)
class GroupMetadataV2:
    """Everything ``.zgroup``, ``.zattrs`` and ``.zmetadata`` say about a group."""

    zarr_format: ClassVar[int] = 2

    attributes: dict[str, Any] = field(default_factory=dict)
    consolidated: dict[str, Any] | None = None
    """The documents in ``.zmetadata`` by key relative to this group; None when there is none (trap T21)."""
    consolidated_error: str | None = None
    """Why the group's ``.zmetadata`` cannot be read."""

    def with_attributes(self, attributes: dict[str, Any]) -> Self:
        """Return this metadata with other attributes, in ``.zmetadata`` as well where they are there."""
        consolidated = self.consolidated
        if consolidated is not None and ZATTRS in consolidated:
            consolidated = consolidated | {ZATTRS: attributes}
        return replace(self, attributes=attributes, consolidated=consolidated)

    def with_consolidated(self, documents: dict[str, Any]) -> Self:
        """Return this metadata with other consolidated metadata."""
        return replace(self, consolidated=documents, consolidated_error=None)

    def to_json(self) -> dict[str, Any]:
        """Return the ``.zgroup`` document to write."""
        return {"zarr_format": 2}

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return every document of the group by its name below the group's path."""
        documents = {ZGROUP: self.to_json(), ZATTRS: self.attributes}
        if self.consolidated is not None:
            documents[ZMETADATA] = {"zarr_consolidated_format": 1, "metadata": self.consolidated}
        return documents

    @classmethod
    def from_json(
        cls,
        document: dict[str, Any],
        where: str,
        attributes: dict[str, Any] | None = None,
        consolidated: dict[str, Any] | StreamzarrError | None = None,
    ) -> Self:
        """Read a ``.zgroup`` document, and the attributes and ``.zmetadata`` that belong to it.

        In place of ``.zmetadata`` may be the error that came of reading it.
        """
        check_format(document, where)
        read = check_attributes(attributes, where)
        try:
            if isinstance(consolidated, StreamzarrError):
                raise consolidated
            return cls(read, _consolidated(consolidated, where))
        except (MetadataError, LimitExceededError) as error:
            return cls(read, None, str(error))


def check_format(document: dict[str, Any], where: str) -> None:
    """Raise unless `document` says that it is Zarr v2."""
    if document.get("zarr_format") != 2:
        raise MetadataError(f"{where}: expected zarr_format 2, got {document.get('zarr_format')!r}")


def _consolidated(document: dict[str, Any] | None, where: str) -> dict[str, Any] | None:
    if document is None:
        return None
    version, metadata = document.get("zarr_consolidated_format"), document.get("metadata")
    if version != 1 or not isinstance(metadata, dict):
        raise MetadataError(
            f"{where}: {ZMETADATA}: expected zarr_consolidated_format 1 and metadata, got {version!r}"
        )
    return metadata
