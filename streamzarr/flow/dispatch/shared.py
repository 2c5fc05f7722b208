"""Values between two processes of one program: arrays and bytes through shared memory, the rest by the pipe.

A value is taken apart into its large blocks and a frame that says where they were. The frame goes through a
``multiprocessing`` connection, the blocks are copied once into a :class:`Segment` and once out of it: whoever
gets a value owns it, so a function may keep what it was given while the segment is used for the next one.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamzarr.errors import ProcessError

IN_BAND: Final = 2048
"""Bytes up to which a block is cheaper in the frame: a connection copies them anyway."""
_ALIGN: Final = 64
_SMALLEST: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class _Bytes:
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class _Array:
    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


_Block = bytes | npt.NDArray[Any]


class Packed:
    """A value taken apart; made by :func:`pack`.

    Examples
    --------
    >>> packed = pack({"rows": np.arange(1000), "name": "a"})
    >>> packed.nbytes
    8000
    >>> memory = memoryview(bytearray(packed.nbytes))
    >>> packed.write(memory)
    >>> unpack(packed.frame, memory)["rows"].sum()
    np.int64(499500)
    """

    __slots__ = ("_blocks", "frame", "nbytes")

    def __init__(self, value: Any) -> None:
        self._blocks: list[tuple[int, _Block]] = []
        self.nbytes = 0
        """Bytes of memory that :meth:`write` needs."""
        self.frame = self._take_apart(value)

    def write(self, memory: memoryview) -> None:
        """Copy the blocks into `memory`."""
        for start, block in self._blocks:
            if isinstance(block, np.ndarray):
                np.ndarray(block.shape, block.dtype, memory, start)[...] = block
            else:
                memory[start : start + len(block)] = block

    def _take_apart(self, value: Any) -> Any:
        # Exact types only: a subclass has more to it than its items, so it goes as it is.
        kind = type(value)
        if kind is np.ndarray:
            if value.nbytes > IN_BAND and not value.dtype.hasobject:
                return _Array(self._put(value, value.nbytes), value.dtype, value.shape)
        elif kind is bytes:
            if len(value) > IN_BAND:
                return _Bytes(self._put(value, len(value)), len(value))
        elif kind is tuple:
            return tuple([self._take_apart(item) for item in value])
        elif kind is list:
            return [self._take_apart(item) for item in value]
        elif kind is dict:
            return {key: self._take_apart(item) for key, item in value.items()}
        return value

    def _put(self, block: _Block, nbytes: int) -> int:
        start = -(-self.nbytes // _ALIGN) * _ALIGN
        self.nbytes = start + nbytes
        self._blocks.append((start, block))
        return start


def pack(value: Any) -> Packed:
    """Take `value` apart; blocks are found in tuples, lists and dicts, at any depth."""
    return Packed(value)


def unpack(frame: Any, memory: memoryview) -> Any:
    """Return the value of a frame whose blocks are in `memory`: a copy, nothing of it stays there."""
    if isinstance(frame, _Bytes):
        return bytes(memory[frame.start : frame.start + frame.size])
    if isinstance(frame, _Array):
        return np.ndarray(frame.shape, frame.dtype, memory, frame.start).copy()
    kind = type(frame)
    if kind is tuple:
        return tuple([unpack(item, memory) for item in frame])
    if kind is list:
        return [unpack(item, memory) for item in frame]
    if kind is dict:
        return {key: unpack(item, memory) for key, item in frame.items()}
    return frame


class Segment:
    """A block of shared memory that is made, made anew when it is too small, and removed by one process.

    Owned by one thread. The other process attaches with :class:`Attached`.
    """

    def __init__(self) -> None:
        self._block: SharedMemory | None = None

    @property
    def name(self) -> str:
        """What the other process attaches to; empty as long as nothing was needed."""
        return "" if self._block is None else self._block.name

    @property
    def memory(self) -> memoryview:
        """Its bytes; release them before the next call of :meth:`grow`."""
        return _view(self._block)

    def grow(self, nbytes: int) -> None:
        """Have room for `nbytes`; what was in it is lost.

        Raises
        ------
        streamzarr.errors.ProcessError
            The machine has no room.
        """
        if nbytes and (self._block is None or self._block.size < nbytes):
            size = max(_SMALLEST, 2 * nbytes)
            self.close()
            self._block = _reserved(size)

    def close(self) -> None:
        """Remove it."""
        if self._block is not None:
            self._block.close()
            self._block.unlink()
            self._block = None


class Attached:
    """A segment of another process, as it is at the moment. Owned by one thread."""

    def __init__(self) -> None:
        self._block: SharedMemory | None = None

    def memory(self, name: str) -> memoryview:
        """Return the bytes of the segment `name`; release them before the next call."""
        if name and (self._block is None or self._block.name != name):
            if self._block is not None:
                self._block.close()
            self._block = SharedMemory(name)
        return _view(self._block)


def _view(block: SharedMemory | None) -> memoryview:
    return memoryview(b"") if block is None or block.buf is None else block.buf[:]


def _reserved(size: int) -> SharedMemory:
    """Return new shared memory whose pages exist: a process that writes to others dies when none are left."""
    try:
        block = SharedMemory(create=True, size=size)
    except OSError as error:
        raise _no_room(size, error) from error
    try:
        file = Path("/dev/shm", block.name)  # noqa: S108 - where Linux keeps it
        if file.exists():
            descriptor = os.open(file, os.O_RDWR)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
    except OSError as error:
        block.close()
        block.unlink()
        raise _no_room(size, error) from error
    return block


def _no_room(size: int, error: OSError) -> ProcessError:
    hint = " (for a container: --shm-size)" if error.errno == errno.ENOSPC else ""
    return ProcessError(f"no room for {size} bytes of shared memory: {error}{hint}")
