"""Locks of chunks among the threads of one process.

Between processes there are none: a chunk, or a shard, has one writer there (see ``map_chunks`` and jobs).
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from contextlib import AbstractContextManager
from types import TracebackType

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

    def hold(self, *names: Hashable, timeout: float | None = None) -> AbstractContextManager[None]:
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
        return _Hold(self, names, timeout)

    def _take(self, names: tuple[Hashable, ...], timeout: float | None) -> None:
        thread = threading.get_ident()
        owners, depths = self._owners, self._depths

        def free() -> bool:
            return all([owners.get(name, thread) == thread for name in names])  # noqa: C419 - faster

        with self._changed:
            if not free() and not self._changed.wait_for(free, timeout):
                busy = [name for name in names if owners.get(name, thread) != thread]
                raise TimeoutError(f"after {timeout} s another thread still holds {busy[:3]}")
            for name in names:
                owners[name] = thread
                depths[name] = depths.get(name, 0) + 1

    def _give_back(self, names: tuple[Hashable, ...]) -> None:
        depths = self._depths
        with self._changed:
            for name in names:
                depths[name] -= 1
                if not depths[name]:
                    del depths[name], self._owners[name]
            self._changed.notify_all()

    def held(self) -> frozenset[Hashable]:
        """Return what any thread holds now."""
        with self._changed:
            return frozenset(self._owners)


class _Hold:
    """What :meth:`ChunkLocks.hold` returns: each chunk that is written takes one, so no generator."""

    __slots__ = ("_locks", "_names", "_timeout")

    def __init__(self, locks: ChunkLocks, names: tuple[Hashable, ...], timeout: float | None) -> None:
        self._locks, self._names, self._timeout = locks, names, timeout

    def __enter__(self) -> None:
        self._locks._take(self._names, self._timeout)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._locks._give_back(self._names)
