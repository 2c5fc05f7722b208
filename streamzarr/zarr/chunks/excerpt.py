"""Parts of large chunks whose bytes lie in the store as they are: only the ranges that hold them are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

import numpy as np

from streamzarr.errors import CodecError, KeyNotFoundError
from streamzarr.stores import RangeRequest, Store
from streamzarr.zarr.chunks.scratch import MAX_KEPT_BYTES
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.codecs.chain import CodecChain
from streamzarr.zarr.codecs.raw import BytesCodec
from streamzarr.zarr.codecs.transpose import TransposeCodec
from streamzarr.zarr.indexing import Index, Part

MIN_CHUNK_BYTES = 128 << 10
"""Smaller chunks are read whole: that costs little more than a request."""
MAX_GAP = 32 << 10
"""Bytes read for nothing rather than asked around: what one more range of a file costs. Stores to which
requests cost more join them further."""
MAX_LARGE_GAP = 4 << 10
"""The same in chunks for which memory is taken anew, which costs more than to read into it."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Ranges of one length in a chunk's bytes, each of which holds a block of what is wanted."""

    chunk_bytes: int
    """Of the whole chunk."""
    offsets: tuple[int, ...]
    length: int
    order: tuple[int, ...]
    """The axes of the chunk, as they are stored from the outermost to the innermost."""
    outer: tuple[int, ...]
    """How many elements are wanted along the stored axes whose steps lead from range to range."""
    inner: tuple[int, ...]
    """How many along the other axes."""
    strides: tuple[int, ...]
    """Bytes between two of these."""
    dtype: np.dtype[Any]
    """Of the elements as they are stored."""

    def read_into(self, store: Store, key: str, view: NDArray, start: int = 0) -> bool:
        """Set `view` to what is wanted if `key` is stored, and tell whether it is.

        Parameters
        ----------
        start
            Where in the value the chunk begins.

        Raises
        ------
        streamzarr.errors.CodecError
            The chunk ends before what is wanted of it does.
        """
        ranges = [RangeRequest(start + at, start + at + self.length) for at in self.offsets]
        try:
            found = [store.get(key, ranges[0])] if len(ranges) == 1 else store.get_ranges(key, ranges)
        except KeyNotFoundError:
            return False
        view = view.transpose(self.order)
        for at, offset, data in zip(np.ndindex(self.outer), self.offsets, found, strict=True):
            if len(data) != self.length:
                raise CodecError(f"bytes: got {offset + len(data)} bytes, expected {self.chunk_bytes}")
            view[(*at, ...)] = np.ndarray(self.inner, self.dtype, data, strides=self.strides)
        return True


def read_excerpt(
    store: Store, key: str, chain: CodecChain, part: Part, out: NDArray, start: int = 0
) -> bool | None:
    """Set ``out[part.target]`` to ``chunk[part.source]``, and tell whether `key` is stored.

    Returns None, and has done nothing, where the whole chunk is to be read; `start` as in
    :meth:`Excerpt.read_into`.
    """
    box = part.source if part.is_view else box_around(part.source)
    found = None if box is None else excerpt(chain, box)
    if box is None or found is None:
        return None
    if part.is_view:
        selector: Any = (*part.target, ...)
        return found.read_into(store, key, out[selector], start)
    block = np.empty([edge.stop - edge.start for edge in box], out.dtype)
    stored = found.read_into(store, key, block, start)
    if stored:
        inside = [each - edge.start for each, edge in zip(part.source, box, strict=True)]
        out[part.target] = block[tuple(inside)]
    return stored


def excerpt(chain: CodecChain, source: Sequence[slice]) -> Excerpt | None:
    """Return how to read ``chunk[source]``; None where to read the whole chunk, which may be the only way.

    Examples
    --------
    >>> from streamzarr.zarr.codecs.base import ChunkSpec
    >>> from streamzarr.zarr.codecs.chain import codec_chain
    >>> chain = codec_chain([BytesCodec()], ChunkSpec((1024, 1024), np.dtype("f4"), np.float32(0)))
    >>> row = excerpt(chain, (slice(7, 8, 1), slice(0, 1024, 1)))
    >>> row.offsets, row.length
    ((28672,), 4096)
    >>> excerpt(chain, (slice(0, 1024, 1), slice(7, 8, 1))) is None
    True
    """
    nbytes = chain.spec.nbytes or 0
    if nbytes < MIN_CHUNK_BYTES or (form := _stored_form(chain)) is None:
        return None
    order, dtype = form
    max_gap = MAX_GAP if nbytes <= MAX_KEPT_BYTES else MAX_LARGE_GAP
    if any([each.step < 1 for each in source]):  # noqa: C419
        return None
    counts = [-(-(source[axis].stop - source[axis].start) // source[axis].step) for axis in order]
    strides: list[int] = []
    start, unit, length = 0, dtype.itemsize, dtype.itemsize
    joined = len(order)  # the stored axes from here on are within one range
    for at in range(len(order) - 1, -1, -1):
        chosen = source[order[at]]
        stride = unit * chosen.step
        strides.insert(0, stride)
        start += unit * chosen.start
        unit *= chain.spec.shape[order[at]]
        if joined == at + 1 and (counts[at] == 1 or stride - length <= max_gap):
            joined = at
            length += (counts[at] - 1) * stride
    outer = counts[:joined]
    if 2 * length * math.prod(outer) > nbytes:
        return None
    offsets = [start + sum(map(mul, at, strides)) for at in np.ndindex(*outer)]
    inner, strides = counts[joined:], strides[joined:]
    return Excerpt(nbytes, tuple(offsets), length, order, tuple(outer), tuple(inner), tuple(strides), dtype)


def _stored_form(chain: CodecChain) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Return order of axes and dtype in which a chunk's elements are stored; None where codecs hide them."""
    if chain.bytes_bytes or not isinstance(chain.array_bytes, BytesCodec):
        return None
    order = tuple(range(len(chain.spec.shape)))
    for step in chain.array_array:
        if not isinstance(step, TransposeCodec):
            return None
        order = tuple([order[axis] for axis in step.order])
    return order, chain.array_bytes.stored_dtype(chain.spec.dtype)


def box_around(source: Index) -> tuple[slice, ...] | None:
    """Return the smallest slices that hold what index arrays select, one of each axis; None for nothing.

    >>> box_around((np.array([[3], [5]]), np.array([[2, 9]])))
    (slice(3, 6, 1), slice(2, 10, 1))
    """
    if not all(each.size for each in source):
        return None
    return tuple([slice(int(each.min()), int(each.max()) + 1, 1) for each in source])
