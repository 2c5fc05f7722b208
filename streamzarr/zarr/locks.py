"""Locks of chunks among the threads of one process.

Between processes there are none: a chunk, or a shard, has one writer there (see ``map_chunks`` and jobs).
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

__all__ = ["ChunkLocks"]


class ChunkLocks:
    """Locks by name: chunk indices, keys, or anything else that can be hashed. Thread-safe.

    A thread gets all names that it asks for at once, and waits without holding any of these; it may ask again
    for what it holds. So threads that take what they need in one go cannot deadlock. Nothing is left behind
    when a thread or the process dies: a lock lives in its ``with`` block.

    Examples
    --------
    >>> import numpy as np
    >>> import streamzarr as sz
    >>> z = sz.create_array("memory://", data=np.arange(6), chunks=2)
    >>> locks = sz.locks.ChunkLocks()
    >>> with locks.hold((1,)):  # no other thread that asks these locks changes the chunk meanwhile
    ...     z.blocks[1] = z.blocks[1] * 10
    >>> z[:], locks.held()
    (array([ 0,  1, 20, 30,  4,  5]), frozenset())
    """

    def __init__(self) -> None:
        self._depths: dict[Hashable, int] = {}
        self._owners: dict[Hashable, int] = {}
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, *names: Hashable, timeout: float | None = None) -> Iterator[None]:
        """Wait until no other thread holds any of `names`, and hold them all for the ``with`` block.

        Parameters
        ----------
        timeout
            Seconds to wait at most; 0 to try once, None for ever.

        Raises
        ------
        TimeoutError
            Another thread still holds one of them; none is held then.
        """
        thread = threading.get_ident()
        owners, depths = self._owners, self._depths
        with self._changed:
            if not self._changed.wait_for(
                lambda: all(owners.get(name, thread) == thread for name in names), timeout
            ):
                busy = [name for name in names if owners.get(name, thread) != thread]
                raise TimeoutError(f"after {timeout} s another thread still holds {busy[:3]}")
            for name in names:
                owners[name] = thread
                depths[name] = depths.get(name, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                for name in names:
                    depths[name] -= 1
                    if not depths[name]:
                        del depths[name], owners[name]
                self._changed.notify_all()

    def held(self) -> frozenset[Hashable]:
        """Return what any thread holds now."""
        with self._changed:
            return frozenset(self._owners)
