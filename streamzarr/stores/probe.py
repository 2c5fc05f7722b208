"""Finding out whether a store's conditional put really works, before data depends on it.

Some servers accept the conditions and ignore them; nothing in their answers tells. So ask questions whose
right answers are known, on a key of one's own. Others check the condition, then write, and let another writer
come between: so let a few threads race for one value.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from streamzarr.errors import PreconditionFailedError, UnsupportedError
from streamzarr.stores.base import Store

PROBE_PREFIX = ".streamzarr-probe-"
"""Keys of probes begin with this; each lives for the time of its probe."""
RIVALS = 6
"""Threads that put at once."""
ROUNDS = 3
"""Races to create, and races to replace."""


def probe_conditional_put(store: Store) -> None:
    """Return if the conditional put of `store` holds; some fifty small requests, no trace left.

    For the open of whatever depends on it, such as a stream that appends exactly once. Sequential questions
    find a server that ignores conditions, in whole or in part; that is certain. Races find one that does not
    exclude others between check and write; that is likely, since a wide gap is hit and a narrow one missed.

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
        _race(store, key)
    finally:
        store.delete(key)


def _race(store: Store, key: str) -> None:
    """Let threads create a value at once, then replace it; raise unless one of them does, each time."""
    barrier = Barrier(RIVALS)

    def compete(value: bytes, if_match: str | None) -> bytes | None:
        barrier.wait()
        try:
            store.put(key, value, if_match=if_match, if_none_match=if_match is None)
        except PreconditionFailedError:
            return None
        return value

    with ThreadPoolExecutor(RIVALS, "streamzarr-probe") as pool:
        for number in range(ROUNDS):
            store.delete(key)
            for question in ("if_none_match", "if_match"):
                etag = None if question == "if_none_match" else store.head(key).etag
                values = [b"%s %d %d" % (question.encode(), number, rival) for rival in range(RIVALS)]
                # A rival that fails otherwise breaks no barrier: all have passed it by then.
                winners = [value for value in pool.map(compete, values, [etag] * RIVALS) if value]
                if len(winners) != 1 or store.get(key) != winners[0]:
                    raise UnsupportedError(
                        f"{store.url}: conditional put does not work: {len(winners)} of {RIVALS} writers "
                        f"at once succeeded with {question}, expected 1, whose value stays"
                    )


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
