"""Streams as the array layer sees them: groups whose arrays change by commits of their writer alone.

A stream's root says the shapes of its fields and a commit record that goes with them; changed by other means
the two would not fit, and every reader and writer of the stream would refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamzarr.errors import NodeNotFoundError, UnsupportedError
from streamzarr.limits import Limits
from streamzarr.stores import Store, join_url
from streamzarr.zarr.metadata import GroupMetadataV3
from streamzarr.zarr.nodes.documents import UNREADABLE, read_node
from streamzarr.zarr.nodes.paths import parent_of

STREAM_ATTRIBUTE: Final = "streamzarr"
"""Where a stream's group keeps its commit record; its own ``zarr.json`` is what its readers go by."""


def check_no_stream(url: str, attributes: Mapping[str, Any]) -> None:
    """Refuse to change the members of a group that is a stream.

    Raises
    ------
    streamzarr.errors.UnsupportedError
        It is one.
    """
    if STREAM_ATTRIBUTE in attributes:
        raise UnsupportedError(
            f"{url} is a stream, whose arrays change by commits alone; "
            "use sz.StreamWriter to append rows and to add fields, and stream.retain to give rows up"
        )


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
