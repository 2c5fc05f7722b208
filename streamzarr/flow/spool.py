"""Bytes that wait on disk instead of in memory: bounded queues in unlinked temporary files.

The files are cut into segments. Each item is written behind the last one, whatever its queue, with a link to
the next item of its own queue::

    segment 1   │ a1 ─┐ │ b1 ─┐ │ a2 ─┐ │        a queue is two places in memory, however long it is;
    segment 2   │ b2 ◄┼─┼───┘   │ a3 ◄┘ │        a segment goes when all in it are taken

Nothing of it outlives the process: what is spooled is not acknowledged, so it is delivered again.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Hashable
from dataclasses import dataclass
from typing import IO, Final, NamedTuple

from streamzarr.errors import ConfigError, StreamzarrError
from streamzarr.options import parse_bytes
from streamzarr.queue.closing import Closing

SEGMENTS: Final = 16
"""Files that a full spool has, about: it can lose the space of one to items that are taken already."""

_HEADER = struct.Struct("<QQQ")  # segment and offset of the next item (0, 0: none yet), length of the data
_LINK = struct.Struct("<QQ")


class _Place(NamedTuple):
    segment: int
    offset: int


@dataclass(slots=True)
class _Segment:
    file: IO[bytes]
    end: int = 0
    live: int = 0
    """Items in it that are not taken."""


@dataclass(slots=True)
class _Queue:
    head: _Place
    tail: _Place
    count: int = 1


class Spool(Closing):
    """First-in-first-out queues of bytes on disk, of `max_bytes` together.

    Parameters
    ----------
    max_bytes
        Bytes on disk, at most: a number or such as ``"1GB"``. Each item costs 24 bytes beside its own.
    directory
        Where the files are made; the system's directory for temporary files when absent, which may be in
        memory itself (tmpfs).

    Raises
    ------
    streamzarr.errors.ConfigError
        `max_bytes` is below 1.

    Notes
    -----
    Threads: one at a time; whoever shares a spool locks around its calls. All calls block for the disk. The
    files have no name and can be read by nobody else; they go with :meth:`close`, or with the process.
    Memory: some 200 bytes for each queue that is not empty, nothing for an item.

    Examples
    --------
    >>> with Spool("1MB") as spool:
    ...     spool.append(b"one"), spool.append(b"two"), spool.append(b"other", queue="b")
    ...     spool.take(), spool.take("b"), spool.take(), spool.take()
    (True, True, True)
    (b'one', b'other', b'two', None)
    """

    def __init__(self, max_bytes: int | str, *, directory: str | None = None) -> None:
        self.max_bytes = parse_bytes(max_bytes)
        if self.max_bytes < 1:
            raise ConfigError(f"Spool(max_bytes={max_bytes}): expected at least 1")
        self._directory = directory
        self._queues: dict[Hashable, _Queue] = {}
        self._segments: dict[int, _Segment] = {}
        self._current = 0  # number of the segment that is written to; they count from 1
        self._nbytes = 0

    def append(self, data: bytes, queue: Hashable = None) -> bool:
        """Put `data` behind the others of its queue; tell whether there was room.

        Without room nothing has changed, and there may be room after more is taken. An item that alone is
        bigger than the spool never fits: see :meth:`fits`.

        Raises
        ------
        streamzarr.errors.StreamzarrError
            The disk cannot take it (full, broken). Nothing has changed.
        """
        needed = _HEADER.size + len(data)
        if self._nbytes + needed > self.max_bytes:
            return False
        try:
            place = self._write(data)
            known = self._queues.get(queue)
            if known is not None:
                tail = self._segments[known.tail.segment]
                _write_all(tail.file, _LINK.pack(*place), known.tail.offset)
        except OSError as error:
            where = self._directory or tempfile.gettempdir()
            raise StreamzarrError(f"spooling {len(data)} bytes in {where}: {error}") from error
        segment = self._segments[place.segment]
        segment.end += needed
        segment.live += 1
        self._nbytes += needed
        if known is None:
            self._queues[queue] = _Queue(place, place)
        else:
            known.tail = place
            known.count += 1
        return True

    def take(self, queue: Hashable = None) -> bytes | None:
        """Remove the oldest item of `queue` and return it; ``None`` when there is none.

        Raises
        ------
        streamzarr.errors.StreamzarrError
            The disk does not give it back whole. It stays where it is.
        """
        data = self.peek(queue)
        if data is not None:
            self.skip(queue)
        return data

    def peek(self, queue: Hashable = None) -> bytes | None:
        """Return the oldest item of `queue`, which stays there; errors as of :meth:`take`."""
        known = self._queues.get(queue)
        if known is None:
            return None
        _, length = self._header(known.head)
        return self._read(known.head.segment, length, known.head.offset + _HEADER.size)

    def skip(self, queue: Hashable = None) -> None:
        """Remove the oldest item of `queue`, if there is one."""
        known = self._queues.get(queue)
        if known is not None:
            self._leave(queue, known, self._header(known.head)[0])

    def drop(self, queue: Hashable = None) -> int:
        """Remove all items of `queue`; return how many there were."""
        count = self.count(queue)
        for _ in range(count):
            self.skip(queue)
        return count

    def count(self, queue: Hashable = None) -> int:
        """Return the number of items of `queue`."""
        known = self._queues.get(queue)
        return 0 if known is None else known.count

    def fits(self, nbytes: int) -> bool:
        """Tell whether an item of so many bytes fits into an empty spool."""
        return _HEADER.size + nbytes <= self.max_bytes

    @property
    def nbytes(self) -> int:
        """Bytes on disk, with those of taken items whose segment is still in use."""
        return self._nbytes

    def __len__(self) -> int:
        """Return the number of items of all queues."""
        return sum(queue.count for queue in self._queues.values())

    def close(self) -> None:
        """Remove everything."""
        for segment in self._segments.values():
            segment.file.close()
        self._segments.clear()
        self._queues.clear()
        self._nbytes = 0

    # -- segments ----------------------------------------------------------------------------------------

    def _write(self, data: bytes) -> _Place:
        segment = self._segments.get(self._current)
        if segment is None or segment.end >= self.max_bytes // SEGMENTS:
            # The file lives as long as its segment, which no block of code does.
            segment = _Segment(tempfile.TemporaryFile(buffering=0, dir=self._directory))  # noqa: SIM115
            self._current += 1
            self._segments[self._current] = segment
        _write_all(segment.file, _HEADER.pack(0, 0, len(data)) + data, segment.end)
        return _Place(self._current, segment.end)

    def _header(self, place: _Place) -> tuple[_Place, int]:
        number, offset, length = _HEADER.unpack(self._read(place.segment, _HEADER.size, place.offset))
        return _Place(number, offset), length

    def _read(self, segment: int, length: int, offset: int) -> bytes:
        try:
            data = _read_all(self._segments[segment].file, length, offset)
        except OSError as error:
            raise StreamzarrError(f"reading {length} spooled bytes: {error}") from error
        if len(data) != length:
            raise StreamzarrError(f"the disk gave back {len(data)} of {length} spooled bytes")
        return data

    def _leave(self, queue: Hashable, known: _Queue, following: _Place) -> None:
        """Forget the first item of a queue, and its segment when it was the last one in it."""
        number = known.head.segment
        known.head = following
        known.count -= 1
        if not known.count:
            del self._queues[queue]
        segment = self._segments[number]
        segment.live -= 1
        if not segment.live:
            self._nbytes -= segment.end
            segment.end = 0
            if number == self._current:
                segment.file.truncate(0)  # a new file for each item that comes and goes would cost more
            else:
                segment.file.close()
                del self._segments[number]


def _write_all(file: IO[bytes], data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file.fileno(), view, offset)
        view, offset = view[written:], offset + written


def _read_all(file: IO[bytes], length: int, offset: int) -> bytes:
    data = os.pread(file.fileno(), length, offset)
    while len(data) < length and (more := os.pread(file.fileno(), length - len(data), offset + len(data))):
        data += more  # one call reads no more than 2 GB
    return data
