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
from collections import OrderedDict
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

from streamzarr.errors import ConfigError, LimitExceededError
from streamzarr.runtime import SYSTEM, Runtime

TOKEN_BYTES = 16
"""A token names a piece of work: a 16-byte digest that its owner chooses."""
IN_FLIGHT_LIMIT = 4096
"""Pieces of work one process may hold at once: far above any number of threads, 70 kB of memory."""
CRASHED_LIMIT = 4096
"""Suspected tokens that are remembered; beyond it the one suspected longest ago is forgotten."""

Cause: TypeAlias = Literal["death", "timeout", "memory"]
"""Why a process ended: by itself or the system, or killed for a task that did not end, or its memory."""
_CAUSES: tuple[Cause, ...] = get_args(Cause)


class Suspicion(NamedTuple):
    """What is held against a token that was in flight when a process died."""

    deaths: int
    """Deaths that it alone can have caused; 0 when it always had company."""
    cause: Cause
    """Of the last one."""


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

    Layout: ``u64`` heartbeat (the runtime's clock, ns, 0 = none yet), ``u64`` whether a token was ever
    finished, ``u64 started[4096]`` (ns), ``u8 valid[4096]``, ``u8 token[4096][16]``.

    Threads: in the worker any thread may call any method, none blocks. The supervisor only reads, and reads
    exactly once the process is dead; while it lives the register may be a moment old. A fork of the worker
    calls :meth:`detach`, after which it writes to memory of its own.

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

    _FINISHED = _U64.size
    _STARTED = _FINISHED + _U64.size
    _VALID = _STARTED + IN_FLIGHT_LIMIT * _U64.size
    _TOKENS = _VALID + IN_FLIGHT_LIMIT
    SIZE = _TOKENS + IN_FLIGHT_LIMIT * TOKEN_BYTES

    def __init__(self, fd: int, runtime: Runtime = SYSTEM) -> None:
        self._memory = mmap.mmap(fd, self.SIZE)
        self._new_lock, self._now = runtime.lock, runtime.now
        self._lock = runtime.lock()
        self._free = list(range(IN_FLIGHT_LIMIT - 1, -1, -1))
        self._held: dict[bytes, list[int]] = {}

    def detach(self) -> None:
        """Part from the other side: from now on this is a register that nobody else sees."""
        # The old mapping stays: a copy of another thread's frame may be in the middle of it.
        self._memory = mmap.mmap(-1, self.SIZE)
        self._lock = self._new_lock()  # whoever held it is not there in a fork

    def beat(self) -> None:
        """Give a sign of life."""
        _U64.pack_into(self._memory, 0, int(self._now() * 1e9))

    @property
    def heartbeat(self) -> float | None:
        """Time of the last sign of life, seconds; None before the first."""
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
            since = self._STARTED + cell * _U64.size
            self._memory[since : since + _U64.size] = _U64.pack(int(self._now() * 1e9))
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
            self._memory[self._FINISHED] = 1
            self._memory[self._VALID + cell] = 0
            self._free.append(cell)

    @property
    def worked(self) -> bool:
        """Whether any token was ever finished."""
        return self._memory[self._FINISHED] == 1

    def in_flight(self) -> tuple[bytes, ...]:
        """Tokens that the register holds, in no particular order."""
        return tuple(token for token, _ in self.held())

    def held(self) -> tuple[tuple[bytes, float], ...]:
        """Tokens that the register holds, each with the time of its start, seconds."""
        valid = self._memory[self._VALID : self._TOKENS]
        found: list[tuple[bytes, float]] = []
        cell = valid.find(1)
        while cell >= 0:
            at = self._TOKENS + cell * TOKEN_BYTES
            nanoseconds: int = _U64.unpack_from(self._memory, self._STARTED + cell * _U64.size)[0]
            found.append((self._memory[at : at + TOKEN_BYTES], nanoseconds / 1e9))
            cell = valid.find(1, cell + 1)
        return tuple(found)

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()


class CrashTable:
    """Which tokens were in flight when workers died. Written by the supervisor, read by its workers.

    It is as old as the supervisor: a new one knows of no crashes.

    Layout: ``u32`` entries, ``u32`` unused, ``u32 entry[4096]``, ``u8 token[4096][16]``. An entry is the
    deaths and one, with the cause in its highest byte; 0 marks one that is not valid.

    Threads: one thread of the supervisor calls :meth:`add`; any thread of any process calls :meth:`look_up`.

    Examples
    --------
    >>> fd = shared_file(CrashTable.SIZE, "example")
    >>> table = CrashTable(fd)
    >>> table.add(b"0123456789abcdef", "timeout", alone=True)
    >>> table.look_up(b"0123456789abcdef"), table.look_up(bytes(16))
    (Suspicion(deaths=1, cause='timeout'), None)
    >>> table.close(); os.close(fd)
    """

    _ENTRIES = 2 * _U32.size
    _TOKENS = _ENTRIES + CRASHED_LIMIT * _U32.size
    SIZE = _TOKENS + CRASHED_LIMIT * TOKEN_BYTES
    _CAUSE_SHIFT = 24
    _MOST_DEATHS = (1 << _CAUSE_SHIFT) - 2

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, self.SIZE)
        self._cells: OrderedDict[bytes, int] = OrderedDict()

    def add(self, token: bytes, cause: Cause, *, alone: bool) -> None:
        """Note that `token` was in flight at a death, which counts against it when it was there `alone`."""
        cell = self._cells.get(token)
        if cell is None:
            cell, deaths = self._enter(token), 0
        else:
            self._cells.move_to_end(token)
            deaths = self._entry(cell).deaths
        deaths = min(deaths + alone, self._MOST_DEATHS)
        entry = _CAUSES.index(cause) << self._CAUSE_SHIFT | (deaths + 1)
        _U32.pack_into(self._memory, self._ENTRIES + cell * _U32.size, entry)

    def __contains__(self, token: object) -> bool:
        return token in self._cells

    def _enter(self, token: bytes) -> int:
        cell = len(self._cells)
        if cell == CRASHED_LIMIT:
            _, cell = self._cells.popitem(last=False)
        self._cells[token] = cell
        _U32.pack_into(self._memory, self._ENTRIES + cell * _U32.size, 0)
        at = self._TOKENS + cell * TOKEN_BYTES
        self._memory[at : at + TOKEN_BYTES] = token
        _U32.pack_into(self._memory, 0, len(self._cells))
        return cell

    def _entry(self, cell: int) -> Suspicion:
        entry: int = _U32.unpack_from(self._memory, self._ENTRIES + cell * _U32.size)[0]
        deaths = (entry & (1 << self._CAUSE_SHIFT) - 1) - 1
        return Suspicion(max(0, deaths), _CAUSES[entry >> self._CAUSE_SHIFT])

    def look_up(self, token: bytes) -> Suspicion | None:
        """Return what is held against `token`; None if no worker ever died while it was in flight."""
        entries: int = _U32.unpack_from(self._memory, 0)[0]
        if not entries:  # the usual case: nothing ever crashed
            return None
        end = self._TOKENS + entries * TOKEN_BYTES
        at = self._memory.find(check_token(token), self._TOKENS, end)
        while at >= 0:
            cell, askew = divmod(at - self._TOKENS, TOKEN_BYTES)
            if not askew:
                return self._entry(cell)
            at = self._memory.find(token, at + 1, end)
        return None

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()
