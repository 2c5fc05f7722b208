"""Between Zarr v2 and v3: what metadata becomes, what cannot be carried, and whole hierarchies re-encoded.

Values, shapes, chunk shapes and attributes are always carried. Codecs are where the other format has
them, and left out where it has not. Chunks are decoded and encoded again, never taken over as they are:
the same name may mean other bytes (v2 ``zlib`` is not v3 ``gzip``).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from streamzarr.errors import ConfigError, MetadataError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import StoreLike, join_url, open_store
from streamzarr.zarr.api import open  # noqa: A004
from streamzarr.zarr.array import Array
from streamzarr.zarr.codecs.base import ArrayArray, BytesBytes, Codec
from streamzarr.zarr.codecs.raw import BytesCodec
from streamzarr.zarr.codecs.transpose import TransposeCodec
from streamzarr.zarr.configure import ArrayConfig, as_codec, numcodecs_config
from streamzarr.zarr.fill_attribute import reencoded
from streamzarr.zarr.grids.grid import RegularChunks
from streamzarr.zarr.grids.keys import DefaultKeys, V2Keys
from streamzarr.zarr.grids.rectilinear import RectilinearChunks
from streamzarr.zarr.group import Group
from streamzarr.zarr.metadata import (
    ArrayMetadata,
    ArrayMetadataV2,
    ArrayMetadataV3,
    GroupMetadata,
    GroupMetadataV2,
    GroupMetadataV3,
    new_group,
)
from streamzarr.zarr.nodes.creation import Creation
from streamzarr.zarr.nodes.hierarchy import consolidate_metadata
from streamzarr.zarr.nodes.members import Unreadable
from streamzarr.zarr.nodes.overwrite import refuse_itself
from streamzarr.zarr.nodes.paths import key_below, normalize_path
from streamzarr.zarr.settings import ZarrFormat

Codecs: TypeAlias = Literal["keep", "default"]

DIMENSIONS = "_ARRAY_DIMENSIONS"
"""The attribute in which v2 arrays of xarray and GDAL keep the names of their dimensions."""


def explain_conversion(
    source: ArrayMetadata | GroupMetadata | StoreLike | Array | Group,
    zarr_format: ZarrFormat,
    *,
    codecs: Codecs = "keep",
) -> list[str]:
    """Return a sentence for each thing that the source says and the other format cannot; writes nothing.

    Parameters
    ----------
    source
        Metadata; or an array or a group, or where one is, with all that is below it: each sentence then
        begins with the URL of the node.
    codecs
        As in :func:`convert`.

    Examples
    --------
    >>> import streamzarr.zarr as zarr
    >>> z = zarr.create_array("memory://", shape=(4,), dtype="f4", compressors="crc32c")
    >>> explain_conversion(z.metadata, 2)
    ['codec crc32c has no counterpart']
    """
    if isinstance(source, ArrayMetadataV2 | ArrayMetadataV3 | GroupMetadataV2 | GroupMetadataV3):
        return _lost(source, zarr_format, codecs)
    lost: list[str] = []
    for each in _nodes(source if isinstance(source, Array | Group) else open(source)).values():
        if isinstance(each, Unreadable):
            lost.append(str(each))
        else:
            lost += [f"{each.url}: {what}" for what in _lost(each.metadata, zarr_format, codecs)]
    return lost


def _nodes(node: Array | Group) -> dict[str, Array | Group | Unreadable]:
    return {"": node} | (dict(node.walk(max_depth=None)) if isinstance(node, Group) else {})


def _lost(metadata: ArrayMetadata | GroupMetadata, zarr_format: ZarrFormat, codecs: Codecs) -> list[str]:
    if metadata.zarr_format == zarr_format:
        return []
    if isinstance(metadata, ArrayMetadataV2):
        undefined = metadata.fill_value is None
        dropped = _dropped_v2(metadata) if codecs == "keep" else []
        try:
            metadata.data_type.to_v3()
        except ValueError as error:
            return [str(error)]
        return [
            *([f"the undefined fill value becomes {metadata.fill!r}"] if undefined else []),
            *(f"codec {each['id']} has no counterpart" for each in dropped),
        ]
    if isinstance(metadata, GroupMetadataV2):
        return []
    lost = [f"key {key!r} has no place" for key in metadata.extra]
    if isinstance(metadata, ArrayMetadataV3):
        if isinstance(metadata.chunk_grid, RectilinearChunks) and metadata.inner_chunks is None:
            shape = metadata.chunk_grid.chunk_shape
            lost.append(f"rectilinear chunks {metadata.chunk_grid} become regular ones of {shape}")
        if codecs == "keep":
            lost += [f"codec {codec.name} has no counterpart" for codec in _dropped_v3(metadata)]
            ignored = (*(codec for _, codec in metadata.ignored_codecs), *metadata.ignored_transformers)
            lost += [f"extension {each['name']!r} has no place" for each in ignored]
        written = metadata.data_type.fill_to_json(metadata.fill_value, 2)
        if written != metadata.data_type.fill_to_json(metadata.fill_value, 3):
            lost.append("the payload of the NaN fill value has no place")
    return lost


def converted(
    metadata: ArrayMetadata,
    zarr_format: ZarrFormat,
    limits: Limits = DEFAULT_LIMITS,
    *,
    codecs: Codecs = "keep",
) -> ArrayMetadata:
    """Return the metadata of the same array in the other format, as far as it can be carried."""
    if metadata.zarr_format == zarr_format:
        return metadata
    return carried(metadata, zarr_format, codecs=codecs).metadata(limits)


def carried(metadata: ArrayMetadata, zarr_format: ZarrFormat, *, codecs: Codecs = "keep") -> ArrayConfig:
    """Return what makes the same array in a format, its own or the other, as far as it can be carried.

    To the other format chunks are regular, and shards are not carried. A fill value that v2 leaves undefined
    becomes what such chunks read as.
    """
    how: dict[str, Any] = {"chunks": RegularChunks(metadata.inner_chunks or metadata.chunk_grid.chunk_shape)}
    if metadata.zarr_format == zarr_format:
        how |= _as_v2(metadata) if isinstance(metadata, ArrayMetadataV2) else _as_v3(metadata)
    else:
        how |= _to_v3(metadata) if isinstance(metadata, ArrayMetadataV2) else _to_v2(metadata)
    if codecs == "default":
        how |= {"filters": "auto", "compressors": "auto", "order": "C"}
    return ArrayConfig(
        metadata.shape,
        metadata.data_type,
        fill_value=metadata.fill,
        zarr_format=zarr_format,
        **how,
    )


def dimension_names(metadata: ArrayMetadata) -> tuple[str | None, ...] | None:
    """Return the names of the dimensions, of whichever format; None where they have none."""
    if isinstance(metadata, ArrayMetadataV3):
        return metadata.dimension_names
    names = metadata.attributes.get(DIMENSIONS)
    if not isinstance(names, list) or len(names) != len(metadata.shape):
        return None
    return tuple(names) if all(name is None or isinstance(name, str) for name in names) else None


def _as_v2(metadata: ArrayMetadataV2) -> dict[str, Any]:
    return {
        "filters": list(metadata.filters),
        "compressors": list(metadata.compressors),
        "order": metadata.order,
        "attributes": metadata.attributes,
        "chunk_key_encoding": metadata.chunk_keys,
    }


def _as_v3(metadata: ArrayMetadataV3) -> dict[str, Any]:
    sharding = metadata.sharding
    return {
        "chunks": sharding.chunk_shape if sharding else metadata.chunk_grid,
        "filters": list(metadata.filters),
        "serializer": metadata.serializer,
        "compressors": list(metadata.compressors),
        "attributes": metadata.attributes,
        "dimension_names": metadata.dimension_names,
        "chunk_key_encoding": metadata.chunk_keys,
        "shards": sharding and {"shape": metadata.chunk_grid, "index_location": sharding.index_location},
    }


def _to_v3(metadata: ArrayMetadataV2) -> dict[str, Any]:
    attributes = reencoded(metadata.attributes, metadata.dtype, 3)
    names = dimension_names(metadata)
    if names is not None:
        del attributes[DIMENSIONS]
    codecs = _carried_v2(metadata)
    filters: list[Codec] = [codec for codec in codecs if isinstance(codec, ArrayArray)]
    if metadata.order == "F" and len(metadata.shape) > 1:
        filters.insert(0, TransposeCodec(tuple(reversed(range(len(metadata.shape))))))
    return {
        "filters": filters,
        "compressors": [codec for codec in codecs if isinstance(codec, BytesBytes)],
        "attributes": attributes,
        "dimension_names": names,
        "chunk_key_encoding": DefaultKeys(metadata.dimension_separator),
    }


def _carried_v2(metadata: ArrayMetadataV2) -> list[Codec]:
    """Return the v3 codecs of a v2 array, those between that are array to bytes left out: v3 has its own."""
    return [codec for config in _steps(metadata) if (codec := _v3_codec(config)) is not None]


def _dropped_v2(metadata: ArrayMetadataV2) -> list[dict[str, Any]]:
    return [config for config in _steps(metadata) if _v3_codec(config) is None]


def _steps(metadata: ArrayMetadataV2) -> list[dict[str, Any]]:
    steps = [*metadata.filters, *metadata.compressors]
    return [config for config in steps if config["id"] != metadata.data_type.object_codec]


def _v3_codec(config: dict[str, Any]) -> Codec | None:
    if config["id"] == "categorize":  # whose v3 form nobody but we can read
        return None
    native = {
        key: np.dtype(value).newbyteorder("=").str if key.endswith(("dtype", "astype")) else value
        for key, value in config.items()
    }
    try:
        return as_codec(native)
    except MetadataError:
        return None


def _to_v2(metadata: ArrayMetadataV3) -> dict[str, Any]:
    attributes = reencoded(metadata.attributes, metadata.dtype, 2)
    if metadata.dimension_names is not None and DIMENSIONS not in attributes:
        attributes[DIMENSIONS] = list(metadata.dimension_names)
    keys = metadata.chunk_keys
    reverse = tuple(reversed(range(len(metadata.shape))))
    before = [metadata.data_type.object_codec] if metadata.data_type.object_codec else []
    filters = [config for codec in metadata.filters if (config := _v2_config(codec)) is not None]
    compressors = [config for codec in metadata.compressors if (config := _v2_config(codec)) is not None]
    return {
        "filters": [*before, *filters, *compressors[:-1]],
        "compressors": compressors[-1:],
        "order": "F" if TransposeCodec(reverse) in metadata.filters and len(reverse) > 1 else "C",
        "attributes": attributes,
        "chunk_key_encoding": V2Keys(keys.separator) if isinstance(keys, DefaultKeys | V2Keys) else None,
    }


def _dropped_v3(metadata: ArrayMetadataV3) -> list[Codec]:
    return [
        codec
        for codec in (*metadata.filters, metadata.serializer, *metadata.compressors)
        if not _is_v2s_own(codec, metadata) and _v2_config(codec) is None
    ]


def _is_v2s_own(codec: Codec, metadata: ArrayMetadataV3) -> bool:
    """Tell whether v2 says what `codec` does in another way: by order C or F, by dtype, by a filter."""
    return isinstance(codec, TransposeCodec | BytesCodec) or codec.name == metadata.data_type.object_codec


def _v2_config(codec: Codec) -> dict[str, Any] | None:
    try:
        return numcodecs_config(codec, "codecs")
    except (ConfigError, MetadataError):
        return None


def convert(
    source: StoreLike | Array | Group,
    target: StoreLike,
    *,
    zarr_format: ZarrFormat,
    path: str = "",
    overwrite: bool = False,
    lossy: bool = False,
    codecs: Codecs = "keep",
    concurrency: int = 1,
) -> Array | Group:
    """Write an array, or a group with all that is below it, in another format, and return it.

    Parameters
    ----------
    path
        Where in `target`.
    lossy
        Go on although some of what the source says cannot be carried; see :func:`explain_conversion`.
    codecs
        ``"keep"`` the source's as far as the format has them, or ``"default"``: those of a new array.
    concurrency
        How many chunks are read ahead.

    Raises
    ------
    streamzarr.errors.MetadataError
        Something cannot be carried, and `lossy` is false. Nothing has been written then.
    streamzarr.errors.NodeExistsError
        Something is at the target and `overwrite` is false, or foreign files are; or source and target
        overlap.

    Examples
    --------
    >>> import streamzarr.zarr as zarr
    >>> old = zarr.create_array("memory://", data=[[1, 2], [3, 4]], zarr_format=2, order="F")
    >>> zarr.convert(old, "memory://", zarr_format=3).filters
    (TransposeCodec(order=(1, 0)),)
    """
    node = source if isinstance(source, Array | Group) else open(source)
    store, path = open_store(target), normalize_path(path)
    refuse_itself(node.url, join_url(store.url, path), "converted", overwrite=overwrite)
    if codecs not in ("keep", "default"):
        raise ConfigError(f"codecs: expected 'keep' or 'default', got {codecs!r}")
    if not lossy and (lost := explain_conversion(node, zarr_format, codecs=codecs)):
        raise MetadataError(f"conversion to Zarr v{zarr_format} loses: {'; '.join(lost)}; pass lossy=True")
    with Creation(store) as creation:
        for below, each in _nodes(node).items():
            place, anew = key_below(path, below) if below else path, overwrite and not below
            if isinstance(each, Array):
                metadata = converted(each.metadata, zarr_format, codecs=codecs)
                creation.begin(place, metadata, overwrite=anew, has_data=True)
                _write_chunks(each, Array(store, place, metadata), concurrency)
                creation.finish(place)
            elif isinstance(each, Group):  # what is neither may be lost
                group = new_group(zarr_format, each.attrs, each.url)
                creation.begin(place, group, overwrite=anew)
    if isinstance(node, Group) and node.metadata.consolidated is not None:
        return consolidate_metadata(store, path)
    return open(store, path=path, mode="r+")


def _write_chunks(source: Array, target: Array, concurrency: int) -> None:
    # Chunks are those of the source, or its shards cut up. What the source does not store, the target need
    # not.
    for block in source.stream_chunks(concurrency=concurrency, missing="skip"):
        target[block.slices] = block.data
