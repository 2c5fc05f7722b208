"""The streams below a group: the partitions of a topic, each a stream of its own."""

from __future__ import annotations

from streamzarr.errors import NodeNotFoundError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import StoreLike, join_url, open_store
from streamzarr.stores.parallel import in_parallel
from streamzarr.stream.snapshot import Snapshot, snapshot_of
from streamzarr.stream.view import CACHE_BYTES, View, open_view
from streamzarr.zarr.chunks.cache import CacheLike, ChunkCache, as_cache
from streamzarr.zarr.nodes.paths import normalize_path


def open_streams(
    store: StoreLike, path: str = "", *, cache: CacheLike = CACHE_BYTES, limits: Limits = DEFAULT_LIMITS
) -> dict[str, Snapshot]:
    """Return the streams directly below the group at `path`, by name; they share one cache.

    This lists the group's members, which opening and following one stream never does. Groups among them that
    are no streams are left out.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is no stream.
    streamzarr.errors.MetadataError
        An array lies among them, or what is stored is damaged.

    Examples
    --------
    >>> import streamzarr as sz
    >>> for partition in ("p00000", "p00001"):
    ...     with sz.StreamWriter("memory://lab/ticks", partition, schema={"value": "i4"}) as writer:
    ...         writer.append({"value": [1, 2]})
    >>> {name: each.rows for name, each in open_streams("memory://lab/ticks").items()}
    {'p00000': 2, 'p00001': 2}
    """
    opened, path = open_store(store, mode="r"), normalize_path(path)
    shared = as_cache(cache) or ChunkCache(CACHE_BYTES)

    def view(prefix: str) -> View | None:
        try:
            return open_view(opened, prefix.rstrip("/"), limits, shared)
        except NodeNotFoundError:
            return None

    prefixes = opened.list_dir(path).prefixes
    views = in_parallel(view, prefixes, opened.capabilities.in_flight)
    found = {each.path.rpartition("/")[2]: snapshot_of(each) for each in views if each is not None}
    if not found:
        raise NodeNotFoundError(f"no stream below {join_url(opened.url, path)}")
    return found
