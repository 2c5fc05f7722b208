"""Metadata that is read again only when it has changed, as its etag tells: no guess at how long it holds."""

from __future__ import annotations

from typing import TypeAlias

from streamzarr.errors import KeyNotFoundError
from streamzarr.limits import Limits
from streamzarr.stores import Store, join_url
from streamzarr.zarr.chunks.cache import ChunkCache
from streamzarr.zarr.metadata import NodeMetadata
from streamzarr.zarr.metadata.v2 import ZARRAY, ZATTRS, ZGROUP, ZMETADATA
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.documents import read_node
from streamzarr.zarr.nodes.paths import key_below
from streamzarr.zarr.settings import ZarrFormat

Version: TypeAlias = tuple[str | None, ...]
"""Etags of the documents of a node; None for one that is not there."""


def node_version(store: Store, path: str, zarr_format: ZarrFormat | None = None) -> Version:
    """Return what changes whenever the metadata at `path` does; costs a ``head`` for v3, and four for v2.

    Ask for it before reading the metadata: what is read then is at least as new as the version says.
    """
    version: list[str | None] = []
    if zarr_format in (None, 3):
        version.append(_etag(store, key_below(path, ZARR_JSON)))
        if version[0] is not None or zarr_format == 3:
            return tuple(version)
    version.extend(_etag(store, key_below(path, name)) for name in (ZARRAY, ZATTRS, ZGROUP, ZMETADATA))
    return tuple(version)


def find_node(
    store: Store,
    path: str,
    zarr_format: ZarrFormat | None,
    limits: Limits,
    cache: ChunkCache | None,
) -> NodeMetadata:
    """Return the metadata at `path`, from the cache while it is what the store has; see :func:`read_node`."""
    if cache is None:
        return read_node(store, path, zarr_format, limits)
    url = join_url(store.url, path)
    place = (url, zarr_format, limits)
    version = node_version(store, path, zarr_format)
    kept: tuple[Version, NodeMetadata] | None = cache.node(place)
    if kept is not None and kept[0] == version:
        return kept[1]
    metadata = read_node(store, path, zarr_format, limits)
    cache.keep_node(url, place, (version, metadata))
    return metadata


def _etag(store: Store, key: str) -> str | None:
    try:
        return store.head(key).etag
    except KeyNotFoundError:
        return None
