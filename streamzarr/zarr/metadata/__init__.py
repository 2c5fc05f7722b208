"""Metadata documents of arrays and groups, as immutable values; I/O is in ``streamzarr.zarr.nodes``."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.zarr.metadata.document import plain_attributes
from streamzarr.zarr.metadata.v2 import ArrayMetadataV2, GroupMetadataV2
from streamzarr.zarr.metadata.v3 import ArrayMetadataV3, GroupMetadataV3

ArrayMetadata: TypeAlias = ArrayMetadataV2 | ArrayMetadataV3
GroupMetadata: TypeAlias = GroupMetadataV2 | GroupMetadataV3
NodeMetadata: TypeAlias = ArrayMetadata | GroupMetadata


def new_group(
    zarr_format: int,
    attributes: Mapping[str, Any] | None = None,
    where: str = "create_group",
    limits: Limits = DEFAULT_LIMITS,
) -> GroupMetadata:
    """Return the metadata of a new group; raises as :func:`plain_attributes` where JSON cannot hold them."""
    kind = GroupMetadataV3 if zarr_format == 3 else GroupMetadataV2
    return kind(plain_attributes(attributes, where, limits))


__all__ = [
    "ArrayMetadata",
    "ArrayMetadataV2",
    "ArrayMetadataV3",
    "GroupMetadata",
    "GroupMetadataV2",
    "GroupMetadataV3",
    "NodeMetadata",
    "new_group",
]
