"""Reading open files to the end, over calls that the kernel cuts short."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

MAX_READ_BYTES = 0x7FFF_F000
"""What Linux reads in one call at most."""


def read_on(fd: int, buffer: memoryview, count: int) -> int | None:
    """Fill `buffer` from `count` on and return the value's size; ``None`` when this is no value."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return None
    while count < min(status.st_size, len(buffer)):
        more = os.preadv(fd, (buffer[count:],), count)
        if not more:  # cut meanwhile, by someone who does not replace
            return count
        count += more
    return status.st_size


def read_pieces(fd: int, buffer: memoryview, use: Callable[[int], object]) -> int | None:
    """Read a file through `buffer`, as ``Store.get_pieces`` does; ``None`` when this is no value."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return None
    size = 0
    while count := _read_next(fd, buffer):
        use(count)
        size += count
    return size


def _read_next(fd: int, buffer: memoryview) -> int:
    """Read what comes next into `buffer`, and return how much that is: less than it holds only at the end."""
    done = 0
    while done < len(buffer):
        count = os.readv(fd, (buffer[done:],))
        if not count:
            break
        done += count
    return done


def read_span(fd: int, start: int, stop: int) -> bytes:
    """Read bytes `start` to `stop` of a file that has them, or what is left where it was cut meanwhile."""
    data = os.pread(fd, stop - start, start)
    if len(data) == stop - start:
        return data
    parts = [data]
    while data and start + sum(map(len, parts)) < stop:  # MAX_READ_BYTES
        done = start + sum(map(len, parts))
        data = os.pread(fd, stop - done, done)
        parts.append(data)
    return b"".join(parts)
