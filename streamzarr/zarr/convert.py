"""Between Zarr v2 and v3: what metadata becomes, what cannot be carried, and whole hierarchies re-encoded.

Values, shapes, chunk shapes and attributes are always carried. Codecs are where the other format has
them, and left out where it has not. Chunks are decoded and encoded again, never taken over as they are:
the same name may mean other bytes (v2 ``zlib`` is not v3 ``gzip``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamzarr.errors import ConfigError, MetadataError, NodeExistsError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, StoreLike, join_url, open_store
from streamzarr.zarr.api import open  # noqa: A004
from streamzarr.zarr.array import Array
from streamzarr.zarr.codecs.base import ArrayArray, BytesBytes, Codec
from streamzarr.zarr.codecs.transpose import TransposeCodec
from streamzarr.zarr.configure import ArrayConfig, as_codec, numcodecs_config
from streamzarr.zarr.group import Group
from streamzarr.zarr.metadata import (
    ArrayMetadata,
    ArrayMetadataV2,
    ArrayMetadataV3,
    GroupMetadata,
    GroupMetadataV2,
    GroupMetadataV3,
)
from streamzarr.zarr.nodes import ZarrFormat, create_node
from streamzarr.zarr.paths import key_below, normalize_path

_DIMENSIONS = "_ARRAY_DIMENSIONS"
"""The attribute in which v2 arrays of xarray and GDAL keep the names of their dimensions."""


def explain_conversion(metadata: ArrayMetadata | GroupMetadata, zarr_format: ZarrFormat) -> list[str]:
    """Return a sentence for each thing that `metadata` says and the other format cannot.

    >>> import streamzarr.zarr as zarr
    >>> z = zarr.create_array("memory://", shape=(4,), dtype="f4", compressors="crc32c")
    >>> explain_conversion(z.metadata, 2)
    ['codec crc32c has no counterpart']
    """
    if metadata.zarr_format == zarr_format:
        return []
    if isinstance(metadata, ArrayMetadataV2):
        undefined = metadata.fill_value is None
        return [
            *([f"the undefined fill value becomes {metadata.fill!r}"] if undefined else []),
            *(f"codec {each['id']} has no counterpart" for each in _dropped_v2(metadata)),
        ]
    if isinstance(metadata, GroupMetadataV2):
        return []
    lost = [f"key {key!r} has no place" for key in metadata.extra]
    if isinstance(metadata, ArrayMetadataV3):
        lost += [f"codec {codec.name} has no counterpart" for codec in _dropped_v3(metadata)]
        written = metadata.data_type.fill_to_json(metadata.fill_value, 2)
        if written != metadata.data_type.fill_to_json(metadata.fill_value, 3):
            lost.append("the payload of the NaN fill value has no place")
    return lost


def converted(
    metadata: ArrayMetadata, zarr_format: ZarrFormat, limits: Limits = DEFAULT_LIMITS
) -> ArrayMetadata:
    """Return the metadata of the same array in the other format, as far as it can be carried."""
    if metadata.zarr_format == zarr_format:
        return metadata
    how = _to_v3(metadata) if isinstance(metadata, ArrayMetadataV2) else _to_v2(metadata)
    config = ArrayConfig(
        metadata.shape,
        metadata.data_type,
        metadata.chunks,
        fill_value=metadata.fill,
        zarr_format=zarr_format,
        **how,
    )
    return config.metadata(limits)


def _to_v3(metadata: ArrayMetadataV2) -> dict[str, Any]:
    attributes = dict(metadata.attributes)
    names = attributes.get(_DIMENSIONS)
    named = isinstance(names, list) and len(names) == len(metadata.shape)
    if named:
        del attributes[_DIMENSIONS]
    carried = _carried_v2(metadata)
    filters: list[Codec] = [codec for codec in carried if isinstance(codec, ArrayArray)]
    if metadata.order == "F" and len(metadata.shape) > 1:
        filters.insert(0, TransposeCodec(tuple(reversed(range(len(metadata.shape))))))
    return {
        "filters": filters,
        "compressors": [codec for codec in carried if isinstance(codec, BytesBytes)],
        "attributes": attributes,
        "dimension_names": names if named else None,
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
    attributes = dict(metadata.attributes)
    if metadata.dimension_names is not None and _DIMENSIONS not in attributes:
        attributes[_DIMENSIONS] = list(metadata.dimension_names)
    reverse = tuple(reversed(range(len(metadata.shape))))
    steps = [*metadata.filters, *metadata.compressors]
    configs = [config for codec in steps if (config := _v2_config(codec)) is not None]
    filters = [metadata.data_type.object_codec] if metadata.data_type.object_codec else []
    return {
        "filters": [*filters, *configs[:-1]] if configs and metadata.compressors else [*filters, *configs],
        "compressors": configs[-1:] if metadata.compressors else None,
        "order": "F" if TransposeCodec(reverse) in metadata.filters and len(reverse) > 1 else "C",
        "attributes": attributes,
    }


def _dropped_v3(metadata: ArrayMetadataV3) -> list[Codec]:
    # How axes lie is no loss: v2 has orders C and F.
    return [
        codec
        for codec in (*metadata.filters, *metadata.compressors)
        if not isinstance(codec, TransposeCodec) and _v2_config(codec) is None
    ]


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
    concurrency: int = 1,
) -> Array | Group:
    """Write an array, or a group with all that is below it, in another format, and return it.

    Parameters
    ----------
    path
        Where in `target`.
    lossy
        Go on although some of what the source says cannot be carried; see :func:`explain_conversion`.
    concurrency
        How many chunks are read ahead.

    Raises
    ------
    streamzarr.errors.MetadataError
        Something cannot be carried, and `lossy` is false. Nothing has been written then.
    streamzarr.errors.NodeExistsError
        Something is at the target and `overwrite` is false.

    Examples
    --------
    >>> import streamzarr.zarr as zarr
    >>> old = zarr.create_array("memory://", data=[[1, 2], [3, 4]], zarr_format=2, order="F")
    >>> zarr.convert(old, "memory://", zarr_format=3).filters
    (TransposeCodec(order=(1, 0)),)
    """
    node = source if isinstance(source, Array | Group) else open(source)
    store, path = open_store(target), normalize_path(path)
    if join_url(store.url, path) == node.url:
        raise NodeExistsError(f"{node.url} cannot be converted onto itself")
    nodes: dict[str, Array | Group] = {"": node}
    if isinstance(node, Group):
        nodes |= dict(node.members(max_depth=None))
    if not lossy:
        lost = [
            f"{each.url}: {what}"
            for each in nodes.values()
            for what in explain_conversion(each.metadata, zarr_format)
        ]
        if lost:
            raise MetadataError(
                f"conversion to Zarr v{zarr_format} loses: {'; '.join(lost)}; pass lossy=True"
            )
    for below, each in nodes.items():
        place = key_below(path, below) if below else path
        _convert_one(each, store, place, zarr_format, concurrency, overwrite=overwrite and not below)
    return open(store, path=path, mode="r+")


def _convert_one(
    node: Array | Group,
    store: Store,
    path: str,
    zarr_format: ZarrFormat,
    concurrency: int,
    *,
    overwrite: bool,
) -> None:
    if isinstance(node, Group):
        attributes = node.attrs.asdict()
        group = GroupMetadataV3(attributes) if zarr_format == 3 else GroupMetadataV2(attributes)
        create_node(store, path, group, overwrite=overwrite)
        return
    metadata = converted(node.metadata, zarr_format)
    create_node(store, path, metadata, overwrite=overwrite)
    array = Array(store, path, metadata)
    # Chunks are those of the source, or its shards cut up. What the source does not store, the target need
    # not.
    for block in node.stream_chunks(concurrency=concurrency, missing="skip"):
        array[block.slices] = block.data
