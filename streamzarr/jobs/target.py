"""What a job writes to: the metadata of the array, from the source and what was asked for; and making it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from streamzarr.errors import CastingError, ConfigError
from streamzarr.jobs.cast import Casting, can_cast, cast
from streamzarr.stores import StoreLike, open_store
from streamzarr.zarr import Array, explain_conversion
from streamzarr.zarr.codecs.transpose import TransposeCodec
from streamzarr.zarr.configure import ArrayConfig
from streamzarr.zarr.convert import DIMENSIONS, carried, dimension_names
from streamzarr.zarr.dtypes import DataType, data_type
from streamzarr.zarr.fill_attribute import FILL_ATTRIBUTE, element_of, encoded_fill, fill_attribute
from streamzarr.zarr.grids.grid import RegularChunks
from streamzarr.zarr.metadata import ArrayMetadata, ArrayMetadataV2, ArrayMetadataV3
from streamzarr.zarr.metadata.document import plain_attributes
from streamzarr.zarr.nodes.documents import create_node

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """How a target is stored; ``None`` and ``"keep"`` mean: as the source."""

    chunks: int | Sequence[int] | None = None
    shards: int | Sequence[int] | None = None
    dtype: Any = None
    compressors: Any = "keep"
    zarr_format: Literal[2, 3] | None = None
    attributes: Mapping[str, Any] | None = None
    overwrite: bool = False
    casting: Casting = "same_kind"


def target_metadata(source: Array, options: TargetOptions, *, copied: bool = True) -> ArrayMetadata:
    """Return the metadata of the array that a job makes of `source`; writes nothing.

    Parameters
    ----------
    copied
        The target's values are the source's, cast to its dtype; false where a transform makes others.

    Raises
    ------
    streamzarr.errors.ConfigError, streamzarr.errors.MetadataError
        The options fit neither together nor the source, or something of the source cannot be carried.
    streamzarr.errors.LimitExceededError
        The target's chunks are too large.
    """
    zarr_format = options.zarr_format or (2 if source.zarr_format == 2 else 3)
    config = carried(source.metadata, zarr_format)
    chunks = _chunks(source, options.chunks)
    if isinstance(options.compressors, str) and options.compressors == "keep":
        _check_codecs(source, zarr_format)
    else:
        config = replace(config, compressors=options.compressors)
    config = replace(
        config,
        chunks=chunks,
        # With other chunks the source's shards need not be whole numbers of them.
        shards=config.shards if options.chunks is None and options.shards is None else options.shards,
    )
    data = source.metadata.data_type if options.dtype is None else data_type(options.dtype)
    if data != source.metadata.data_type:
        if copied and not can_cast(source.dtype, data.dtype, options.casting):
            raise ConfigError(
                f"dtype: {source.dtype} values of {source.url} do not become {data.dtype} "
                f"by casting={options.casting!r}"
            )
        config = _recast(source, config, data, options.casting)
    if options.attributes is not None:
        config = replace(config, attributes=_with_names(options.attributes, source.metadata, zarr_format))
    return _with_rest(config.metadata(), source.metadata)


def create_target(target: StoreLike, source: Array, options: TargetOptions, *, copied: bool = True) -> Array:
    """Create the array of a copy or map job; raises ``NodeExistsError`` unless ``overwrite``.

    For parameters and other errors see :func:`target_metadata`.
    """
    store = open_store(target)
    plain_attributes(options.attributes, store.url)  # raises what only the array's place makes clear
    metadata = target_metadata(source, options, copied=copied)
    create_node(store, "", metadata, overwrite=options.overwrite)
    return Array(store, "", metadata)


def _chunks(source: Array, chunks: int | Sequence[int] | None) -> RegularChunks:
    if chunks is None:
        if not isinstance(source.metadata.chunk_grid, RegularChunks):
            raise ConfigError(
                f"chunks: those of {source.url} are rectilinear, {source.metadata.chunk_grid}, "
                "and the target of a job has a regular grid: say which chunks it gets"
            )
        # An axis without length may have chunks without length.
        return RegularChunks(tuple(max(chunk, 1) for chunk in source.chunks))
    wanted = (chunks,) * source.ndim if isinstance(chunks, int) else tuple(chunks)
    if len(wanted) != source.ndim:
        raise ConfigError(
            f"chunks must be one positive integer, or one for each of {source.ndim} axes, got {chunks!r}"
        )
    return RegularChunks(wanted)


def _check_codecs(source: Array, zarr_format: Literal[2, 3]) -> None:
    """Refuse codecs that the target's format does not have, and warn of what else it has no place for."""
    regular = replace(source.metadata, chunk_grid=RegularChunks(()))  # of chunks more is said elsewhere
    lost = explain_conversion(regular, zarr_format)
    others = explain_conversion(regular, zarr_format, codecs="default")
    about = f"{source.url} as Zarr v{zarr_format} loses"
    if codecs := [each for each in lost if each not in others]:
        raise ConfigError(f"{about}: {'; '.join(codecs)}; say with compressors= how to store it instead")
    if others:
        _log.warning("%s: %s", about, "; ".join(others))


def _recast(source: Array, config: ArrayConfig, data: DataType, casting: Casting) -> ArrayConfig:
    """Return `config`, whose fill value and filters are those of the source's dtype, for another."""
    metadata = source.metadata
    where = f"fill value of {source.url}"
    fill = data.default_fill()
    if not _is_same(metadata.fill, metadata.data_type.default_fill()):
        fill = _recast_value(metadata.fill, metadata.dtype, data, casting, where)
    attributes = dict(config.attributes or {})
    missing = fill_attribute(attributes, metadata.dtype)
    element = None if missing is None else element_of(missing, metadata.dtype)
    if element is not None and data.dtype.kind in "iufc":  # what no element equals stays as it is
        where = f"attribute {FILL_ATTRIBUTE} of {source.url}"
        missing = _recast_value(element, metadata.dtype, data, casting, where)
        attributes[FILL_ATTRIBUTE] = encoded_fill(missing, data.dtype, config.zarr_format)
    # Filters such as delta are made for one dtype; how the axes lie concerns none.
    filters = [codec for codec in config.filters or () if isinstance(codec, TransposeCodec)]
    return replace(
        config,
        dtype=data,
        fill_value=fill,
        attributes=attributes,
        filters=filters or "auto",
        serializer="auto",
    )


def _recast_value(value: Any, dtype: np.dtype[Any], data: DataType, casting: Casting, where: str) -> Any:
    """Return one value of `dtype` as the same value of another; a whole float is an integer, too."""
    element = np.asarray(value, dtype=dtype)
    if dtype.kind == "f" and data.dtype.kind in "iu" and float(element).is_integer():
        element = np.asarray(int(element))
    try:
        return cast(element, data.dtype, casting, where)[()]
    except CastingError as error:
        raise ConfigError(f"{error}: {value!r} is no {data.dtype}") from error


def _is_same(one: Any, other: Any) -> bool:
    return bool(one == other or (one != one and other != other))


def _with_names(
    attributes: Mapping[str, Any], source: ArrayMetadata, zarr_format: Literal[2, 3]
) -> dict[str, Any]:
    """Return the attributes that were given, in v2 with the dimension names, which are none of the user's."""
    names = dimension_names(source)
    if zarr_format == 3 or names is None:
        return dict(attributes)
    return {DIMENSIONS: list(names), **attributes}


def _with_rest(metadata: ArrayMetadata, source: ArrayMetadata) -> ArrayMetadata:
    """Return `metadata` with what only arrays of its own format have."""
    if isinstance(metadata, ArrayMetadataV2) and source.fill_value is None:
        return replace(metadata, fill_value=None)
    if isinstance(metadata, ArrayMetadataV3) and isinstance(source, ArrayMetadataV3):
        return replace(metadata, extra=source.extra)
    return metadata
