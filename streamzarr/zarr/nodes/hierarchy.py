"""Whole hierarchies: consolidate their metadata, copy them, save and load arrays in one call."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

from streamzarr.errors import UnsupportedError
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.stores import Store, StoreLike, join_url, open_store
from streamzarr.zarr.api import create_array, open, open_array, open_group  # noqa: A004
from streamzarr.zarr.array import Array
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.dtypes.base import JSON
from streamzarr.zarr.group import Group
from streamzarr.zarr.metadata import GroupMetadata, NodeMetadata, new_group
from streamzarr.zarr.metadata import consolidated as consolidation
from streamzarr.zarr.metadata.document import parse_document
from streamzarr.zarr.metadata.v2 import ZARRAY, ZATTRS, ZGROUP, ZMETADATA
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.create_many import NodeSpec
from streamzarr.zarr.nodes.creation import Creation
from streamzarr.zarr.nodes.documents import UNREADABLE, change_node, get_optional
from streamzarr.zarr.nodes.keeper import bare
from streamzarr.zarr.nodes.members import Unreadable
from streamzarr.zarr.nodes.overwrite import marked, refuse_itself
from streamzarr.zarr.nodes.ownership import chunk_names, without_elements
from streamzarr.zarr.nodes.paths import VISIBLE, key_below, name_of, normalize_path, parent_of
from streamzarr.zarr.nodes.streams import STREAM_ATTRIBUTE, check_no_stream
from streamzarr.zarr.settings import ZarrFormat, format_of_new


def consolidate_metadata(store: StoreLike, path: str = "", *, zarr_format: ZarrFormat | None = None) -> Group:
    """Gather the metadata of all nodes below a group in the group, so that readers need one request.

    What is gathered is what counts from then on for readers of the group (trap T20): consolidate again after
    changing a child in another way than through the group. v3 keeps it in ``zarr.json``, v2 in
    ``.zmetadata``. Documents that cannot be read here, for their data type say, are gathered as they are.

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
        A group below is a stream: its shapes change with every commit and would be frozen here. Or the group
        is one itself, and consolidated by its writer.
    """
    root = open_group(store, path=path, mode="r+", zarr_format=zarr_format, use_consolidated=False)
    check_no_stream(root.url, root.attrs)
    gathered: GroupMetadata = root.metadata.with_consolidated({})
    if root.zarr_format == 2:
        gathered = consolidation.with_root(gathered)
    nodes: dict[str, NodeMetadata] = {}
    unreadable: dict[str, JSON] = {}
    for name, node in root.walk(max_depth=None):
        if isinstance(node, Unreadable):
            unreadable |= _documents_as_stored(root, name, node)
            continue
        if isinstance(node, Group) and STREAM_ATTRIBUTE in node.attrs:
            raise UnsupportedError(
                f"{node.url} is a stream; consolidating {root.url} would freeze its shapes"
            )
        nodes[name] = bare(node.metadata)
    gathered = consolidation.with_documents(consolidation.with_nodes(gathered, nodes), unreadable)
    documents = gathered.consolidated or {}
    changed = change_node(
        root.store, root.path, type(root.metadata), lambda now: now.with_consolidated(documents)
    )
    return Group(root.store, root.path, changed.after)


def _documents_as_stored(group: Group, name: str, why: Unreadable) -> dict[str, JSON]:
    """Return the documents of a node below that cannot be read here, and perhaps can elsewhere, by key.

    What is no JSON object, or too large, is left out, with a warning: it is found in its own place.
    """
    found: dict[str, JSON] = {}
    for document in (ZARR_JSON,) if group.zarr_format == 3 else (ZARRAY, ZGROUP, ZATTRS):
        key = key_below(key_below(group.path, name), document)
        try:
            data = get_optional(group.store, key, DEFAULT_LIMITS.max_metadata_bytes)
            if data is not None:
                place = name if group.zarr_format == 3 else key_below(name, document)
                found[place] = parse_document(data, join_url(group.store.url, key))
        except UNREADABLE:
            warnings.warn(f"{group.url}: {name!r} is not consolidated: {why}", stacklevel=3)
            return {}
    return found


def copy(
    source: StoreLike | Array | Group,
    target: StoreLike,
    *,
    path: str = "",
    overwrite: bool = False,
    concurrency: int = 4,
) -> Array | Group:
    """Copy an array or a group with all that is below it, byte by byte, and return the copy.

    Chunks are written before the metadata that shows them, a child's metadata before its parent's, so a copy
    that was cut short is not taken for a whole one: an array is empty, and of a group nothing is seen. For
    another format, chunk shape or codec see ``convert``
    and the chunk jobs.

    Parameters
    ----------
    path
        Where in `target`.
    concurrency
        How many chunks are copied at a time; each is held in memory as it is stored.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is no source.
    streamzarr.errors.NodeExistsError
        Something is at the target and `overwrite` is false, or foreign files are; or source and target
        overlap.
    """
    node = source if isinstance(source, Array | Group) else open(source)
    store, path = open_store(target), normalize_path(path)
    refuse_itself(node.url, join_url(store.url, path), "copied", overwrite=overwrite)
    with Creation(store) as creation:
        # Also checks the names, the nodes above and what is there.
        creation.begin(path, node.metadata, overwrite=overwrite, has_data=isinstance(node, Array))
        _copy_below(node, store, path, overwrite=overwrite, concurrency=concurrency)
    return open(store, path=path, mode="r+")


def _copy_below(node: Array | Group, store: Store, path: str, *, overwrite: bool, concurrency: int) -> None:
    def place_of(key: str) -> str:
        return key_below(path, key[len(node.path) :].lstrip("/"))

    # Until all of it is there a group is hidden, and arrays below are empty; a chunk without an array would
    # belong to nothing.
    documents = [key for key in node.store.list(node.path) if _is_document(key)]
    if isinstance(node, Group):
        store.delete_many(key_below(path, name) for name in VISIBLE)
    for key in documents:
        content = _content(node.store, key) if isinstance(node, Group) else None
        if content is not None and chunk_names(key, content) is not None:
            store.put(place_of(key), json.dumps(without_elements(key, content)).encode())

    parallel.for_each(
        lambda key: store.put(place_of(key), node.store.get(key)),
        (key for key in node.store.list(node.path) if not _is_document(key)),
        concurrency,
    )
    for key in sorted(
        documents, key=lambda key: (-key.count("/"), key)
    ):  # from the deepest to the shallowest
        data = node.store.get(key)
        store.put(place_of(key), marked(data) if overwrite and parent_of(key) == node.path else data)


def _content(store: Store, key: str) -> dict[str, Any] | None:
    """Return the document under `key`; None where it cannot be read, and so shows nothing."""
    try:
        return parse_document(store.get(key), join_url(store.url, key))
    except UNREADABLE:
        return None


def _is_document(key: str) -> bool:
    """Tell whether `key` is of a document that makes a node visible."""
    return name_of(key) in (*VISIBLE, ZMETADATA)


def save(
    store: StoreLike, *arrays: Any, path: str = "", zarr_format: ZarrFormat | None = None, **named: Any
) -> None:
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
    if len(arrays) == 1 and not named:
        save_array(store, arrays[0], path=path, zarr_format=zarr_format)
    else:
        save_group(store, *arrays, path=path, zarr_format=zarr_format, **named)


def save_array(store: StoreLike, array: Any, *, path: str = "", **options: Any) -> None:
    """Save an array of numpy, or anything that becomes one; options as in ``create_array``.

    >>> import streamzarr.zarr as zarr
    >>> zarr.save_array("memory://one", [1, 2, 3], chunks=2)
    >>> zarr.load("memory://one")
    array([1, 2, 3])
    """
    create_array(store, path=path, data=array, **options)


def save_group(
    store: StoreLike, *arrays: Any, path: str = "", zarr_format: ZarrFormat | None = None, **named: Any
) -> None:
    """Save arrays as a group: ``arr_0``, ``arr_1``, … and by name; see :func:`save`."""
    data = {f"arr_{n}": array for n, array in enumerate(arrays)} | named
    if not data:
        raise ValueError("expected at least one array to save")
    opened, path, made = open_store(store), normalize_path(path), new_group(format_of_new(zarr_format))
    with Creation(opened) as creation:
        creation.begin(path, made)
        Group(opened, path, made).create_hierarchy({name: {"data": array} for name, array in data.items()})


def load(
    store: StoreLike, path: str = "", *, zarr_format: ZarrFormat | None = None
) -> NDArray | dict[str, NDArray]:
    """Return an array's values, or those of every array directly in a group by name."""
    node = open(store, path=path, zarr_format=zarr_format)
    if isinstance(node, Array):
        return node.read()
    return {name: array.read() for name, array in node.arrays()}


def load_array(store: StoreLike, path: str = "", *, zarr_format: ZarrFormat | None = None) -> NDArray:
    """Return the values of the array at `path`.

    >>> import streamzarr.zarr as zarr
    >>> zarr.save_array("memory://loaded", [1.5, 2])
    >>> zarr.load_array("memory://loaded")
    array([1.5, 2. ])
    """
    return open_array(store, path=path, mode="r", zarr_format=zarr_format).read()


def open_consolidated(store: StoreLike, **options: Any) -> Group:
    """Open a group that must have consolidated metadata; options as in ``open_group``.

    Raises
    ------
    streamzarr.errors.MetadataError
        It has none.
    """
    return open_group(store, use_consolidated=True, **options)


def create_hierarchy(
    store: StoreLike,
    nodes: Mapping[str, NodeSpec],
    *,
    path: str = "",
    zarr_format: ZarrFormat | None = None,
    overwrite: bool = False,
    concurrency: int = 10,
) -> dict[str, Array | Group]:
    """Create arrays and groups below the group at `path`, which is made when it is not there.

    See :meth:`Group.create_hierarchy <streamzarr.zarr.Group.create_hierarchy>`, which says what `nodes` are.

    Examples
    --------
    >>> import numpy as np
    >>> import streamzarr.zarr as zarr
    >>> made = zarr.create_hierarchy("memory://", {"a/x": {"data": np.arange(3)}, "b": {}})
    >>> sorted(made), made["a/x"][:]
    (['a', 'a/x', 'b'], array([0, 1, 2]))
    """
    group = open_group(store, path=path, mode="a", zarr_format=zarr_format)
    return group.create_hierarchy(nodes, overwrite=overwrite, concurrency=concurrency)
