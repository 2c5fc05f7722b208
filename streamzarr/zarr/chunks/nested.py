"""Shards inside of shards: from the pieces of a shard that are wanted down to chunks, by byte ranges.

Each level costs one more read, of the indexes of all its shards that are wanted in part. A shard that is
wanted whole is not taken apart: it is one piece, and decoded as a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.codecs.sharding import ShardIndex, ShardLayout
from streamzarr.zarr.indexing import Part, Points, plan

Fetch: TypeAlias = Callable[[Sequence[tuple[int, int]]], list[memoryview]]
"""Returns the bytes of an object at ranges ``(start, stop)``, which it may join."""
Copy: TypeAlias = tuple[NDArray, Any, NDArray]
"""``view[target] = block``, for ``(view, target, block)``."""


class Piece(NamedTuple):
    """An encoded inner chunk that is wanted, and where what is selected of it goes."""

    layout: ShardLayout
    """Of the shard that it is in."""
    part: Part
    """What of the chunk goes where in `view`."""
    start: int
    """Its first byte in the object."""
    stop: int
    view: NDArray

    @property
    def is_split(self) -> bool:
        """Whether to look for smaller pieces: it is a shard itself, and not all of it is wanted."""
        return self.layout.nested is not None and not self.part.whole


def locate(
    layout: ShardLayout,
    index: ShardIndex,
    parts: Iterator[Part] | Sequence[Part],
    view: NDArray,
    place: tuple[int, int | None] = (0, None),
) -> list[Piece]:
    """Return the pieces of `parts` that are stored, and set those that are not to the fill value.

    Parameters
    ----------
    place
        Where in the object the shard is; its end is known of inner ones.
    """
    start, stop = place
    pieces = []
    for part in parts:
        found = index.locate(part.chunk)
        if found is None:
            view[part.target] = layout.spec.fill
            continue
        if stop is not None:
            layout.check(part.chunk, found[1], stop - start)
        pieces.append(Piece(layout, part, start + found[0], start + found[1], view))
    return pieces


def chunks_of(pieces: list[Piece], fetch: Fetch) -> tuple[list[Piece], list[Copy]]:
    """Take pieces that are shards apart, until none is left to be split.

    Returns
    -------
    pieces
        What is left to be read and decoded.
    copies
        What is to be done when it is, in this order.

    Raises
    ------
    streamzarr.errors.CodecError
        An index is not valid.
    """
    if not pieces or pieces[0].layout.nested is None:  # the usual case; they are of one shard
        return pieces, []
    whole = [piece for piece in pieces if not piece.is_split]
    copies: list[Copy] = []
    while split := [piece for piece in pieces if piece.is_split]:
        pieces = []
        for piece, stored in zip(split, fetch([_index_of(each) for each in split]), strict=True):
            layout, view = piece.layout.nested, _view(piece)
            assert layout is not None
            if not piece.part.is_view:
                copies.append((piece.view, piece.part.target, view))
            try:
                index = layout.decode_index(stored)
                parts = plan(piece.part.selected, layout.grid)
                pieces += locate(layout, index, parts, view, (piece.start, piece.stop))
            except CodecError as error:
                raise type(error)(f"sharding_indexed: inner chunk {piece.part.chunk}: {error}") from error
        whole += [piece for piece in pieces if not piece.is_split]
    return whole, copies[::-1]


def _index_of(piece: Piece) -> tuple[int, int]:
    layout = piece.layout.nested
    assert layout is not None
    nbytes = layout.index_nbytes
    if piece.stop - piece.start < nbytes:
        raise CodecError(
            f"sharding_indexed: inner chunk {piece.part.chunk}: got {piece.stop - piece.start} bytes, "
            f"expected an index of {nbytes} in them"
        )
    if layout.location == "start":
        return piece.start, piece.start + nbytes
    return piece.stop - nbytes, piece.stop


def _view(piece: Piece) -> NDArray:
    """Return what the parts of a piece are to be written to: a view of its place, or a block of its own."""
    if piece.part.is_view:
        selector: Any = (*piece.part.target, ...)
        view: NDArray = piece.view[selector]
        return view
    selected = piece.part.selected
    shape = (selected.count,) if isinstance(selected, Points) else selected.full_shape
    return np.empty(shape, piece.view.dtype)
