"""Planning how to read many byte ranges of one value with few requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamzarr.stores.base import ByteRange, RangeRequest, SuffixRequest


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request, from `start` to `stop` (exclusive), and the numbers of the pieces that lie in it."""

    start: int
    stop: int
    pieces: tuple[int, ...]


def merge(pieces: Sequence[tuple[int, int]], *, max_gap: int, max_size: int) -> list[Fetch]:
    """Merge pieces ``(start, stop)`` that lie close together into one request each.

    Pieces may overlap and come in any order. Two neighbours share a request when no more than `max_gap` bytes
    between them would be read for nothing, and the request then has at most `max_size` bytes; a piece larger
    than that is a request of its own. Takes about the time of sorting them.

    >>> merge([(100, 110), (0, 10), (12, 20)], max_gap=5, max_size=1000)
    [Fetch(start=0, stop=20, pieces=(1, 2)), Fetch(start=100, stop=110, pieces=(0,))]
    """
    fetches: list[Fetch] = []
    first = last = 0
    numbers: list[int] = []
    for number in sorted(range(len(pieces)), key=pieces.__getitem__):
        start, stop = pieces[number]
        end = max(last, stop)
        if numbers and start - last <= max_gap and end - first <= max_size:
            last = end
            numbers.append(number)
            continue
        if numbers:
            fetches.append(Fetch(first, last, tuple(numbers)))
        first, last, numbers = start, stop, [number]
    if numbers:
        fetches.append(Fetch(first, last, tuple(numbers)))
    return fetches


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes to read in one request, and the ranges (by their position in the question) cut from it."""

    read: ByteRange
    parts: tuple[int, ...]


def coalesce(ranges: Sequence[ByteRange], *, max_gap: int, max_size: int) -> list[Span]:
    """Merge ranges that lie near each other, so that one request reads them together; see :func:`merge`.

    Suffixes, and ranges to the end, are requests of their own, since where they lie is not known.

    Examples
    --------
    >>> from streamzarr.stores import SuffixRequest
    >>> asked = [RangeRequest(50, 60), SuffixRequest(4), RangeRequest(0, 10), RangeRequest(12, 20)]
    >>> for span in coalesce(asked, max_gap=5, max_size=100):
    ...     print(span.read, span.parts)
    SuffixRequest(length=4) (1,)
    RangeRequest(start=0, stop=20) (2, 3)
    RangeRequest(start=50, stop=60) (0,)
    """
    spans: list[Span] = []
    places: list[tuple[int, int]] = []
    asked: list[int] = []
    for index, wanted in enumerate(ranges):
        if isinstance(wanted, RangeRequest) and wanted.stop is not None:
            places.append((wanted.start, max(wanted.start, wanted.stop)))
            asked.append(index)
        else:
            spans.append(Span(wanted, (index,)))
    spans += [
        Span(RangeRequest(fetch.start, fetch.stop), tuple([asked[number] for number in fetch.pieces]))
        for fetch in merge(places, max_gap=max_gap, max_size=max_size)
    ]
    return spans


def cut(data: bytes, read: ByteRange, wanted: ByteRange) -> bytes:
    """Return `wanted` from the `data` that reading its span's `read` gave."""
    if read == wanted:
        return data
    assert isinstance(read, RangeRequest)
    assert isinstance(wanted, RangeRequest)
    assert wanted.stop is not None
    return data[wanted.start - read.start : max(wanted.start, wanted.stop) - read.start]


def http_range(byte_range: ByteRange) -> str:
    """Return the HTTP form of a range that is not empty; its last byte is inclusive."""
    if isinstance(byte_range, SuffixRequest):
        return f"bytes=-{byte_range.length}"
    last = "" if byte_range.stop is None else byte_range.stop - 1
    return f"bytes={byte_range.start}-{last}"
