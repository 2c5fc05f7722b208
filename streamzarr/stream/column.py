"""One field in the hands of the writer: its rows in memory, and its chunks in the store."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from streamzarr.errors import CodecError, KeyNotFoundError
from streamzarr.runtime import Runtime
from streamzarr.stores import join_url
from streamzarr.stores.base import BytesLike
from streamzarr.stream import failpoints
from streamzarr.stream.chunks import FencedChunks
from streamzarr.stream.failpoints import Failpoint
from streamzarr.stream.mark import MARK_BYTES, marked
from streamzarr.stream.schema import chunk_rows_of, is_sorted
from streamzarr.stream.tail import STAMPED, Block, Tail, stamp
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.metadata import ArrayMetadataV3
from streamzarr.zarr.nodes.paths import key_below


class Column:
    """Rows of one field. Owned by one thread at a time; what puts chunks blocks on the store.

    Parameters
    ----------
    path
        Of the field's array in the store.
    """

    def __init__(
        self, path: str, array: ArrayMetadataV3, chunks: FencedChunks, url: str, runtime: Runtime
    ) -> None:
        self._path, self._array, self._chunks, self._runtime = path, array, chunks, runtime
        self.url = join_url(url, path)
        self.chunk_rows = chunk_rows_of(array)
        self._shape = array.chunk_grid.chunk_shape
        self._chain = array.chain()
        self._last_codec: str = array.to_json()["codecs"][-1]["name"]
        self.tail = Tail((self.chunk_rows, *array.shape[1:]), array.dtype, array.fill_value)
        self.last: NDArray | None = None
        """Of a sorted field the last row that was committed when we began; None: there was none."""
        self._stored: Block | None = None
        """The block that the tail's chunk holds in the store."""

    def begin(self, rows: int) -> None:
        """Begin behind `rows` rows of which none is stored: they are the fill value."""
        number, filled = divmod(rows, self.chunk_rows)
        self.tail.start(number, self.tail.empty()[:filled])

    def fill(self, count: int) -> NDArray:
        """Return `count` rows of the fill value."""
        return np.full((count, *self._array.shape[1:]), self._array.fill_value, self._array.dtype)

    @property
    def bytes_of_rows(self) -> int:
        """Bytes of the rows of the chunk that is not full."""
        block = self.tail.block
        return block.rows[: block.filled].nbytes

    def take(self, values: NDArray) -> None:
        """Add rows, and put each chunk that becomes full; raises as :meth:`FencedChunks.put`."""
        for block in self.tail.extend(values):
            self.put(block)

    def put(self, block: Block) -> None:
        """Put a chunk; raises as :meth:`FencedChunks.put`. Any thread may, each another block."""
        for index in self._indices(block.number):
            self._chunks.put(self._key(index), self._encoded(block, index))
            failpoints.reach(Failpoint.AFTER_CHUNK)

    def put_tail(self) -> None:
        """Put the chunk that is not full, unless it is stored as it is; raises as ``FencedChunks.put``."""
        block = self.tail.block
        if block.filled and block is not self._stored:
            self.put(block)
            self._stored = block

    def tail_keys(self) -> list[str]:
        """Return the keys of the chunk that is not full."""
        return [self._key(index) for index in self._indices(self.tail.block.number)]

    def recover(self, rows: int, *, since: int) -> None:
        """Begin behind `rows` committed rows, of which those before `since` are not stored.

        What lies behind them in the last chunk was never committed, and is dropped. The etags that are read
        here may be those of another writer's chunks: the caller checks the root before anything is put.

        Raises
        ------
        streamzarr.errors.KeyNotFoundError
            A chunk with committed rows is not stored.
        streamzarr.errors.CodecError
            It is damaged.
        """
        number, filled = divmod(rows, self.chunk_rows)
        kept = self._read(number, filled, required=since < rows)
        self.tail.start(number, kept)
        if rows and is_sorted(self._array):
            last = kept if filled else self._read(number - 1, self.chunk_rows, required=since < rows)
            self.last = last[-1:].copy()

    def _read(self, number: int, count: int, *, required: bool) -> NDArray:
        """Return the first `count` rows of a stretch; chunks that are not `required` may be missing."""
        rows = self.tail.empty()[:count]
        for index in self._indices(number) if count else ():
            key, part = self._key(index), rows[self._region(index)]
            try:
                stored = self._chunks.fetch(key, self._chain.most_stored)
            except KeyNotFoundError:
                if required:
                    raise
                continue
            with self._locating(index):
                part[...] = self._chain.decode(stored.data)[tuple(map(slice, part.shape))]
        return rows

    def _encoded(self, block: Block, index: tuple[int, ...]) -> BytesLike:
        piece = block.rows
        if self._shape != piece.shape:
            part = block.rows[self._region(index)]
            piece = np.full(self._shape, self._array.fill_value, self._array.dtype)
            piece[tuple(map(slice, part.shape))] = part
        stamp(piece[block.filled :], self._runtime.random_bytes(STAMPED))
        with self._locating(index):
            data: BytesLike = self._chain.encode(piece)
        return marked(self._last_codec, data, self._runtime.random_bytes(MARK_BYTES))

    def _indices(self, number: int) -> Iterator[tuple[int, ...]]:
        """Yield the index of each chunk that holds rows of the `number`-th stretch of rows."""
        sizes = zip(self._array.shape[1:], self._shape[1:], strict=True)
        return itertools.product((number,), *(range(-(-length // chunk)) for length, chunk in sizes))

    def _region(self, index: tuple[int, ...]) -> tuple[slice, ...]:
        """Return which part of the rows of a stretch lies in the chunk `index`."""
        inner = zip(index[1:], self._shape[1:], strict=True)
        return slice(None), *(slice(at * size, (at + 1) * size) for at, size in inner)

    def _key(self, index: tuple[int, ...]) -> str:
        return key_below(self._path, self._array.chunk_keys.encode(index))

    @contextmanager
    def _locating(self, index: tuple[int, ...]) -> Iterator[None]:
        try:
            yield
        except CodecError as error:
            raise type(error)(f"{self.url}: chunk {index} (key {self._key(index)!r}): {error}") from error
