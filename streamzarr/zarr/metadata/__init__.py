"""Metadata documents of arrays and groups, as immutable values; I/O is in ``streamzarr.zarr.nodes``."""

from typing import TypeAlias

from streamzarr.zarr.metadata.v2 import ArrayMetadataV2, GroupMetadataV2
from streamzarr.zarr.metadata.v3 import ArrayMetadataV3, GroupMetadataV3

ArrayMetadata: TypeAlias = ArrayMetadataV2 | ArrayMetadataV3
GroupMetadata: TypeAlias = GroupMetadataV2 | GroupMetadataV3
NodeMetadata: TypeAlias = ArrayMetadata | GroupMetadata

__all__ = [
    "ArrayMetadata",
    "ArrayMetadataV2",
    "ArrayMetadataV3",
    "GroupMetadata",
    "GroupMetadataV2",
    "GroupMetadataV3",
    "NodeMetadata",
]
