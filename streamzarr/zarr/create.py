"""Making an array in a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store
from streamzarr.zarr.array import Array
from streamzarr.zarr.cache import ChunkCache
from streamzarr.zarr.configure import ArrayConfig
from streamzarr.zarr.metadata import NodeMetadata
from streamzarr.zarr.nodes import create_node


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
    created: Callable[[str, NodeMetadata], None] | None = None,
    **options: Any,
) -> Array:
    """Write the metadata of a new array, and `data` if there is any; see ``create_array``.

    Parameters
    ----------
    created
        Told path and metadata once they are written, before any data is.
    """
    if data is not None:
        values = data if hasattr(data, "shape") and hasattr(data, "dtype") else np.asarray(data)
        if shape is not None or dtype is not None:
            raise ConfigError("data: gives shape and dtype itself; pass either data, or shape and dtype")
        shape, dtype = values.shape, values.dtype
    elif shape is None or dtype is None:
        raise ConfigError("expected shape and dtype, or data")
    metadata = ArrayConfig(shape=shape, dtype=dtype, **options).metadata(limits)
    create_node(store, path, metadata, overwrite=overwrite)
    if created is not None:
        created(path, metadata)
    array = Array(store, path, metadata, write_empty_chunks=write_empty_chunks, limits=limits, cache=cache)
    if cache is not None:
        cache.invalidate(array.url)  # of what was overwritten
    if data is not None:
        array[...] = np.asarray(values)
    return array
