"""Checking the rows of a field: all can be read, and rise where they should, as the record's bounds say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise
from typing import Any, Final

from streamzarr.errors import CodecError, KeyNotFoundError, LimitExceededError
from streamzarr.stores.parallel import batches, in_parallel
from streamzarr.stream.bounds import Bounds, stored_value
from streamzarr.stream.field_rows import FieldRows
from streamzarr.stream.findings import Finding, Kind
from streamzarr.stream.schema import chunk_rows_of, is_sorted
from streamzarr.stream.snapshot import Snapshot
from streamzarr.zarr.codecs.base import NDArray

READ_BYTES: Final = 64 << 20
"""Chunks are read together up to about so much, and one alone where it is larger; of texts one at a time is
read, as nobody knows how long they are."""
READ_CHUNKS: Final = 256
"""Chunks of rows that are read together, at most: after an error each is read once more."""

Found = tuple[Finding, int | None]
"""A finding, and behind which row it is none any more once the rows before that were given up."""


def chunks_at_once(field: FieldRows, most: int) -> int:
    """Return how many chunks of rows may be in memory together, `most` at most."""
    if field.dtype.hasobject:
        return 1
    rows = chunk_rows_of(field.view.document.fields[field.name])
    return max(1, min(most, READ_BYTES // max(rows * math.prod(field.shape[1:]) * field.dtype.itemsize, 1)))


def check_rows(snapshot: Snapshot, name: str, advance: Callable[[int], None]) -> Iterator[Found]:
    """Read a field; yield the chunks that cannot be read, and where values are not as the root says.

    `advance` is called with how many chunks more were read.
    """
    field = snapshot[name]
    is_in_order = is_sorted(snapshot.document.fields[name])
    bounds = snapshot.record.bounds.get(name) if is_in_order and len(field) else None
    last, behind = None, 0
    unlike = [] if bounds is None else [*_miscounted(field, bounds)]
    for start, found in _read_chunks(field, advance):
        if isinstance(found, tuple):
            yield found
        elif is_in_order:
            yield from _order(field, found, start, last if start == behind else None)
            last, behind = found[-1], start + len(found)
            if bounds is not None:
                unlike += _unlike(field, bounds, found, field.start + start)
    if unlike:
        yield Finding(Kind.BOUNDS, field.url, name, unlike[0]), None


def count_chunks(field: FieldRows) -> int:
    """Return how many chunks of rows there are to read."""
    return len(field.chunk_starts) + 1 if len(field) else 0


def _read_chunks(field: FieldRows, advance: Callable[[int], None]) -> Iterator[tuple[int, NDArray | Found]]:
    """Yield where chunks of a field begin among its rows, and their values or why there are none.

    Those that are given up meanwhile may be left out.
    """
    ends = chain(field.chunk_starts, [len(field)])
    chunks = (range(*each) for each in pairwise(chain([0], ends)))
    for batch in batches((each for each in chunks if each), chunks_at_once(field, READ_CHUNKS)):
        yield from _read_batch(field, batch)
        advance(len(batch))


def _read_batch(field: FieldRows, chunks: list[range]) -> Iterable[tuple[int, NDArray | Found]]:
    """Read chunks in one go, so that requests overlap; when that fails each, to tell which it is."""
    first, stop = chunks[0].start, chunks[-1].stop
    try:
        first, values = _still_there(field, first, stop)
    except (KeyNotFoundError, CodecError, LimitExceededError) as error:
        if len(chunks) == 1:
            return [(first, _unreadable(field, chunks[0], error))]
    else:
        starts = ((max(each.start, first), each.stop) for each in chunks if each.stop > first)
        return [(start, values[start - first : stop - first]) for start, stop in starts]
    at_once = field.view.store.capabilities.in_flight
    return chain(*in_parallel(lambda each: _read_batch(field, [each]), chunks, at_once))


def _unreadable(field: FieldRows, chunk: range, error: Exception) -> Found:
    rows = f"rows {field.start + chunk.start} to {field.start + chunk.stop} of {field.name!r}"
    kind, what = Kind.DAMAGED, f"{rows}: {error}"
    if isinstance(error, KeyNotFoundError):
        kind, what = Kind.MISSING, f"{rows} were committed, but {error}"
    return Finding(kind, field.url, field.name, what), field.start + chunk.stop


def _still_there(field: FieldRows, start: int, stop: int) -> tuple[int, NDArray]:
    """Read rows but those that were given up since the check began; also return where they begin."""
    while True:
        try:
            return start, field.read(slice(start, stop))
        except KeyNotFoundError:
            first = field.view.renewed().document.record.first_row - field.start
            if not start < first < stop:
                raise
            start = first


def _order(field: FieldRows, values: NDArray, start: int, last: Any) -> Iterator[Found]:
    rising = values[:-1] <= values[1:]
    at = None if rising.all() else int(rising.argmin()) + 1
    if last is not None and not last <= values[0]:
        at = 0
    if at is not None:
        before = last if at == 0 else values[at - 1]
        what = f"{field.name!r} is sorted, but row {field.start + start + at} has {values[at]} after {before}"
        yield Finding(Kind.DECREASES, field.url, field.name, what), field.start + start + at


def _miscounted(field: FieldRows, bounds: Bounds) -> Iterator[str]:
    expected = -(-field.stop // bounds.every)
    if len(bounds.values) != expected:
        yield f"{len(bounds.values)} bounds of {field.name!r}, expected {expected}"


def _unlike(field: FieldRows, bounds: Bounds, values: NDArray, start: int) -> Iterator[str]:
    """Compare values, which begin with row `start`, with the bounds that lie among them."""
    first = -(-start // bounds.every)
    for number, given in enumerate(bounds.values[first:], first):
        row = number * bounds.every
        if row >= start + len(values):
            break
        if (found := stored_value(values[row - start])) != given:
            yield f"the record says that row {row} of {field.name!r} is {given}, but it is {found}"
