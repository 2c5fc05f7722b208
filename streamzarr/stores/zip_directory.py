"""The list of members at the end of a ZIP archive, read with bounds (APPNOTE.TXT 6.3.10, 4.3.12 to 4.3.16).

``zipfile`` makes an object of some 700 bytes for each member and believes what the directory says; an
archive of 60 MB can so take a gigabyte, or a sparse one all there is. Here the directory stays as it is in
the file, and a dict tells where in it a name is. What it says is checked: counts, sizes, and that no two
members lie on each other (one deflated block shared by thousands of members is a bomb).
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from streamzarr.errors import LimitExceededError
from streamzarr.limits import DEFAULT_LIMITS

_END = struct.Struct("<4s4H2LH")
"""End of central directory: signature, disks, counts, size, offset, length of the comment."""
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s4x2H4x3L3H8xL")
"""Signature, flags, method, CRC, packed size, size, lengths of name, extra field and comment, offset."""
_LOCAL_BYTES = 30
"""Size of a local header without its name."""
_MAX_COMMENT = 0xFFFF
_IN_EXTRA_FIELD = 0xFFFF_FFFF
_UTF8 = 0x800


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the directory."""

    offset: int
    """Where its local header is, from the beginning of the file."""
    size: int
    packed_size: int
    crc: int
    method: int
    flags: int


class Directory:
    """Members by name; of several of one name the last counts. Immutable.

    Raises
    ------
    zipfile.BadZipFile
        There is no directory, or it contradicts itself or the file.
    streamzarr.errors.LimitExceededError
        It is larger than ``Limits.max_metadata_bytes``.
    """

    def __init__(self, fd: int) -> None:
        self.start, size, count, shift = _find(fd)
        self._shift = shift
        self._data = os.pread(fd, size, self.start)
        if len(self._data) != size:
            raise zipfile.BadZipFile("the archive ends within its directory")
        self._places: dict[str, int] = {}
        starts, ends = np.empty(count, "u8"), np.empty(count, "u8")
        at = number = 0
        while at < size:
            name, member, following = self._parse(at)
            if number == count:
                raise zipfile.BadZipFile(f"more than the {count} members that it says")
            self._places[name] = at
            starts[number] = member.offset
            ends[number] = member.offset + _LOCAL_BYTES + member.packed_size
            at, number = following, number + 1
        if number != count:
            raise zipfile.BadZipFile(f"{number} members, expected {count}")
        self._check_overlap(starts, ends)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._places)

    def get(self, name: str) -> Member | None:
        """Return the member of this name."""
        at = self._places.get(name)
        return None if at is None else self._parse(at)[1]

    def _parse(self, at: int) -> tuple[str, Member, int]:
        """Return name and member of the entry at `at`, and where the next one begins."""
        data = self._data
        try:
            sign, flags, method, crc, packed, size, name_size, extra_size, comment_size, offset = (
                _ENTRY.unpack_from(data, at)
            )
        except struct.error:
            raise zipfile.BadZipFile("the directory ends within an entry") from None
        begin = at + _ENTRY.size
        end = begin + name_size + extra_size + comment_size
        if sign != b"PK\x01\x02" or end > len(data):
            raise zipfile.BadZipFile(f"no entry at {at} of the directory")
        name = data[begin : begin + name_size].decode("utf-8" if flags & _UTF8 else "cp437")
        if _IN_EXTRA_FIELD in (size, packed, offset):
            extra = data[begin + name_size : begin + name_size + extra_size]
            size, packed, offset = _from_extra(extra, size, packed, offset)
        member = Member(offset + self._shift, size, packed, crc, method, flags)
        if member.offset + _LOCAL_BYTES + packed > self.start:
            raise zipfile.BadZipFile(f"member {name!r} reaches into the directory")
        return name, member, end

    def _check_overlap(self, starts: np.ndarray, ends: np.ndarray) -> None:
        order = np.argsort(starts)
        if np.any(ends[order[:-1]] > starts[order[1:]]):
            raise zipfile.BadZipFile("members lie on each other")


def _find(fd: int) -> tuple[int, int, int, int]:
    """Return where the directory begins, its size in bytes, its count of members, and the shift of offsets.

    Offsets are shifted where something stands before the archive, such as a program that unpacks it.
    """
    file_size = os.fstat(fd).st_size
    tail_start = max(0, file_size - _END.size - _MAX_COMMENT)
    tail = os.pread(fd, file_size - tail_start, tail_start)
    at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - _END.size + 4))
    if at < 0:
        raise zipfile.BadZipFile("no directory at its end")
    _, disk, first_disk, here, count, size, offset, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    record = os.pread(fd, _END64.size + _LOCATOR.size, max(0, end - _END64.size - _LOCATOR.size))
    if len(record) == _END64.size + _LOCATOR.size and record.startswith(b"PK\x06\x06"):
        sign, *_ = _LOCATOR.unpack_from(record, _END64.size)
        if sign == b"PK\x06\x07":
            _, _, _, _, disk, first_disk, here, count, size, offset = _END64.unpack_from(record)
            end -= len(record)
    if disk or first_disk or here != count:
        raise zipfile.BadZipFile("a part of an archive in several files")
    if size > DEFAULT_LIMITS.max_metadata_bytes:
        raise LimitExceededError(
            f"a directory of {size} bytes, expected at most {DEFAULT_LIMITS.max_metadata_bytes}"
        )
    start = end - size
    if start < 0 or start < offset or count * _ENTRY.size > size:
        raise zipfile.BadZipFile(f"a directory of {count} members in {size} bytes at {offset}")
    return start, size, count, start - offset


def _from_extra(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Return sizes and offset, with those that have no room in an entry from its extra field (4.5.3)."""
    values = [size, packed, offset]
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            field = extra[4 : 4 + length]
            for number, value in enumerate(values):
                if value == _IN_EXTRA_FIELD:
                    if len(field) < 8:
                        raise zipfile.BadZipFile("an entry without its 64-bit sizes")
                    values[number], field = int.from_bytes(field[:8], "little"), field[8:]
            break
        extra = extra[4 + length :]
    return values[0], values[1], values[2]
