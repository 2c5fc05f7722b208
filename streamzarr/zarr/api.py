"""Opening and creating arrays and groups: the functions that ``import streamzarr`` offers.

Names and arguments follow zarr-python 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

from streamzarr.errors import (
    ConfigError,
    ContainsArrayError,
    ContainsGroupError,
    MetadataError,
    NodeNotFoundError,
)
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, StoreLike, join_url, open_store
from streamzarr.zarr.array import Array
from streamzarr.zarr.chunks.cache import CacheLike, ChunkCache, as_cache
from streamzarr.zarr.configure import ChunksLike, CodecLike, CodecsLike, ShapeLike, ShardsLike
from streamzarr.zarr.create import make_array
from streamzarr.zarr.grids.keys import ChunkKeys
from streamzarr.zarr.group import Group
from streamzarr.zarr.metadata import (
    ArrayMetadataV2,
    ArrayMetadataV3,
    NodeMetadata,
    new_group,
)
from streamzarr.zarr.nodes.documents import create_node, find_or_make
from streamzarr.zarr.nodes.paths import normalize_path
from streamzarr.zarr.nodes.revalidate import find_node
from streamzarr.zarr.settings import ZarrFormat, format_of_new

N = TypeVar("N")

Mode: TypeAlias = Literal["r", "r+", "a", "w", "w-"]
"""``r`` read; ``r+`` read and write; ``a`` the same, and create when missing; ``w`` create anew, replacing
the node that is there; ``w-`` create, and fail when something is there."""


def create_array(
    store: StoreLike,
    *,
    name: str | None = None,
    path: str = "",
    shape: ShapeLike | None = None,
    dtype: Any = None,
    data: Any = None,
    chunks: ChunksLike | Literal["auto"] | None = "auto",
    shards: ShardsLike | None = None,
    filters: CodecsLike = "auto",
    compressors: CodecsLike = "auto",
    serializer: CodecLike = "auto",
    fill_value: Any = None,
    order: Literal["C", "F"] = "C",
    zarr_format: ZarrFormat | None = None,
    attributes: Mapping[str, Any] | None = None,
    dimension_names: Iterable[str | None] | None = None,
    chunk_key_encoding: ChunkKeys | Mapping[str, Any] | str | None = None,
    overwrite: bool = False,
    write_empty_chunks: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    cache: CacheLike = None,
) -> Array:
    """Create an array, and the groups above it that are not there yet.

    Parameters
    ----------
    store
        A URL, a local path or a store.
    path, name
        Where in the store; empty is its root. Both mean the same: zarr-python has `name` here.
    data
        An array to store, which then gives shape and dtype.
    chunks
        Shape of the chunks, one length for all axes, or ``"auto"``; -1 in it is the whole axis. A list in it
        gives each chunk along that axis its own length, ``[[3, 4, 3], 5]``: the v3 grid ``rectilinear``.
    shards
        Shape of the shards, in multiples of chunks, or lists as in `chunks`; or both a shape and where the
        index is: ``{"shape": ..., "index_location": "start"}``; or ``"auto"``: two chunks along each axis
        that has more than eight.
    filters, serializer, compressors
        Codecs before, from array to bytes, and after: names (``"zstd"``, ``"blosc"``, ``"gzip"``),
        configurations, codecs of ours, of numcodecs or of zarr-python; lists of these; None for none. In v2
        `compressors` is one numcodecs codec. ``"auto"`` is zstd.
    fill_value
        What was never written reads as; None is zero (NaT for times).
    order
        Layout of chunks in v2. In v3 give a ``transpose`` filter instead.
    chunk_key_encoding
        ``"/"``, ``"."``, or a v3 configuration; its name may be one that
        :func:`streamzarr.zarr.chunk_keys.register` has made known.
    overwrite
        Replace the node that is at `path`, with all that is below it. Nothing but Zarr arrays and groups is
        ever removed.
    write_empty_chunks
        Store chunks that hold nothing but the fill value; else their keys are removed.
    cache
        Where chunks are kept decoded, for reads to come: a :class:`~streamzarr.zarr.ChunkCache`, which
        several arrays may share, or the bytes of a new one.

    Raises
    ------
    streamzarr.errors.NodeExistsError
        Something is at `path`, or a node above it is an array; with `overwrite`, foreign files are there, or
        `data` is an array that lies there. Nothing has been changed.
    streamzarr.errors.ConfigError, streamzarr.errors.MetadataError
        The arguments describe no Zarr array.

    Examples
    --------
    >>> z = create_array("memory://", shape=(100, 100), chunks=(50, 50), dtype="f4", compressors="blosc")
    >>> z.chunks, z.cdata_shape
    ((50, 50), (2, 2))
    """
    return make_array(
        open_store(store),
        _path_or_name(path, name),
        data=data,
        shape=shape,
        dtype=dtype,
        overwrite=overwrite,
        write_empty_chunks=write_empty_chunks,
        limits=limits,
        cache=as_cache(cache),
        chunks=chunks,
        shards=shards,
        filters=filters,
        compressors=compressors,
        serializer=serializer,
        fill_value=fill_value,
        order=order,
        zarr_format=format_of_new(zarr_format),
        attributes=attributes,
        dimension_names=dimension_names,
        chunk_key_encoding=chunk_key_encoding,
    )


def create_group(
    store: StoreLike,
    *,
    path: str = "",
    attributes: Mapping[str, Any] | None = None,
    zarr_format: ZarrFormat | None = None,
    overwrite: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    cache: CacheLike = None,
) -> Group:
    """Create a group, and the groups above it that are not there yet.

    >>> create_group("memory://", attributes={"run": 7}).attrs["run"]
    7

    Raises
    ------
    streamzarr.errors.NodeExistsError
        Something is at `path`, or a node above it is an array; with `overwrite`, foreign files are there.
    """
    zarr_format = format_of_new(zarr_format)
    if zarr_format not in (2, 3):
        raise ConfigError(f"zarr_format: expected 2 or 3, got {zarr_format!r}")
    opened, path = open_store(store), normalize_path(path)
    metadata = new_group(zarr_format, attributes, join_url(opened.url, path), limits)
    create_node(opened, path, metadata, overwrite=overwrite, limits=limits)
    return Group(opened, path, metadata, limits=limits, cache=as_cache(cache))


def open_array(
    store: StoreLike,
    *,
    path: str = "",
    mode: Mode = "r",
    zarr_format: ZarrFormat | None = None,
    write_empty_chunks: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    cache: CacheLike = None,
    **create: Any,
) -> Array:
    """Open an array; modes ``a``, ``w`` and ``w-`` create it from further arguments of ``create_array``.

    Parameters
    ----------
    zarr_format
        2 or 3; None takes what is there, v3 where both are.
    cache
        As in ``create_array``; with one, metadata that it knows is not read again while its etag is the same.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is nothing to open, or it is a group.
    streamzarr.errors.MetadataError
        The metadata is not valid, or asks for what is not supported; for a known format error it says where.
    """
    opened, path, kept = _open(store, mode), normalize_path(path), as_cache(cache)
    if mode in ("r", "r+") and create:
        raise ConfigError(f"mode {mode!r} creates nothing, but got {', '.join(sorted(create))}")

    def find() -> Array:
        found = find_node(opened, path, zarr_format, limits, kept)
        if not isinstance(found, ArrayMetadataV2 | ArrayMetadataV3):
            kind = ContainsGroupError if mode == "a" else NodeNotFoundError
            raise kind(f"{_place(opened, path)} is a group, expected an array")
        return Array(opened, path, found, write_empty_chunks=write_empty_chunks, limits=limits, cache=kept)

    def make() -> Array:
        return create_array(
            opened,
            path=path,
            zarr_format=zarr_format,
            overwrite=mode == "w",
            write_empty_chunks=write_empty_chunks,
            limits=limits,
            cache=kept,
            **create,
        )

    return _open_or_create(mode, find, make)


def open_group(
    store: StoreLike,
    *,
    path: str = "",
    mode: Mode = "r",
    zarr_format: ZarrFormat | None = None,
    use_consolidated: bool | None = None,
    attributes: Mapping[str, Any] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    cache: CacheLike = None,
) -> Group:
    """Open a group; with modes ``a``, ``w`` and ``w-`` create it.

    Parameters
    ----------
    use_consolidated
        None uses consolidated metadata where the group has some, True insists on it, False reads each child.
    cache
        For all arrays below; as in ``open_array``.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is nothing to open, or it is an array.
    streamzarr.errors.MetadataError
        The metadata is not valid, or has no consolidated metadata while `use_consolidated` is true.
    """
    opened, path, kept = _open(store, mode), normalize_path(path), as_cache(cache)

    def find() -> Group:
        found = find_node(opened, path, zarr_format, limits, kept)
        if mode == "a" and isinstance(found, ArrayMetadataV2 | ArrayMetadataV3):
            raise ContainsArrayError(f"{_place(opened, path)} is an array, expected a group")
        return _group(opened, path, found, use_consolidated, limits, kept)

    def make() -> Group:
        return create_group(
            opened,
            path=path,
            attributes=attributes,
            zarr_format=zarr_format,
            overwrite=mode == "w",
            limits=limits,
            cache=kept,
        )

    return _open_or_create(mode, find, make)


def open(  # noqa: A001 - zarr-python's name
    store: StoreLike,
    *,
    path: str = "",
    mode: Mode = "r",
    zarr_format: ZarrFormat | None = None,
    limits: Limits = DEFAULT_LIMITS,
    cache: CacheLike = None,
    **create: Any,
) -> Array | Group:
    """Open what is at `path`; a mode that creates makes an array when given shape or data, else a group.

    >>> create_array("memory://both", shape=(2,), dtype="i4").shape
    (2,)
    >>> type(open("memory://both")).__name__
    'Array'
    """
    opened, place, kept = _open(store, mode), normalize_path(path), as_cache(cache)

    def find() -> Array | Group:
        found = find_node(opened, place, zarr_format, limits, kept)
        if isinstance(found, ArrayMetadataV2 | ArrayMetadataV3):
            return Array(opened, place, found, limits=limits, cache=kept)
        return _group(opened, place, found, None, limits, kept)

    def make() -> Array | Group:
        kind: Any = open_array if "shape" in create or "data" in create else open_group
        made: Array | Group = kind(
            opened,
            path=place,
            mode="w-" if mode == "a" else mode,
            zarr_format=zarr_format,
            limits=limits,
            cache=kept,
            **create,
        )
        return made

    return _open_or_create(mode, find, make)


def _open_or_create(mode: Mode, find: Callable[[], N], make: Callable[[], N]) -> N:
    if mode in ("w", "w-"):
        return make()
    return find() if mode in ("r", "r+") else find_or_make(find, make)


def _path_or_name(path: str, name: str | None) -> str:
    if name is not None and path:
        raise ConfigError(f"path {path!r} and name {name!r} mean the same; pass one of them")
    return normalize_path(path if name is None else name)


def _open(store: StoreLike, mode: Mode) -> Store:
    if mode not in ("r", "r+", "a", "w", "w-"):
        raise ConfigError(f"mode: expected 'r', 'r+', 'a', 'w' or 'w-', got {mode!r}")
    return open_store(store, mode="r" if mode == "r" else "r+")


def _group(
    store: Store,
    path: str,
    found: NodeMetadata,
    use_consolidated: bool | None,
    limits: Limits,
    cache: ChunkCache | None,
) -> Group:
    if isinstance(found, ArrayMetadataV2 | ArrayMetadataV3):
        raise NodeNotFoundError(f"{_place(store, path)} is an array, expected a group")
    if use_consolidated is not False and found.consolidated_error is not None:
        raise MetadataError(
            f"{found.consolidated_error}; open the group with use_consolidated=False, or consolidate it again"
        )
    if use_consolidated and found.consolidated is None:
        raise MetadataError(f"{_place(store, path)} has no consolidated metadata")
    return Group(
        store, path, found, use_consolidated=use_consolidated is not False, limits=limits, cache=cache
    )


def _place(store: Store, path: str) -> str:
    return join_url(store.url, path)
