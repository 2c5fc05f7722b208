"""Consolidated metadata: the documents of all nodes below a group, kept in the group.

v3: inline in the group's ``zarr.json``, by path. v2: ``.zmetadata``, by key. Pure functions; traps T20 and
T21.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.zarr.metadata import (
    ArrayMetadataV2,
    GroupMetadata,
    GroupMetadataV2,
    GroupMetadataV3,
    NodeMetadata,
    new_group,
)
from streamzarr.zarr.metadata.v2 import ZARRAY, ZATTRS, ZGROUP
from streamzarr.zarr.metadata.v3 import parse_v3
from streamzarr.zarr.nodes.paths import ancestors, key_below


def nodes(group: GroupMetadata, where: str, limits: Limits = DEFAULT_LIMITS) -> dict[str, NodeMetadata]:
    """Return every node below `group` by its path relative to it. The group must have consolidated metadata.

    Groups below carry their own share of it, so that looking further down needs no reading either.
    """
    documents = group.consolidated or {}
    if isinstance(group, GroupMetadataV2):
        return _v2_nodes(documents, where, limits)
    found: dict[str, NodeMetadata] = {}
    paths = sorted(documents)
    for path in paths:
        metadata = parse_v3(documents[path], f"{where}: consolidated_metadata: {path}", limits)
        if isinstance(metadata, GroupMetadataV3):
            metadata = replace(metadata, consolidated=_below(documents, paths, path))
        found[path] = metadata
    return found


def _v2_nodes(documents: dict[str, Any], where: str, limits: Limits) -> dict[str, NodeMetadata]:
    found: dict[str, NodeMetadata] = {}
    keys = sorted(documents)
    for key in keys:
        path, _, name = key.rpartition("/")
        here = f"{where}: .zmetadata: {key}"
        attributes = documents.get(key_below(path, ZATTRS))
        if name == ZARRAY:
            found[path] = ArrayMetadataV2.from_json(documents[key], here, limits, attributes)
        elif name == ZGROUP and path:
            document = {"zarr_format": documents[key].get("zarr_format")}
            group = GroupMetadataV2.from_json(document, here, attributes)
            found[path] = replace(group, consolidated=_below(documents, keys, path))
    return found


def _below(documents: dict[str, Any], ordered: list[str], path: str) -> dict[str, Any]:
    """Return the documents whose keys lie below `path`; in order, these are neighbours."""
    prefix = f"{path}/"
    below = itertools.takewhile(
        lambda key: key.startswith(prefix), itertools.islice(ordered, bisect_left(ordered, prefix), None)
    )
    return {key.removeprefix(prefix): documents[key] for key in below}


def with_node(group: GroupMetadata, path: str, node: NodeMetadata) -> GroupMetadata:
    """Return `group` with `node` at `path` in its consolidated metadata, in place of what was at or below it.

    Groups between that are not there yet are added.
    """
    return with_nodes(group, {path: node})


def with_nodes(group: GroupMetadata, nodes: Mapping[str, NodeMetadata]) -> GroupMetadata:
    """Return `group` with `nodes` by their paths; see :func:`with_node`."""
    gone = {
        key
        for key in group.consolidated or {}
        if any(each in nodes for each in (key, *ancestors(key)) if each)
    }
    documents = {key: value for key, value in (group.consolidated or {}).items() if key not in gone}
    empty = new_group(group.zarr_format)
    for path, node in nodes.items():
        for above in reversed([each for each in ancestors(path) if each and each not in nodes]):
            for key, document in _documents(above, empty).items():
                documents.setdefault(key, document)
        documents |= _documents(path, node)
    return replace(group, consolidated=documents)


def with_root(group: GroupMetadata) -> GroupMetadata:
    """Return a v2 `group` with its own documents consolidated, too, where zarr-python expects them."""
    own = _documents("", replace(group, consolidated=None))
    return replace(group, consolidated=own | (group.consolidated or {}))


def without(group: GroupMetadata, path: str) -> GroupMetadata:
    """Return `group` without what its consolidated metadata says about `path` and below."""
    documents = {
        key: value
        for key, value in (group.consolidated or {}).items()
        if key != path and not key.startswith(f"{path}/")
    }
    return replace(group, consolidated=documents)


def _documents(path: str, node: NodeMetadata) -> dict[str, Any]:
    if node.zarr_format == 3:
        return {path: node.to_json()}
    return {key_below(path, name): document for name, document in node.documents().items()}
