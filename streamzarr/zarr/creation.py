"""Making arrays as numpy does: ``zeros``, ``full_like`` and the like, and arrays that are like others.

All end in :func:`streamzarr.zarr.create_array`, which takes every further argument. Without a store the array
is in memory.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from streamzarr.stores import StoreLike
from streamzarr.zarr.api import create_array, open_array
from streamzarr.zarr.array import Array
from streamzarr.zarr.configure import ShapeLike
from streamzarr.zarr.convert import carried
from streamzarr.zarr.settings import ZarrFormat, format_of_new

_KEPT = ("chunks", "shards", "filters", "compressors", "serializer")


def from_array(
    store: StoreLike,
    *,
    data: Any,
    write_data: bool = True,
    zarr_format: ZarrFormat | None = None,
    **options: Any,
) -> Array:
    """Create an array from another: of Zarr, numpy, HDF5, or whatever has shape and dtype and can be sliced.

    Parameters
    ----------
    data
        What is not in memory is read in pieces of one chunk (or shard).
    write_data
        Copy the values, too; without it the array reads as its fill value.
    zarr_format
        None: as `data`, or 3.
    **options
        As in ``create_array``. What is not given, or is ``"keep"``, is taken from a Zarr array.

    Examples
    --------
    >>> import streamzarr.zarr as zarr
    >>> z = zarr.create_array("memory://", data=[1, 2, 3], chunks=2, compressors="gzip", attributes={"a": 1})
    >>> again = from_array("memory://", data=z, chunks=3)
    >>> again[:], again.chunks, again.compressors, dict(again.attrs)
    (array([1, 2, 3]), (3,), (GzipCodec(level=5),), {'a': 1})
    """
    values = data if hasattr(data, "shape") and hasattr(data, "dtype") else np.asarray(data)
    given = {name: value for name, value in options.items() if not (name in _KEPT and _is_keep(value))}
    like = _like(values, zarr_format) | given
    if write_data:
        del like["shape"], like["dtype"]
        return create_array(store, data=values, **like)
    return create_array(store, **like)


def empty(shape: ShapeLike, *, dtype: Any = "f8", store: StoreLike = "memory://", **options: Any) -> Array:
    """Create an array that holds zeros, as nothing in Zarr is uninitialised.

    >>> empty((2, 2))[0]
    array([0., 0.])
    """
    return create_array(store, shape=shape, dtype=dtype, **options)


def zeros(shape: ShapeLike, *, dtype: Any = "f8", store: StoreLike = "memory://", **options: Any) -> Array:
    """Create an array of zeros.

    >>> zeros(3, dtype="i4")[:]
    array([0, 0, 0], dtype=int32)
    """
    return full(shape, 0, dtype=dtype, store=store, **options)


def ones(shape: ShapeLike, *, dtype: Any = "f8", store: StoreLike = "memory://", **options: Any) -> Array:
    """Create an array of ones, of which no chunk is stored: one is its fill value.

    >>> ones(3, dtype="i4")[:]
    array([1, 1, 1], dtype=int32)
    """
    return full(shape, 1, dtype=dtype, store=store, **options)


def full(
    shape: ShapeLike,
    fill_value: Any,
    *,
    dtype: Any = "f8",
    store: StoreLike = "memory://",
    **options: Any,
) -> Array:
    """Create an array whose fill value is given.

    >>> full((2,), 2.5)[:]
    array([2.5, 2.5])
    """
    return create_array(store, shape=shape, dtype=dtype, fill_value=fill_value, **options)


def empty_like(a: Any, *, store: StoreLike = "memory://", **options: Any) -> Array:
    """Create an array like `a`, without its values and attributes; what is not given is taken from it.

    >>> empty_like(ones((4, 4), chunks=(2, 2))).chunks
    (2, 2)
    """
    return create_array(store, **(_like(a, options.get("zarr_format")) | {"attributes": None} | options))


def zeros_like(a: Any, *, store: StoreLike = "memory://", **options: Any) -> Array:
    """Create an array of zeros like `a`; see :func:`empty_like`."""
    return empty_like(a, store=store, **(options | {"fill_value": 0}))


def ones_like(a: Any, *, store: StoreLike = "memory://", **options: Any) -> Array:
    """Create an array of ones like `a`; see :func:`empty_like`."""
    return empty_like(a, store=store, **(options | {"fill_value": 1}))


def full_like(a: Any, fill_value: Any, *, store: StoreLike = "memory://", **options: Any) -> Array:
    """Create an array like `a` whose fill value is given; see :func:`empty_like`."""
    return empty_like(a, store=store, **(options | {"fill_value": fill_value}))


def open_like(a: Any, store: StoreLike, **options: Any) -> Array:
    """Open the array in `store`, which is made like `a` when it is not there; see :func:`empty_like`.

    >>> open_like(zeros((4,), dtype="i2"), "memory://opened").dtype
    dtype('int16')
    """
    like = _like(a, options.get("zarr_format")) | {"attributes": None} | options
    zarr_format = options.get("zarr_format")
    return open_array(store, mode=like.pop("mode", "a"), **(like | {"zarr_format": zarr_format}))


def _like(a: Any, zarr_format: ZarrFormat | None) -> dict[str, Any]:
    """Return the arguments of ``create_array`` that make an array like `a`."""
    if isinstance(a, Array):
        config = carried(a.metadata, zarr_format or (2 if a.zarr_format == 2 else 3))
        return {each.name: getattr(config, each.name) for each in fields(config)}
    values = a if hasattr(a, "shape") and hasattr(a, "dtype") else np.asarray(a)
    return {"shape": tuple(values.shape), "dtype": values.dtype, "zarr_format": format_of_new(zarr_format)}


def _is_keep(value: Any) -> bool:
    return isinstance(value, str) and value == "keep"
