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

    __slots__ = ("_buffer", "_nbytes")

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes

    def __enter__(self) -> memoryview:
        free, nbytes = _kept.free, self._nbytes
        # The last one given back is the likeliest to be in a cache.
        buffer = free.pop() if free else None
        if buffer is None or len(buffer) < nbytes:
            if free:
                buffer = free.pop()
            if buffer is None or len(buffer) < nbytes:  # too small for what is done now: both are let go
                buffer = bytearray(-(-nbytes // _STEP) * _STEP)
        self._buffer = buffer
        return memoryview(buffer)[:nbytes]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        free = _kept.free
        if len(free) < MAX_KEPT and len(self._buffer) <= MAX_KEPT_BYTES:
            free.append(self._buffer)
