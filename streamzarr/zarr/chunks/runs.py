"""Runs of chunks: several neighbours of one shape, read or written in one go.

First all reads, then all decodes, then one copy into the result: two threads in different phases meet less
often at the GIL, and a copy of a row of chunks costs half of what its chunks cost one by one. Where a chunk
is contiguous in the result, it is decoded or read right there. Memory is borrowed (``scratch``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.stores import Store
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.chunks.scratch import Scratch
from streamzarr.zarr.codecs.base import ChunkSpec, NDArray, as_buffer
from streamzarr.zarr.codecs.chain import CodecChain
from streamzarr.zarr.indexing import Index, Part
from streamzarr.zarr.nodes.documents import get_optional

Fail: TypeAlias = Callable[[int, CodecError], CodecError]
"""Returns the error to raise about the chunk at a position of the run."""

PIECE_BYTES = 512 * 1024
"""What is read at a time of large chunks without a compressor: it stays in the second cache of a core."""
_ROOM = 4 << 20
"""Bytes borrowed for what is stored, unless one chunk may need more."""


def tiles_of(array: NDArray, part: Part) -> NDArray:
    """Return ``array[part.target]`` cut into the run's chunks: a view with one more axis in front.

    >>> import numpy as np
    >>> from streamzarr.zarr.grids.grid import regular_grid
    >>> from streamzarr.zarr.indexing import parse, plan
    >>> [row, _] = plan(parse(..., (2, 5)), regular_grid((2, 5), (2, 2)), run=2)
    >>> tiles_of(np.arange(10).reshape(2, 5), row).tolist()
    [[[0, 1], [5, 6]], [[2, 3], [7, 8]]]
    """
    selector: Any = (*part.target, ...)
    view: NDArray = array[selector]
    if part.length == 1:
        return view[np.newaxis]
    axis, shape = part.axis, view.shape
    cut = view.reshape((*shape[:axis], part.length, shape[axis] // part.length, *shape[axis + 1 :]))
    if not axis:
        return cut
    return cut.transpose((axis, *range(axis), *range(axis + 1, cut.ndim)))


def read_run(
    store: Store, chain: CodecChain, keys: Sequence[str], tiles: NDArray, source: Index, fill: Any, fail: Fail
) -> list[int]:
    """Set each of `tiles` to ``chunk[source]``; `chain` must be direct.

    Returns the positions of the chunks that are not stored; their tiles hold `fill`.
    """
    spec = chain.spec
    if tiles.shape[1:] == spec.shape and tiles[:1].flags.c_contiguous and tiles.dtype == spec.dtype:
        slots = slots_of(tiles, spec.nbytes or 0)
        absent = _fill_slots(store, chain, keys, slots, fail)
        for at in absent:
            tiles[at] = fill
        return absent
    nbytes = spec.nbytes or 0
    with Scratch(nbytes * len(keys)) as memory:
        slots = [memory[at : at + nbytes] for at in range(0, len(memory), nbytes)]
        absent = _fill_slots(store, chain, keys, slots, fail)
        blocks = np.frombuffer(memory, spec.dtype).reshape((len(keys), *spec.shape))
        for at in absent:
            blocks[at] = fill
        tiles[...] = blocks[(slice(None), *source)]
    return absent


def read_one(store: Store, chain: CodecChain, key: str, view: NDArray, source: Index) -> bool:
    """Set `view` to ``chunk[source]`` if the chunk is stored, and tell whether it is: a short run of one."""
    spec = chain.spec
    if view.shape == spec.shape and view.flags.c_contiguous:
        return _fill_slot(store, chain, key, as_buffer(view))
    if chain.is_plain and (rows := rows_of_piece(spec.shape, spec.nbytes or 0, source)):
        return _read_pieces(store, spec, key, view, source, rows)
    with Scratch(spec.nbytes or 0) as memory:
        stored = _fill_slot(store, chain, key, memory)
        if stored:
            view[...] = np.frombuffer(memory, spec.dtype).reshape(spec.shape)[source]
    return stored


def rows_of_piece(shape: tuple[int, ...], nbytes: int, source: Index) -> int:
    """Return in how many rows at a time to read a plain chunk that is copied on; 0 to read it in one go.

    >>> rows_of_piece((1024, 1024), 4 << 20, (slice(0, 1024, 1), slice(0, 1000, 1)))
    128
    >>> rows_of_piece((64, 64), 16 << 10, (slice(0, 64, 1), slice(0, 64, 1)))
    0
    """
    if nbytes < 2 * PIECE_BYTES or source[0].start or source[0].step != 1:
        return 0
    return PIECE_BYTES // (nbytes // shape[0])


def _read_pieces(store: Store, spec: ChunkSpec, key: str, view: NDArray, source: Index, rows: int) -> bool:
    """Copy a plain chunk to `view` piece by piece, each of which is still in the cache when it is copied."""
    row_nbytes = (spec.nbytes or 0) // spec.shape[0]
    done = 0
    with Scratch(rows * row_nbytes) as memory:
        block = np.frombuffer(memory, spec.dtype).reshape((rows, *spec.shape[1:]))

        def use(count: int) -> None:
            nonlocal done
            into = view[done : done + count // row_nbytes]
            into[...] = block[: len(into)][(slice(None), *source[1:])]
            done += count // row_nbytes

        size = store.get_pieces(key, memory, use)
    if size is not None and size != spec.nbytes:
        raise CodecError(f"bytes: got {size} bytes, expected {spec.nbytes}")
    return size is not None


def _fill_slot(store: Store, chain: CodecChain, key: str, slot: memoryview) -> bool:
    if chain.is_plain:
        size = store.get_into(key, slot)
        if size is not None and size != len(slot):
            raise CodecError(f"bytes: got {size} bytes, expected {len(slot)}")
        return size is not None
    with Scratch(chain.encoded_room) as memory:
        [data] = _stored(store, (key,), memory, chain.encoded_room, chain.most_stored)
        if data is not None:
            chain.decode_into(data, slot)
    return data is not None


def slots_of(tiles: NDArray, nbytes: int) -> list[memoryview]:
    """Return the memory of each tile; every one is contiguous."""
    if len(tiles) > 1 and tiles.flags.c_contiguous:
        flat = as_buffer(tiles)
        return [flat[at : at + nbytes] for at in range(0, len(flat), nbytes)]
    return [as_buffer(tiles[at, ...]) for at in range(len(tiles))]  # a tile may have no dimensions


def _fill_slots(
    store: Store, chain: CodecChain, keys: Sequence[str], slots: Sequence[memoryview], fail: Fail
) -> list[int]:
    """Read and decode each key into its slot; return the positions of those that are not stored."""
    if chain.is_plain:
        sizes = store.get_many_into(keys, slots)
        for at, size in enumerate(sizes):
            if size is not None and size != len(slots[at]):
                raise fail(at, CodecError(f"bytes: got {size} bytes, expected {len(slots[at])}"))
        return [at for at, size in enumerate(sizes) if size is None]
    absent: list[int] = []
    room = chain.encoded_room
    together = max(1, min(len(keys), _ROOM // room))
    with Scratch(room * together) as memory:
        for start in range(0, len(keys), together):
            found = _stored(store, keys[start : start + together], memory, room, chain.most_stored)
            for at, data in enumerate(found, start):
                if data is None:
                    absent.append(at)
                    continue
                try:
                    chain.decode_into(data, slots[at])
                except CodecError as error:
                    raise fail(at, error) from error
    return absent


def _stored(
    store: Store, keys: Sequence[str], memory: memoryview, room: int, limit: int
) -> list[BytesLike | None]:
    """Return what is stored under each key, in `memory` where `room` bytes do."""
    buffers = [memory[at : at + room] for at in range(0, room * len(keys), room)]
    found: list[BytesLike | None] = []
    for key, size, buffer in zip(keys, store.get_many_into(keys, buffers), buffers, strict=True):
        if size is None:
            found.append(None)
        else:
            found.append(buffer[:size] if size <= room else get_optional(store, key, limit))
    return found


def gather(tiles: NDArray, shape: tuple[int, ...], source: Index, fill: Any, memory: memoryview) -> NDArray:
    """Copy `tiles` into `memory` as blocks of `shape`, with `fill` where the array ends inside of them."""
    blocks = np.frombuffer(memory, tiles.dtype).reshape((len(tiles), *shape))
    if tiles.shape != blocks.shape:
        blocks[...] = fill
    blocks[(slice(None), *source)] = tiles
    return blocks
