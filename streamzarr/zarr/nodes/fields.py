"""Arrays that are fields of streams, which the array layer leaves as long as they are."""

from __future__ import annotations

from streamzarr.errors import NodeNotFoundError
from streamzarr.limits import Limits
from streamzarr.stores import Store, join_url
from streamzarr.zarr.metadata import GroupMetadataV3
from streamzarr.zarr.nodes.documents import UNREADABLE, read_node
from streamzarr.zarr.nodes.paths import parent_of
from streamzarr.zarr.nodes.streams import check_no_stream


def check_no_field(store: Store, path: str, limits: Limits) -> None:
    """Refuse to change the length of an array that is a field of a stream; costs one request.

    Raises
    ------
    streamzarr.errors.UnsupportedError
        It is one.
    """
    if not path:
        return  # what lies above is out of this store's reach
    above = parent_of(path)
    try:
        group = read_node(store, above, 3, limits)
    except (NodeNotFoundError, *UNREADABLE):
        return
    if isinstance(group, GroupMetadataV3):
        check_no_stream(join_url(store.url, above), group.attributes)
