"""Planning how to read many byte ranges of one value with few requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamzarr.stores.base import ByteRange, RangeRequest, SuffixRequest


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes to read in one request, and the ranges (by their position in the question) cut from it."""

    read: ByteRange
    parts: tuple[int, ...]


def coalesce(ranges: Sequence[ByteRange], *, max_gap: int, max_size: int) -> list[Span]:
    """Merge ranges that lie near each other, so that one request reads them together.

    Ranges with a start and a stop merge when at most `max_gap` bytes lie between them and the result has at
    most `max_size` bytes; the bytes between are read and thrown away. Suffixes, and ranges to the end, are
    requests of their own, since where they lie is not known.

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
    bounded: list[tuple[int, int, int]] = []
    for index, wanted in enumerate(ranges):
        if isinstance(wanted, RangeRequest) and wanted.stop is not None:
            bounded.append((wanted.start, max(wanted.start, wanted.stop), index))
        else:
            spans.append(Span(wanted, (index,)))
    first, last, parts = 0, 0, list[int]()
    for start, stop, index in sorted(bounded):
        if parts and start - last <= max_gap and max(last, stop) - first <= max_size:
            last = max(last, stop)
            parts.append(index)
        else:
            if parts:
                spans.append(Span(RangeRequest(first, last), tuple(parts)))
            first, last, parts = start, stop, [index]
    if parts:
        spans.append(Span(RangeRequest(first, last), tuple(parts)))
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
