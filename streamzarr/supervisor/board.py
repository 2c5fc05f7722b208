"""Memory that supervisor and workers share: heartbeat, in-flight register, crash table.

A worker may be killed between any two instructions, so nothing here is ever half-valid: each entry is
written first and then made valid by one aligned store, and made invalid before it is changed. No locks cross
a process, because a lock dies with its owner.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import threading
import time
from collections import OrderedDict
from pathlib import Path

from streamzarr.errors import ConfigError, LimitExceededError

TOKEN_BYTES = 16
"""A token names a piece of work: a 16-byte digest that its owner chooses."""
IN_FLIGHT_LIMIT = 4096
"""Pieces of work one process may hold at once: far above any number of threads, 70 kB of memory."""
CRASHED_LIMIT = 4096
"""Tokens whose crashes are remembered; beyond it the one that crashed longest ago is forgotten."""

_U64 = struct.Struct("@Q")  # native and aligned: one store, where "<Q" would write byte by byte
_U32 = struct.Struct("@I")


def shared_file(size: int, name: str) -> int:
    """Create `size` zero bytes of anonymous shared memory; return its descriptor."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(f"streamzarr-{name}")
    else:  # macOS: a file that has no name any more
        fd, path = tempfile.mkstemp(prefix=f"streamzarr-{name}-")
        Path(path).unlink()
    try:
        os.ftruncate(fd, size)
    except OSError:
        os.close(fd)
        raise
    return fd


def check_token(token: bytes) -> bytes:
    """Return `token`, or raise :class:`ConfigError` if it is not 16 bytes."""
    if len(token) != TOKEN_BYTES:
        raise ConfigError(f"token has {len(token)} bytes, expected {TOKEN_BYTES}")
    return bytes(token)


class Slot:
    """What one worker process is doing: when it last gave a sign of life, and which tokens it holds.

    Layout: ``u64`` heartbeat (monotonic ns, 0 = none yet), ``u8 valid[4096]``, ``u8 token[4096][16]``.

    Threads: in the worker any thread may call any method, none blocks. The supervisor only reads, and reads
    exactly once the process is dead; while it lives the register may be a moment old.

    Examples
    --------
    >>> fd = shared_file(Slot.SIZE, "example")
    >>> worker, supervisor = Slot(fd), Slot(fd)
    >>> worker.started(bytes(16)); supervisor.in_flight() == (bytes(16),)
    True
    >>> worker.finished(bytes(16)); supervisor.in_flight()
    ()
    >>> worker.close(); supervisor.close(); os.close(fd)
    """

    _VALID = _U64.size
    _TOKENS = _VALID + IN_FLIGHT_LIMIT
    SIZE = _TOKENS + IN_FLIGHT_LIMIT * TOKEN_BYTES

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, self.SIZE)
        self._lock = threading.Lock()
        self._free = list(range(IN_FLIGHT_LIMIT - 1, -1, -1))
        self._held: dict[bytes, list[int]] = {}

    def beat(self) -> None:
        """Give a sign of life."""
        _U64.pack_into(self._memory, 0, time.monotonic_ns())

    @property
    def heartbeat(self) -> float | None:
        """Monotonic time of the last sign of life, seconds; None before the first."""
        nanoseconds: int = _U64.unpack_from(self._memory, 0)[0]
        return nanoseconds / 1e9 if nanoseconds else None

    def started(self, token: bytes) -> None:
        """Register `token` as in flight; the same token may be held several times.

        Raises
        ------
        LimitExceededError
            The process already holds 4096 tokens.
        """
        token = check_token(token)
        with self._lock:
            if not self._free:
                raise LimitExceededError(f"worker already holds {IN_FLIGHT_LIMIT} tokens in flight")
            cell = self._free.pop()
            self._held.setdefault(token, []).append(cell)
            at = self._TOKENS + cell * TOKEN_BYTES
            self._memory[at : at + TOKEN_BYTES] = token
            self._memory[self._VALID + cell] = 1

    def finished(self, token: bytes) -> None:
        """Take `token` off the register.

        Raises
        ------
        ConfigError
            The token is not in flight.
        """
        with self._lock:
            cells = self._held.get(token)
            if not cells:
                raise ConfigError(f"token {token.hex()} was finished but is not in flight")
            cell = cells.pop()
            if not cells:
                del self._held[token]
            self._memory[self._VALID + cell] = 0
            self._free.append(cell)

    def in_flight(self) -> tuple[bytes, ...]:
        """Tokens that the register holds, in no particular order."""
        valid = self._memory[self._VALID : self._TOKENS]
        found: list[bytes] = []
        cell = valid.find(1)
        while cell >= 0:
            at = self._TOKENS + cell * TOKEN_BYTES
            found.append(self._memory[at : at + TOKEN_BYTES])
            cell = valid.find(1, cell + 1)
        return tuple(found)

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()


class CrashTable:
    """How many workers died while they held a token. Written by the supervisor, read by its workers.

    It is as old as the supervisor: a new one knows of no crashes.

    Layout: ``u32`` entries, ``u32`` unused, ``u32 count[4096]``, ``u8 token[4096][16]``. A count of 0 marks
    an entry as not valid.

    Threads: one thread of the supervisor calls :meth:`add`; any thread of any process calls :meth:`count`.

    Examples
    --------
    >>> fd = shared_file(CrashTable.SIZE, "example")
    >>> table = CrashTable(fd)
    >>> table.add(b"0123456789abcdef"); table.add(b"0123456789abcdef")
    1
    2
    >>> table.count(b"0123456789abcdef"), table.count(bytes(16))
    (2, 0)
    >>> table.close(); os.close(fd)
    """

    _COUNTS = 2 * _U32.size
    _TOKENS = _COUNTS + CRASHED_LIMIT * _U32.size
    SIZE = _TOKENS + CRASHED_LIMIT * TOKEN_BYTES

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, self.SIZE)
        self._cells: OrderedDict[bytes, int] = OrderedDict()

    def add(self, token: bytes) -> int:
        """Count one more crash of `token`; return how many it has now."""
        cell = self._cells.get(token)
        if cell is not None:
            self._cells.move_to_end(token)
            count = self._count(cell) + 1
        else:
            cell, count = self._enter(token), 1
        _U32.pack_into(self._memory, self._COUNTS + cell * _U32.size, count)
        return count

    def _enter(self, token: bytes) -> int:
        cell = len(self._cells)
        if cell == CRASHED_LIMIT:
            _, cell = self._cells.popitem(last=False)
        self._cells[token] = cell
        _U32.pack_into(self._memory, self._COUNTS + cell * _U32.size, 0)
        at = self._TOKENS + cell * TOKEN_BYTES
        self._memory[at : at + TOKEN_BYTES] = token
        _U32.pack_into(self._memory, 0, len(self._cells))
        return cell

    def _count(self, cell: int) -> int:
        count: int = _U32.unpack_from(self._memory, self._COUNTS + cell * _U32.size)[0]
        return count

    def count(self, token: bytes) -> int:
        """How often a worker died while it held `token`; 0 for one that never did."""
        entries: int = _U32.unpack_from(self._memory, 0)[0]
        if not entries:  # the usual case: nothing ever crashed
            return 0
        end = self._TOKENS + entries * TOKEN_BYTES
        at = self._memory.find(check_token(token), self._TOKENS, end)
        while at >= 0:
            cell, askew = divmod(at - self._TOKENS, TOKEN_BYTES)
            if not askew:
                return self._count(cell)
            at = self._memory.find(token, at + 1, end)
        return 0

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()
