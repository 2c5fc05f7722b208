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

from streamzarr.errors import MetadataError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.zarr.dtypes.base import JSON
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


class ConsolidatedNodes:
    """The nodes below a group by their paths relative to it, each read only when it is asked for.

    So one that cannot be read hides no other. Groups below carry their own share, so that looking further
    down needs no reading either. Thread-safe, as what is read twice is the same.
    """

    def __init__(self, group: GroupMetadata, where: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self._documents: Mapping[str, JSON] = group.consolidated or {}
        self._ordered = sorted(self._documents)
        self._where = where
        self._limits = limits
        self._v2 = isinstance(group, GroupMetadataV2)
        self._read: dict[str, NodeMetadata] = {}
        visible = [key.rpartition("/") for key in self._ordered]
        self.paths: list[str] = (
            sorted({path for path, _, name in visible if path and name in (ZARRAY, ZGROUP)})
            if self._v2
            else [path for path in self._ordered if path]
        )
        """Of all nodes, sorted; those that cannot be read included."""
        self._known = frozenset(self.paths)

    def __contains__(self, path: str) -> bool:
        return path in self._known

    def node(self, path: str) -> NodeMetadata | None:
        """Return the node at `path`; None when there is none.

        Raises
        ------
        streamzarr.errors.MetadataError, streamzarr.errors.LimitExceededError
            There is one, and it is not valid, or asks for what is not supported.
        """
        found = self._read.get(path)
        if found is None:
            found = self._v2_node(path) if self._v2 else self._v3_node(path)
            if found is not None:
                self._read[path] = found
        return found

    def _v3_node(self, path: str) -> NodeMetadata | None:
        if path not in self._documents:
            return None
        where = f"{self._where}: consolidated_metadata: {path}"
        metadata = parse_v3(_as_object(self._documents[path], where), where, self._limits)
        if isinstance(metadata, GroupMetadataV3):
            return replace(metadata, consolidated=self._below(path))
        return metadata

    def _v2_node(self, path: str) -> NodeMetadata | None:
        attributes = self._documents.get(key_below(path, ZATTRS))
        for name in (ZARRAY, ZGROUP):
            key = key_below(path, name)
            if not path or key not in self._documents:
                continue
            where = f"{self._where}: .zmetadata: {key}"
            document = _as_object(self._documents[key], where)
            if name == ZARRAY:
                return ArrayMetadataV2.from_json(document, where, self._limits, attributes)
            return replace(
                GroupMetadataV2.from_json(document, where, attributes), consolidated=self._below(path)
            )
        return None

    def _below(self, path: str) -> dict[str, JSON]:
        """Return the documents whose keys lie below `path`; in order, these are neighbours."""
        prefix = f"{path}/"
        first = bisect_left(self._ordered, prefix)
        below = itertools.takewhile(
            lambda key: key.startswith(prefix), itertools.islice(self._ordered, first, None)
        )
        return {key.removeprefix(prefix): self._documents[key] for key in below}


def _as_object(document: JSON, where: str) -> dict[str, JSON]:
    if not isinstance(document, dict):
        raise MetadataError(f"{where}: expected an object, got {document!r}")
    return document


def with_nodes(group: GroupMetadata, nodes: Mapping[str, NodeMetadata]) -> GroupMetadata:
    """Return `group` with `nodes` by their paths, each in place of what was at or below its path.

    Groups between that are not there yet are added.
    """
    depths = {path.count("/") + 1 for path in nodes}

    def is_replaced(key: str) -> bool:
        """Tell whether one of `nodes` is at `key`, or above it."""
        names = key.split("/")
        return any(["/".join(names[:depth]) in nodes for depth in depths if depth <= len(names)])  # noqa: C419

    documents = {key: value for key, value in (group.consolidated or {}).items() if not is_replaced(key)}
    empty = new_group(group.zarr_format)
    for path, node in nodes.items():
        for above in reversed([each for each in ancestors(path) if each and each not in nodes]):
            for key, document in _documents(above, empty).items():
                documents.setdefault(key, document)
        documents |= _documents(path, node)
    return replace(group, consolidated=documents)


def changed(group: GroupMetadata, path: str, node: NodeMetadata) -> GroupMetadata:
    """Return `group` with other metadata of the node at `path`; what is below it stays."""
    documents = _documents(path, node)
    if documents.keys() <= (group.consolidated or {}).keys():
        return with_documents(group, documents)
    return with_nodes(group, {path: node})


def with_documents(group: GroupMetadata, documents: Mapping[str, JSON]) -> GroupMetadata:
    """Return `group` with consolidated `documents`, by path in v3 and by key in v2."""
    return replace(group, consolidated={**(group.consolidated or {}), **documents})


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
