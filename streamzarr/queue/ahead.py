"""Which records beyond a committed position are settled, as a text that is kept with the position.

A restart reads from the position on. Where one slow record holds that back, thousands behind it are settled,
and would be repeated; the text says which. It is a help, not the truth: what does not fit into it is
repeated, and a text of somebody else's says nothing. Tools copy texts: to another cluster, beside a position
that means other records there. So a text names the position that it belongs to.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from streamzarr.queue.base import MAX_NOTE_BYTES

_MARK: Final = "streamzarr.ahead:2:"
_MAX_RUNS: Final = 1 << 20
"""Runs that a text may tell of, when it is read: it comes from a broker."""
_MAX_BYTES: Final = 1 << 22


def encode(position: int, done: Sequence[range], limit: int = MAX_NOTE_BYTES) -> str:
    """Return a text of at most `limit` bytes that says which offsets from `position` on are done.

    Parameters
    ----------
    done
        Ascending, apart, none empty and none below `position`. What does not fit is left out from the end.

    Examples
    --------
    >>> encode(100, [])
    ''
    >>> text = encode(100, [range(101, 5000), range(5002, 5003)])
    >>> len(text) < 50, decode(100, text)
    (True, [range(101, 5000), range(5002, 5003)])
    """
    count = len(done)
    while count:
        text = _begin(position) + base64.b85encode(zlib.compress(_pack(position, done[:count]), 9)).decode()
        if len(text) <= limit:
            return text
        # By what fitted of the whole, and a little less, so that few tries are needed.
        count = min(count - 1, int(count * limit / len(text) * 0.95))
    return ""


def without(offsets: Sequence[int], done: Sequence[range]) -> list[slice]:
    """Return the stretches of ascending `offsets` that are not `done`.

    >>> without([10, 11, 12, 15, 16], [range(0, 11), range(12, 16)])
    [slice(1, 2, None), slice(4, 5, None)]
    """
    found, start = [], 0
    for each in done:
        stop = bisect_left(offsets, each.start, start)
        if start < stop:
            found.append(slice(start, stop))
        start = bisect_left(offsets, each.stop, stop)
    if start < len(offsets):
        found.append(slice(start, len(offsets)))
    return found


def decode(position: int, text: str) -> list[range]:
    """Return the offsets that are done by a text that was kept with `position`; none, if it is no such text.

    >>> decode(100, "somebody else's"), decode(101, encode(100, [range(102, 103)]))
    ([], [])
    """
    if not text.startswith(_begin(position)):
        return []
    try:
        unpacker = zlib.decompressobj()
        packed = unpacker.decompress(base64.b85decode(text.removeprefix(_begin(position))), _MAX_BYTES)
        if (
            not unpacker.eof or unpacker.unused_data
        ):  # cut, so without its checksum, or followed by what is not ours
            return []
        return list(_unpack(position, packed))
    except (ValueError, binascii.Error, zlib.error):
        return []


def _begin(position: int) -> str:
    return f"{_MARK}{position}:"


def joined(ranges: Iterable[range]) -> list[range]:
    """Return ranges, which ascend, without those that are empty; neighbours, and those that overlap, as one.

    >>> joined([range(1, 3), range(3, 3), range(3, 5), range(4, 5), range(7, 8)])
    [range(1, 5), range(7, 8)]
    """
    found: list[range] = []
    for each in ranges:
        if each and found and found[-1].stop >= each.start:
            found[-1] = range(found[-1].start, max(found[-1].stop, each.stop))
        elif each:
            found.append(each)
    return found


def _pack(position: int, done: Iterable[range]) -> bytes:
    """Write how far each range is behind the one before, and how long it is."""
    packed = bytearray()
    at = position
    for each in done:
        for number in (each.start - at, len(each)):
            while number > 0x7F:
                packed.append(number & 0x7F | 0x80)
                number >>= 7
            packed.append(number)
        at = each.stop
    return bytes(packed)


def _unpack(position: int, packed: bytes) -> Iterator[range]:
    numbers, number, shift = [], 0, 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
        elif shift > 63:
            raise ValueError("a number of more than 64 bits")
    if len(numbers) % 2 or len(numbers) > 2 * _MAX_RUNS:
        raise ValueError("a gap without its run, or too many of them")
    at = position
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        if length:
            yield range(at + gap, at + gap + length)
        at += gap + length
