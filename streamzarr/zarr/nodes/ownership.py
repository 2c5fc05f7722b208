"""What of all that is stored belongs to a node, as far as documents tell. Pure functions.

Only what names chunks is looked at: an array that cannot be read, for its codecs say, owns its chunks, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamzarr.errors import MetadataError
from streamzarr.zarr.grids.keys import ChunkKeys, V2Keys, parse_chunk_keys
from streamzarr.zarr.metadata.v2 import ZARRAY
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.paths import ancestors, name_of


@dataclass(frozen=True, slots=True)
class ChunkNames:
    """How the chunks of one array are called.

    >>> names = ChunkNames(V2Keys("."), rank=2)
    >>> names.has("0.12"), names.has("0"), names.has("0.12.bak")
    (True, False, False)
    """

    keys: ChunkKeys
    rank: int

    def has(self, name: str) -> bool:
        """Tell whether `name`, relative to the array, is a chunk's; its index may lie outside of the shape.

        A killed append leaves such chunks, and so does an array that :func:`without_elements` has emptied.
        """
        try:
            index = self.keys.decode(name)
        except ValueError:
            return False
        return len(index) in (0, self.rank or 1) and self.keys.encode(index) == name


def chunk_names(key: str, content: Mapping[str, Any] | None) -> ChunkNames | None:
    """Return how chunks are called, of the array whose document is under `key`; None when it is none."""
    shape = (content or {}).get("shape")
    if content is None or not isinstance(shape, list):
        return None
    if name_of(key) == ZARRAY:
        separator = content.get("dimension_separator", ".")
        return ChunkNames(V2Keys(separator), len(shape)) if separator in (".", "/") else None
    if name_of(key) != ZARR_JSON or content.get("node_type") != "array":
        return None
    try:
        return ChunkNames(parse_chunk_keys(content.get("chunk_key_encoding"), key), len(shape))
    except MetadataError:  # an encoding that is not known here
        return None


def owner_of(key: str, path: str, names: Mapping[str, Sequence[ChunkNames]]) -> str | None:
    """Return the path of the array, at `path` or below, of which `key` is a chunk; None when there is none.

    >>> owner_of("a/x/c/0", "a", {"a/x": [ChunkNames(parse_chunk_keys("default", ""), 1)]})
    'a/x'
    """
    for above in ancestors(key):
        relative = key[len(above) :].lstrip("/")
        if any(each.has(relative) for each in names.get(above, ())):
            return above
        if above == path:
            break
    return None


def without_elements(key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of the same array with a length of 0 along each axis, or of a group on its own.

    An array without dimensions gets one, and so does not show its chunk.
    """
    changed = {name: value for name, value in content.items() if name != "consolidated_metadata"}
    if chunk_names(key, content) is None:
        return changed
    changed["shape"] = [0] * (len(content["shape"]) or 1)
    if not content["shape"]:
        changed.pop("dimension_names", None)
        one = {"name": "regular", "configuration": {"chunk_shape": [1]}}
        changed |= {"chunks": [1]} if name_of(key) == ZARRAY else {"chunk_grid": one}
    return changed
