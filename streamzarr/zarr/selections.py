"""The methods of an array that select in one of Zarr's ways, each for reading and for writing."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamzarr.zarr import indexing
from streamzarr.zarr.accessors import Accessor
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.elements import Elements
from streamzarr.zarr.indexing import Points
from streamzarr.zarr.indexing.fields import Fields


class Selections(Elements):
    """A base of :class:`~streamzarr.zarr.array.Array`.

    Where `fields` of records are named, reading returns these, one as a plain array; writing reads the
    records, changes the fields and writes them back: no other thread may write the same records.
    `out` is an array of the result's shape and dtype to read into.
    """

    @property
    def oindex(self) -> Accessor:
        """Indexing along each axis on its own: lists and masks of several axes give their outer product."""
        return Accessor(self.dtype, self.get_orthogonal_selection, self.set_orthogonal_selection)

    @property
    def vindex(self) -> Accessor:
        """Indexing of single elements: integer arrays for all axes, or a mask of the array's shape."""
        return Accessor(self.dtype, self.get_coordinate_selection, self.set_coordinate_selection)

    @property
    def blocks(self) -> Accessor:
        """Indexing by units of :attr:`grid`: integers and slices count chunks."""
        return Accessor(self.dtype, self.get_block_selection, self.set_block_selection)

    # Reading

    def get_basic_selection(
        self, selection: Any = ..., *, out: NDArray | None = None, fields: Fields = None
    ) -> NDArray:
        """Return what integers, slices and an ellipsis select."""
        return self._get(indexing.parse_basic(selection, self.shape), out, fields)

    def get_orthogonal_selection(
        self, selection: Any, *, out: NDArray | None = None, fields: Fields = None
    ) -> NDArray:
        """Return the outer product of what is selected along each axis."""
        return self._get(indexing.parse_orthogonal(selection, self.shape), out, fields)

    def get_coordinate_selection(
        self, selection: Any, *, out: NDArray | None = None, fields: Fields = None
    ) -> NDArray:
        """Return single elements, given by their coordinates or by a mask."""
        return self._get(self._points(selection), out, fields)

    def get_mask_selection(self, mask: Any, *, out: NDArray | None = None, fields: Fields = None) -> NDArray:
        """Return the elements for which a mask of the array's shape is true, in C order."""
        return self._get(indexing.parse_mask(mask, self.shape), out, fields)

    def get_block_selection(
        self, selection: Any, *, out: NDArray | None = None, fields: Fields = None
    ) -> NDArray:
        """Return whole units of :attr:`grid`, cut at the array's end."""
        return self._get(indexing.parse_blocks(selection, self.grid), out, fields)

    def isel(self, **named: Any) -> NDArray:
        """Return what is selected by dimension name: integers, slices, lists and masks.

        Examples
        --------
        >>> import streamzarr.zarr as zarr
        >>> z = zarr.create_array("memory://", data=[[1, 2, 3], [4, 5, 6]], dimension_names=["y", "x"])
        >>> z.isel(x=slice(0, 2), y=1)
        array([4, 5])
        """
        return self.get_orthogonal_selection(indexing.name_axes(named, self.dimension_names))

    # Writing

    def set_basic_selection(self, selection: Any, value: Any, *, fields: Fields = None) -> None:
        """Write to what integers, slices and an ellipsis select."""
        self._put(indexing.parse_basic(selection, self.shape), value, fields)

    def set_orthogonal_selection(self, selection: Any, value: Any, *, fields: Fields = None) -> None:
        """Write to the outer product of what is selected along each axis."""
        self._put(indexing.parse_orthogonal(selection, self.shape), value, fields)

    def set_coordinate_selection(self, selection: Any, value: Any, *, fields: Fields = None) -> None:
        """Write single elements; where one is named twice, the last value counts."""
        self._put(self._points(selection), value, fields)

    def set_mask_selection(self, mask: Any, value: Any, *, fields: Fields = None) -> None:
        """Write the elements for which a mask of the array's shape is true, in C order."""
        self._put(indexing.parse_mask(mask, self.shape), value, fields)

    def set_block_selection(self, selection: Any, value: Any, *, fields: Fields = None) -> None:
        """Write whole units of :attr:`grid`, cut at the array's end."""
        self._put(indexing.parse_blocks(selection, self.grid), value, fields)

    def _points(self, selection: Any) -> Points:
        if isinstance(selection, list | np.ndarray) and np.asarray(selection).dtype == bool:
            return indexing.parse_mask(selection, self.shape)
        return indexing.parse_coordinates(selection, self.shape)
