"""Commands about one stream that are given a group of several: which there are is said."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from streamzarr.errors import MetadataError, NodeNotFoundError

SHOWN: Final = 5
"""Names that are told, at most."""


def of_one_stream(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that, where there is no stream at its URL, names those below, as a feed's are."""

    @wraps(command)
    def run(url: str, **options: Any) -> None:
        try:
            command(url, **options)
        except NodeNotFoundError as error:
            if found := _below(url):
                raise NodeNotFoundError(found) from error
            raise

    return run


def _below(url: str) -> str:
    """Return what streams are below; empty: there are none."""
    from streamzarr.feeds.target import streams_below
    from streamzarr.stores import join_url, open_store

    store = open_store(url, mode="r")
    try:
        names = sorted(streams_below(store))
    except (NodeNotFoundError, MetadataError):  # the latter: it is a stream, or what holds arrays
        return ""
    some = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return (
        f"no stream at {store.url}, but {len(names)} below it: {some}; give one of them, as in "
        f"{join_url(store.url, names[0])}"
    )
