"""Memory that a thread uses again and again: fresh pages for every chunk would cost more than most codecs.

A thread borrows a buffer, and gives it back. Nothing may keep a view of it after that. Buffers belong to one
thread, so no lock is needed; one that is borrowed twice at a time (a store that reads another array, say) is
simply two buffers.
"""

from __future__ import annotations

import threading
from types import TracebackType

MAX_KEPT_BYTES = 16 << 20
"""Larger buffers are not kept."""
MAX_KEPT = 2
"""Buffers that a thread keeps: one for what is stored, one for what it decodes to."""

_STEP = 1 << 16


class _Kept(threading.local):
    def __init__(self) -> None:
        self.free: list[bytearray] = []


_kept = _Kept()


class Scratch:
    """Borrow at least `nbytes` bytes for the time of a ``with`` block; their content is undefined.

    >>> with Scratch(100) as memory:
    ...     len(memory)
    100
    """

    __slots__ = ("_buffer", "_nbytes", "_view")

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes

    def __enter__(self) -> memoryview:
        free = _kept.free
        for at, buffer in enumerate(free):
            if len(buffer) >= self._nbytes:
                self._buffer = free.pop(at)
                break
        else:
            if free:
                free.pop()  # too small for what is done now
            self._buffer = bytearray(-(-self._nbytes // _STEP) * _STEP)
        self._view = memoryview(self._buffer)[: self._nbytes]
        return self._view

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        free = _kept.free
        if len(self._buffer) <= MAX_KEPT_BYTES and len(free) < MAX_KEPT:
            free.append(self._buffer)
