"""Changes of a root by somebody who is not the stream's writer: maintenance.

The root belongs to the writer while epoch and commit id are unchanged. A change that keeps both is
taken over by a live writer when its next commit finds it. So a change here may never touch what a writer
holds in memory or is about to put: rows, position and fields, and the chunks from its last one on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from streamzarr.errors import NodeNotFoundError, StoreError, UnsupportedError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, join_url
from streamzarr.stream.document import RootDocument
from streamzarr.stream.root import fetch_root
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.paths import key_below

TRIES: Final = 64
"""Attempts, each refused by a commit of the writer or failed."""


def amend(
    store: Store,
    path: str,
    change: Callable[[RootDocument], RootDocument],
    limits: Limits = DEFAULT_LIMITS,
) -> RootDocument:
    """Put what `change` makes of the root in one step, and return it.

    Parameters
    ----------
    change
        Called with each root that is found; returns it as it is when nothing is to be done any more, so that
        a change whose answer was lost is not made twice.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is no stream.
    streamzarr.errors.StoreError
        The store failed, and it is not known whether the change was made.
    """
    where = join_url(store.url, path)
    failure: StoreError | None = None
    for _ in range(TRIES):
        found, stored = fetch_root(store, path, limits)
        if found is None or stored is None:
            raise NodeNotFoundError(f"no stream at {where}")
        changed = change(found)
        if changed is found:
            return found
        changed = changed.committed(replace(changed.record, seq=found.record.seq + 1))
        try:
            store.put(key_below(path, ZARR_JSON), changed.encode(where), if_match=stored.etag)
        except UnsupportedError:
            raise
        except StoreError as error:
            failure = error
        else:
            return changed
    raise StoreError(f"{where}: could not be changed, {TRIES} times: {failure}") from failure
