"""The group of a pyramid: what its levels are, decided before anything is written, and making it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamzarr.errors import ConfigError
from streamzarr.jobs.downsample import check_method, downsampled_shape
from streamzarr.jobs.multiscales import OWN_KEY, axis_names, levels_attributes
from streamzarr.jobs.nodata import is_auto, nodata_values
from streamzarr.jobs.target import TargetOptions, target_metadata
from streamzarr.jobs.wire import Method
from streamzarr.stores import StoreLike, open_store
from streamzarr.zarr import Array
from streamzarr.zarr.convert import DIMENSIONS, dimension_names
from streamzarr.zarr.metadata import (
    ArrayMetadata,
    ArrayMetadataV2,
    GroupMetadata,
    GroupMetadataV2,
    GroupMetadataV3,
)
from streamzarr.zarr.nodes.documents import create_node


@dataclass(frozen=True, slots=True)
class Pyramid:
    """A group with one array for each level, named ``0``, ``1``, ..."""

    group: GroupMetadata
    levels: tuple[ArrayMetadata, ...]
    nodata: tuple[Any, ...]
    """Values that do not count, as :func:`streamzarr.jobs.nodata.nodata_values` gives them."""


def plan_pyramid(
    source: Array,
    factor: Sequence[int],
    levels: int,
    method: Method,
    options: TargetOptions,
    nodata: Any = None,
) -> Pyramid:
    """Return what a pyramid of `source` is; writes nothing.

    Every level has the attributes of the source and names for its dimensions, ``dim_0`` and so on where the
    source has none.

    Parameters
    ----------
    nodata
        As for :func:`streamzarr.jobs.nodata.nodata_values`.

    Raises
    ------
    streamzarr.errors.ConfigError, streamzarr.errors.MetadataError
        As :func:`streamzarr.jobs.target.target_metadata`; or the method has no meaning for the dtype.
    """
    described = target_metadata(source, replace(options, attributes=None))
    first = target_metadata(source, options)
    check_method(method, first.dtype)
    names = axis_names(dimension_names(first), source.ndim)
    about = levels_attributes(names, levels, factor, method, first.zarr_format)
    first = _named(first, names, nested=OWN_KEY not in about)
    # What the source says of arrays elsewhere is not true of this group.
    kept = {
        key: value
        for key, value in first.attributes.items()
        if key not in (DIMENSIONS, OWN_KEY, "ome", "multiscales")
    }
    arrays = [first]
    for _ in range(levels - 1):
        arrays.append(first.with_shape(downsampled_shape(arrays[-1].shape, factor)))
    group = GroupMetadataV2 if first.zarr_format == 2 else GroupMetadataV3
    return Pyramid(group({**kept, **about}), tuple(arrays), _nodata(described, method, nodata))


def create_pyramid(target: StoreLike, pyramid: Pyramid, *, overwrite: bool) -> list[Array]:
    """Create the group and its arrays; raises ``NodeExistsError`` unless `overwrite`."""
    store = open_store(target)
    create_node(store, "", pyramid.group, overwrite=overwrite)
    arrays = []
    for level, metadata in enumerate(pyramid.levels):
        create_node(store, str(level), metadata, overwrite=overwrite)
        arrays.append(Array(store, str(level), metadata))
    return arrays


def _nodata(metadata: ArrayMetadata, method: Method, given: Any) -> tuple[Any, ...]:
    if method != "nearest":
        return nodata_values(metadata, given)
    if not is_auto(given):
        raise ConfigError(f"nodata: method 'nearest' takes the first cell whatever it is, got {given!r}")
    return ()


def _named(metadata: ArrayMetadata, names: Sequence[str], *, nested: bool) -> ArrayMetadata:
    """Return `metadata` with dimension names, and in v2 with nested keys, as OME-NGFF wants them."""
    if not isinstance(metadata, ArrayMetadataV2):
        return replace(metadata, dimension_names=tuple(names))
    attributes = {**metadata.attributes, DIMENSIONS: list(names)}
    separator = "/" if nested else metadata.dimension_separator
    return replace(metadata, attributes=attributes, dimension_separator=separator)
