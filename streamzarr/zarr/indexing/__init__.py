"""Indexing: from brackets to parts of chunks. ``parse`` reads selections, ``plan`` cuts them along a grid."""

from streamzarr.zarr.indexing.parse import (
    name_axes,
    parse,
    parse_basic,
    parse_blocks,
    parse_coordinates,
    parse_mask,
    parse_orthogonal,
)
from streamzarr.zarr.indexing.plan import Index, Part, count_parts, only_part, plan
from streamzarr.zarr.indexing.selection import Indices, Points, Range, Selection

__all__ = [
    "Index",
    "Indices",
    "Part",
    "Points",
    "Range",
    "Selection",
    "count_parts",
    "name_axes",
    "only_part",
    "parse",
    "parse_basic",
    "parse_blocks",
    "parse_coordinates",
    "parse_mask",
    "parse_orthogonal",
    "plan",
]
