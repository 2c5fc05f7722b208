"""What an array says of itself: everything that is known without reading a chunk."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streamzarr.stores import Store
from streamzarr.zarr.grids.grid import Grid, regular_grid
from streamzarr.zarr.metadata import ArrayMetadata
from streamzarr.zarr.nodes.node import Node


class ArrayDescription(Node):
    """The base of :class:`~streamzarr.zarr.array.Array`: where an array is, and what its metadata says."""

    def __init__(self, store: Store, path: str, metadata: ArrayMetadata) -> None:
        super().__init__(store, path)
        self._describe(metadata)

    def _describe(self, metadata: ArrayMetadata) -> None:
        self._metadata = metadata
        self._grid = metadata.grid

    @property
    def metadata(self) -> ArrayMetadata:
        """The metadata as last read or written; immutable."""
        return self._metadata

    @property
    def zarr_format(self) -> int:
        """2 or 3."""
        return self._metadata.zarr_format

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis; assign through :meth:`resize`."""
        return self._metadata.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of what reading returns."""
        return self._metadata.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of one element in memory."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements in memory."""
        return self.size * self.itemsize

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the chunks, inside the shards where there are any.

        Raises
        ------
        streamzarr.errors.UnsupportedError
            The chunks of a rectilinear grid have no one shape; see :attr:`read_chunk_sizes`.
        """
        return self._metadata.chunks

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shape of the shards; None without sharding. Raises as :attr:`chunks` does."""
        return self._metadata.shards

    @property
    def fill_value(self) -> Any:
        """What was never written reads as; None where a v2 array leaves it undefined."""
        return self._metadata.fill_value

    @property
    def order(self) -> str:
        """Memory layout of stored chunks: C or F."""
        return self._metadata.order

    @property
    def dimension_names(self) -> tuple[str | None, ...] | None:
        """A name for each axis, where given."""
        return self._metadata.dimension_names

    @property
    def compressors(self) -> tuple[Any, ...]:
        """What compresses chunks: v3 codecs, or the numcodecs configuration of v2."""
        return self._metadata.compressors

    @property
    def serializer(self) -> Any:
        """The v3 codec between array and bytes, of chunks within shards where there are any; None in v2."""
        return self._metadata.serializer

    @property
    def filters(self) -> tuple[Any, ...]:
        """What transforms chunks before compression: v3 codecs, or the numcodecs configurations of v2."""
        return self._metadata.filters

    @property
    def grid(self) -> Grid:
        """The units that are written at once, one key each: chunks, or shards where there are any."""
        return self._grid

    @property
    def cdata_shape(self) -> tuple[int, ...]:
        """Chunks along each axis, within shards where there are any."""
        inner = self._metadata.inner_chunks
        if inner is None:
            return self._grid.shape
        # Shards are whole numbers of chunks, so these lie regularly whatever the shards' lengths are.
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, inner, strict=True))

    @property
    def nchunks(self) -> int:
        """Number of chunks, those within shards counted one by one; ``grid.size`` counts the shards."""
        return math.prod(self.cdata_shape)

    @property
    def read_chunk_sizes(self) -> tuple[tuple[int, ...], ...]:
        """For each axis the lengths of its chunks, within shards where there are any, cut at the array's end.

        >>> import streamzarr.zarr as zarr
        >>> zarr.create_array("memory://", shape=(10,), dtype="i2", chunks=(2,), shards=(4,)).read_chunk_sizes
        ((2, 2, 2, 2, 2),)
        """
        inner = self._metadata.inner_chunks
        return (self._grid if inner is None else regular_grid(self.shape, inner)).lengths

    @property
    def write_chunk_sizes(self) -> tuple[tuple[int, ...], ...]:
        """For each axis the lengths of what is written at once: of shards, or of chunks where there are none.

        >>> import streamzarr.zarr as zarr
        >>> zarr.create_array("memory://", shape=(9,), dtype="i2", chunks=[[3, 4, 2]]).write_chunk_sizes
        ((3, 4, 2),)
        """
        return self._grid.lengths
