"""Who is writing which chunk, within this process.

A part of a chunk is written by reading, changing and writing the whole chunk; nothing else may write it
meanwhile. A writer claims all keys that it needs at once and holds none while it waits, so nobody deadlocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager

from streamzarr.zarr.locks import ChunkLocks

_claims = ChunkLocks()


def claim(keys: Iterable[str]) -> AbstractContextManager[None]:
    """Return a context in which no other thread of this process writes the chunks of `keys`."""
    return _claims.hold(*keys)


def _renew() -> None:
    """Give a forked child no claims: the threads that held them do not exist there."""
    global _claims
    _claims = ChunkLocks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
