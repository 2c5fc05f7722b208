"""Who is writing which chunk, within this process.

A part of a chunk is written by reading, changing and writing the whole chunk; nothing else may write it
meanwhile. A writer claims all keys that it needs at once and holds none while it waits, so nobody deadlocks.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager


class Claims:
    """Keys that threads hold; thread-safe."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, keys: Iterable[str]) -> Iterator[None]:
        """Wait until nobody holds any of `keys`, then hold them all."""
        wanted = set(keys)
        with self._changed:
            while not self._held.isdisjoint(wanted):
                self._changed.wait()
            self._held |= wanted
        try:
            yield
        finally:
            with self._changed:
                self._held -= wanted
                self._changed.notify_all()


_claims = Claims()


def claim(keys: Iterable[str]) -> AbstractContextManager[None]:
    """Return a context in which no other thread of this process writes the chunks of `keys`."""
    return _claims.of(keys)


def _renew() -> None:
    """Give a forked child no claims: the threads that held them do not exist there."""
    global _claims
    _claims = Claims()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
