"""Finding out whether a store's conditional put really works, before data depends on it.

Some servers accept the conditions and ignore them; nothing in their answers tells. So ask questions whose
right answers are known, on a key of one's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from streamzarr.errors import PreconditionFailedError, UnsupportedError
from streamzarr.stores.base import Store

PROBE_PREFIX = ".streamzarr-probe-"
"""Keys of probes begin with this; each lives for the time of its probe."""


def probe_conditional_put(store: Store) -> None:
    """Return if the conditional put of `store` holds in every case; eight or so requests, no trace left.

    Sequential questions find a server that ignores conditions, in whole or in part. They cannot find one that
    checks them without excluding others meanwhile.

    Raises
    ------
    streamzarr.errors.UnsupportedError
        The store has no conditional put, or its server gave a wrong answer; says which.
    streamzarr.errors.StoreError
        The store cannot be reached or written to.

    Examples
    --------
    >>> from streamzarr.stores import MemoryStore
    >>> probe_conditional_put(MemoryStore())
    """
    if not store.capabilities.conditional_put:
        raise UnsupportedError(f"{store.url}: this store has no conditional put")
    key = PROBE_PREFIX + os.urandom(8).hex()
    try:
        first = _accepted(
            store, "if_none_match on a missing key", lambda: store.put(key, b"1", if_none_match=True)
        )
        _refused(store, "if_none_match on a present key", lambda: store.put(key, b"2", if_none_match=True))
        _accepted(store, "if_match with the present etag", lambda: store.put(key, b"3", if_match=first))
        _refused(store, "if_match with a stale etag", lambda: store.put(key, b"4", if_match=first))
        if store.get(key) != b"3":
            raise UnsupportedError(f"{store.url}: a conditional put that was refused has changed the value")
        store.delete(key)
        _refused(store, "if_match on a missing key", lambda: store.put(key, b"5", if_match=first))
    finally:
        store.delete(key)


def _accepted(store: Store, question: str, put: Callable[[], str]) -> str:
    try:
        return put()
    except PreconditionFailedError as error:
        raise UnsupportedError(
            f"{store.url}: conditional put does not work: {question} was refused"
        ) from error


def _refused(store: Store, question: str, put: Callable[[], str]) -> None:
    try:
        put()
    except PreconditionFailedError:
        return
    raise UnsupportedError(f"{store.url}: conditional put does not work: {question} was accepted")
