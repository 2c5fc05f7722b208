"""Rows of one field as an array that reads when it is indexed."""

from __future__ import annotations

import math
import operator
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from streamzarr.errors import KeyNotFoundError
from streamzarr.stream.reads import Read
from streamzarr.stream.schema import chunk_rows_of
from streamzarr.stream.view import Piece, View
from streamzarr.zarr import indexing
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.indexing.fields import as_element


class FieldRows:
    """Rows `start` to `stop` of a field: indexed as numpy's arrays are, from 0, and read only then.

    Immutable, thread-safe, picklable. Indexing blocks on the store, and gives arrays of the caller's own.

    Along the rows an index is an integer, a slice, or a list of integers or booleans; along further axes it
    is what a :class:`streamzarr.zarr.Array` takes, but no list beside one of rows.

    Examples
    --------
    >>> import streamzarr as sz
    >>> with sz.StreamWriter("memory://values", schema={"value": "i4"}) as writer:
    ...     writer.append({"value": [10, 20, 30, 40]})
    >>> values = sz.open_stream("memory://values")["value"]
    >>> values.shape, values[1:], values[[0, -1]]
    ((4,), array([20, 30, 40], dtype=int32), array([10, 40], dtype=int32))
    """

    __slots__ = ("_pieces", "_reads", "_urls", "name", "start", "stop", "view")

    def __init__(self, view: View, name: str, start: int, stop: int) -> None:
        self.view, self.name, self.start, self.stop = view, name, start, stop
        self._pieces, self._reads = view.pieces(name), view.reads
        self._urls = {piece.array.url for piece in self._pieces}

    # What is there

    @property
    def url(self) -> str:
        """The URL of the field's array."""
        return self._pieces[-1].array.url

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, then the shape of one."""
        return len(self), *self._pieces[-1].array.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of what is read."""
        return self._pieces[-1].array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes, that of the rows included."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements in memory."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk. Chunks begin at multiples of it in the stream, not in these rows."""
        return self._pieces[-1].array.chunks

    @property
    def dimension_names(self) -> tuple[str | None, ...]:
        """The names of the axes; ``"row"`` is the first."""
        return self._pieces[-1].array.dimension_names or ("row", *[None] * (self.ndim - 1))

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes of the field's array."""
        return self.view.document.fields[self.name].attributes

    @property
    def chunk_starts(self) -> range:
        """Where a chunk begins among these rows, but for the first, which may begin before them."""
        length = chunk_rows_of(self.view.document.fields[self.name])
        return range(length - self.start % length, len(self), length)

    # Reading

    def __getitem__(self, selection: Any) -> Any:
        """Return elements; see :meth:`read`. An element of variable length is no array, as in numpy."""
        return as_element(self.read(selection), selection)

    def read(self, selection: Any = ...) -> NDArray:
        """Return the elements that a selection names.

        Raises
        ------
        IndexError
            The selection is out of bounds or not supported.
        streamzarr.errors.KeyNotFoundError
            The rows were given up since the snapshot was taken, or a chunk is missing that was committed.
        streamzarr.errors.CodecError
            A chunk is corrupt; names array, chunk, key and codec.
        streamzarr.errors.StoreError
            The store failed.
        """
        first, rest = self._split(selection)
        with self._reads.one(self._urls, self.view.sealed, self.view.tail) as read:
            try:
                values = self._read(first, rest)
            except KeyNotFoundError:
                if (anew := self._in_shards(0)) is None:
                    raise
                read.forget(self.url)  # what lies in shards is what belongs there
                return anew.read(selection)
            if read.is_confirmed and self._is_in_place and not self._is_never_kept:
                return values
            return self._confirmed(values, first, selection, read)

    def _confirmed(self, values: NDArray, first: Any, selection: Any, read: Read) -> NDArray:
        """Return `values`, which were just fetched, if their chunks are still where rows of them belong."""
        lowest = self._lowest(first)
        if lowest is None:
            return values
        now = self.view.renewed()
        if lowest < now.document.record.first_row:
            raise self.view.lost(lowest, KeyNotFoundError(f"{self.url}: row {lowest} is not there any more"))
        anew = self._in_shards(lowest, now)
        if anew is None:
            return values
        read.forget(self.url)
        return anew.read(selection)

    def _in_shards(self, lowest: int, now: View | None = None) -> FieldRows | None:
        """Return the same rows as they are read now, if more of those from `lowest` on are in shards."""
        now = now or self.view.renewed()
        sealed, ours = (each.document.record.sealed.get(self.name, 0) for each in (now, self.view))
        return FieldRows(now, self.name, self.start, self.stop) if sealed > max(ours, lowest) else None

    @property
    def _is_in_place(self) -> bool:
        """Whether nobody has opened another stream at this URL, whose chunks the cache then has."""
        return self._reads.stream in (None, self.view.document.record.stream)

    @property
    def _is_never_kept(self) -> bool:
        """Whether chunks of this field are fetched each time."""
        return self.view.document.fields[self.name].data_type.elements_change

    def _lowest(self, first: Any) -> int | None:
        """Return the first row of the stream that is chosen; None: there is none."""
        if isinstance(first, slice):
            rows = range(len(self))[first]
            return self.start + min(rows[0], rows[-1]) if rows else None
        if np.ndim(first):
            positions = self._positions(first)
            return int(positions.min()) if positions.size else None
        return self.start + operator.index(first) % len(self)

    def _read(self, first: Any, rest: tuple[Any, ...]) -> NDArray:
        if isinstance(first, slice):
            rows = range(len(self))[first]
            if rows.step > 0:
                return self._range(rows, rest)
            return self._range(rows[::-1], rest)[::-1]
        if np.ndim(first):
            if any(np.ndim(each) for each in rest if not isinstance(each, slice)):
                raise IndexError(f"{self.url}: a list of rows allows no list along another axis")
            return self._listed(self._positions(first), rest)
        row = operator.index(first)
        if not -len(self) <= row < len(self):
            raise IndexError(f"{self.url}: row {row} is out of bounds for {len(self)} rows")
        row = self.start + row % len(self)
        piece = next(piece for piece in self._pieces if row < piece.stop)
        return self._from(piece, row, (row, *rest), None)

    def _split(self, selection: Any) -> tuple[Any, tuple[Any, ...]]:
        """Return what is chosen of the rows, and of the other axes."""
        items = selection if isinstance(selection, tuple) else (selection,)
        if items and items[0] is Ellipsis:
            items = items[1:] if len(items) > self.ndim else (slice(None), *items)
        return (items[0], items[1:]) if items else (slice(None), ())

    def _positions(self, rows: Any) -> NDArray:
        """Return a list of rows as row numbers of the stream."""
        given = np.asarray(rows)
        if given.dtype == bool and given.shape == (len(self),):
            given = np.flatnonzero(given)
        if not given.size:
            given = given.astype(np.int64)
        if given.ndim != 1 or given.dtype.kind not in "iu":
            raise IndexError(
                f"{self.url}: expected a list of integers, or of {len(self)} booleans, "
                f"got {given.dtype} of shape {given.shape}"
            )
        if given.size and not (-len(self) <= given.min() and given.max() < len(self)):
            raise IndexError(f"{self.url}: rows {given.min()} to {given.max()} of {len(self)} are asked for")
        positions: NDArray = np.where(given < 0, given + len(self), given).astype(np.int64) + self.start
        return positions

    def _range(self, rows: range, rest: tuple[Any, ...]) -> NDArray:
        """Read rows that ascend, each piece of them in its way."""
        out = np.empty(self._shape(slice(rows.start, rows.stop, rows.step), rest), self.dtype)
        left, done = range(self.start + rows.start, self.start + rows.stop, rows.step), 0
        for piece in self._pieces:
            here = left[: bisect_left(left, piece.stop)]
            if here:
                chosen = slice(here.start, here.stop, here.step)
                self._from(piece, here.start, (chosen, *rest), out[done : done + len(here)])
            left, done = left[len(here) :], done + len(here)
        return out

    def _listed(self, positions: NDArray, rest: tuple[Any, ...]) -> NDArray:
        out = np.empty((len(positions), *self._shape(slice(0, 0), rest)[1:]), self.dtype)
        start = self.start
        for piece in self._pieces:
            here = (start <= positions) & (positions < piece.stop)
            if here.any():
                chosen = positions[here]
                out[here] = self._from(piece, int(chosen.min()), (chosen, *rest), None)
            start = max(start, piece.stop)
        return out

    def _shape(self, rows: slice, rest: tuple[Any, ...]) -> tuple[int, ...]:
        return indexing.parse((rows, *rest), self.shape).shape

    def _from(self, piece: Piece, first: int, chosen: Any, out: NDArray | None) -> NDArray:
        try:
            return piece.array.read(chosen, missing=piece.missing, out=out)
        except KeyNotFoundError as error:
            raise self.view.lost(first, error) from error

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError(f"{self.url}: reading an array always copies; copy=False cannot be had")
        data = self.read()
        return data if dtype is None else data.astype(dtype, copy=False)

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[Any]:
        """Yield row after row; a chunk is in memory at a time."""
        ends = [*self.chunk_starts, len(self)]
        for start, stop in zip([0, *ends], ends, strict=False):
            yield from self.read(slice(start, stop))

    def __getstate__(self) -> tuple[View, str, int, int]:
        return self.view, self.name, self.start, self.stop

    def __setstate__(self, state: tuple[View, str, int, int]) -> None:
        FieldRows.__init__(self, *state)

    def __repr__(self) -> str:
        return f"<FieldRows {self.url} shape={self.shape} dtype={self.dtype}>"
