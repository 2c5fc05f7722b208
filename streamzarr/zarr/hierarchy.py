"""Whole hierarchies: consolidate their metadata, copy them, save and load arrays in one call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from streamzarr.errors import NodeExistsError, UnsupportedError
from streamzarr.stores import Store, StoreLike, join_url, open_store
from streamzarr.zarr.api import create_array, create_group, open, open_group  # noqa: A004
from streamzarr.zarr.array import Array
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.group import Group
from streamzarr.zarr.metadata import GroupMetadata
from streamzarr.zarr.metadata import consolidated as consolidation
from streamzarr.zarr.metadata.v2 import ZARRAY, ZGROUP, ZMETADATA
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes import ZarrFormat, change_node, create_node
from streamzarr.zarr.paths import key_below, normalize_path

STREAM_ATTRIBUTE = "streamzarr"
"""Where a stream group keeps its commit record; its own ``zarr.json`` is what its readers go by."""


def consolidate_metadata(store: StoreLike, *, path: str = "", zarr_format: ZarrFormat | None = None) -> Group:
    """Gather the metadata of all nodes below a group in the group, so that readers need one request.

    What is gathered is what counts from then on for readers of the group (trap T20): consolidate again after
    changing a child in another way than through the group. v3 keeps it in ``zarr.json``, v2 in
    ``.zmetadata``.

    Examples
    --------
    >>> import streamzarr.zarr as zarr
    >>> root = zarr.create_group("memory://shown")
    >>> array = root.create_array("a/b", shape=(4,), dtype="i4")
    >>> sorted(zarr.consolidate_metadata("memory://shown").metadata.consolidated)
    ['a', 'a/b']

    Raises
    ------
    streamzarr.errors.UnsupportedError
        A group below is a stream: its shapes change with every commit and would be frozen here.
    """
    root = open_group(store, path=path, mode="r+", zarr_format=zarr_format, use_consolidated=False)
    gathered: GroupMetadata = replace(root.metadata, consolidated={})
    if root.zarr_format == 2:
        gathered = consolidation.with_root(gathered)
    for name, node in root.members(max_depth=None):
        if isinstance(node, Group) and STREAM_ATTRIBUTE in node.attrs:
            raise UnsupportedError(
                f"{node.url} is a stream; consolidating {root.url} would freeze its shapes"
            )
        metadata = node.metadata
        if not isinstance(node, Array):
            metadata = replace(node.metadata, consolidated=None)
        gathered = consolidation.with_node(gathered, name, metadata)
    documents = gathered.consolidated
    changed = change_node(
        root.store, root.path, type(root.metadata), lambda now: replace(now, consolidated=documents)
    )
    return Group(root.store, root.path, changed)


def copy(
    source: StoreLike | Array | Group, target: StoreLike, *, path: str = "", overwrite: bool = False
) -> Array | Group:
    """Copy an array or a group with all that is below it, byte by byte, and return the copy.

    Chunks are written before the metadata that shows them, a child's metadata before its parent's, so a copy
    that was cut short is not taken for a whole one. For another format, chunk shape or codec see ``convert``
    and the chunk jobs.

    Parameters
    ----------
    path
        Where in `target`.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is no source.
    streamzarr.errors.NodeExistsError
        Something is at the target and `overwrite` is false.
    """
    node = source if isinstance(source, Array | Group) else open(source)
    store, path = open_store(target), normalize_path(path)
    if join_url(store.url, path) == node.url:
        raise NodeExistsError(f"{node.url} cannot be copied onto itself")
    # Also checks the names, the nodes above and what is there; then the node is hidden until all of it is
    # there.
    create_node(store, path, node.metadata, overwrite=overwrite)
    for name in (ZARR_JSON, ZARRAY, ZGROUP):
        store.delete(key_below(path, name))
    for key in _data_first(node.store, node.path):
        below = key[len(node.path) :].lstrip("/")
        store.put(key_below(path, below), node.store.get(key))
    return open(store, path=path, mode="r+")


def _data_first(store: Store, path: str) -> Iterator[str]:
    """Yield the keys below `path`: chunks, then documents from the deepest to the shallowest."""
    documents = []
    for key in store.list(path):
        if key.rpartition("/")[2] in (ZARR_JSON, ZARRAY, ZGROUP, ZMETADATA):
            documents.append(key)
        else:
            yield key
    yield from sorted(documents, key=lambda key: (-key.count("/"), key))


def save(store: StoreLike, *arrays: Any, **named: Any) -> None:
    """Save one array as an array, or several as a group: ``arr_0``, ``arr_1``, … and by name.

    >>> import streamzarr.zarr as zarr
    >>> zarr.save("memory://saved", x=[1, 2], y=[3.5])
    >>> zarr.load("memory://saved")["x"]
    array([1, 2])

    Raises
    ------
    streamzarr.errors.NodeExistsError
        Something is there already.
    """
    if not arrays and not named:
        raise ValueError("expected at least one array to save")
    if len(arrays) == 1 and not named:
        create_array(store, data=arrays[0])
        return
    group = create_group(store)
    for name, data in {**{f"arr_{n}": data for n, data in enumerate(arrays)}, **named}.items():
        group.create_array(name, data=data)


def load(store: StoreLike, *, path: str = "") -> NDArray | dict[str, NDArray]:
    """Return an array's values, or those of every array directly in a group by name."""
    node = open(store, path=path)
    if isinstance(node, Array):
        return node.read()
    return {name: array.read() for name, array in node.arrays()}
