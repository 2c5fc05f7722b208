"""Making an array in a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, join_url
from streamzarr.zarr.array import Array
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.chunks.cache import ChunkCache
from streamzarr.zarr.configure import ArrayConfig
from streamzarr.zarr.metadata import ArrayMetadata, NodeMetadata
from streamzarr.zarr.nodes.creation import Creation
from streamzarr.zarr.nodes.keeper import Keeper
from streamzarr.zarr.nodes.overwrite import refuse_itself


def make_array(
    store: Store,
    path: str,
    *,
    data: Any,
    shape: Any,
    dtype: Any,
    overwrite: bool,
    write_empty_chunks: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    cache: ChunkCache | None = None,
    keeper: Keeper | None = None,
    created: Callable[[str, NodeMetadata], None] | None = None,
    **options: Any,
) -> Array:
    """Write the metadata of a new array, and `data` if there is any; see ``create_array``.

    Parameters
    ----------
    created
        Told path and metadata once all is written.
    """
    metadata, values = new_array(data=data, shape=shape, dtype=dtype, limits=limits, **options)
    if overwrite and isinstance(values, Array):
        refuse_itself(values.url, join_url(store.url, path), "written", overwrite=True)
    array = Array(
        store,
        path,
        metadata,
        write_empty_chunks=write_empty_chunks,
        limits=limits,
        cache=cache,
        keeper=keeper,
    )
    with Creation(store, limits) as creation:
        creation.begin(path, metadata, overwrite=overwrite, has_data=values is not None)
        if cache is not None:
            cache.invalidate(array.url)  # of what was overwritten
        if values is not None:
            write_all(array, values)
        creation.finish(path)
        if created is not None:
            created(path, metadata)
    return array


def new_array(
    *, limits: Limits, data: Any = None, shape: Any = None, dtype: Any = None, **options: Any
) -> tuple[ArrayMetadata, Any]:
    """Return the metadata of a new array, and what to write to it: `data` or None. No I/O.

    Raises
    ------
    streamzarr.errors.ConfigError, streamzarr.errors.MetadataError
        The arguments describe no Zarr array.
    """
    if data is None:
        if shape is None or dtype is None:
            raise ConfigError("expected shape and dtype, or data")
        return ArrayConfig(shape=shape, dtype=dtype, **options).metadata(limits), None
    if shape is not None or dtype is not None:
        raise ConfigError("data: gives shape and dtype itself; pass either data, or shape and dtype")
    values = data if hasattr(data, "shape") and hasattr(data, "dtype") else np.asarray(data)
    return ArrayConfig(shape=values.shape, dtype=values.dtype, **options).metadata(limits), values


def write_all(array: Array, values: Any) -> None:
    """Write `values` of the array's shape; of a Zarr or HDF5 array, in pieces."""
    if isinstance(values, np.ndarray | np.generic):
        array[...] = values
        return
    grid = array.grid
    parallel.for_each(
        lambda index: array.write_chunk(index, np.asarray(values[grid.slices(index)])),
        grid.indices(),
        parallel.cores() if isinstance(values, Array) else 1,  # of others it is not known
    )
