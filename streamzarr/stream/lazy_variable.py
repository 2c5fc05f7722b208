"""A field as the data of an xarray variable, read when it is computed or indexed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from streamzarr.stream.field_rows import FieldRows
from streamzarr.zarr.codecs.base import NDArray


class _Backend(BackendArray):
    """What xarray calls for the elements that an index names. Thread-safe, picklable."""

    def __init__(self, field: FieldRows) -> None:
        self.field = field
        self.shape, self.dtype = field.shape, field.dtype

    def __getitem__(self, key: Any) -> NDArray:
        found: NDArray = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, lambda chosen: np.asarray(self.field[chosen])
        )
        return found


def lazy(field: FieldRows) -> Any:
    """Return `field` as a dask array of its chunks, or, without dask, as xarray's own kind of lazy array."""
    try:
        from_array: Any = importlib.import_module("dask.array").from_array
    except ImportError:
        return indexing.LazilyIndexedArray(_Backend(field))
    ends = [*field.chunk_starts, len(field)]
    rows = tuple(stop - start for start, stop in zip([0, *ends], ends, strict=False))
    return from_array(field, chunks=(rows, *field.chunks[1:]), asarray=True, fancy=False)
