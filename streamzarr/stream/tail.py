"""The rows of one field since its last chunk boundary, in memory: what the next put of a chunk is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from streamzarr.zarr.codecs.base import NDArray

STAMPED: Final = 64
"""Elements of padding that a stamp changes: 448 random bits of numbers, 64 of booleans."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The first `filled` rows of chunk `number`; the rows behind them are padding. Compared by identity."""

    number: int
    rows: NDArray
    filled: int
    texts: int = 0
    """Characters or bytes of what its rows refer to, where they hold texts."""

    @property
    def is_full(self) -> bool:
        """Whether there is no padding."""
        return self.filled == len(self.rows)


class Tail:
    """Rows of one field from the last chunk boundary on. Owned by the writer's thread.

    Blocks hold views of the buffer: they are valid until the next :meth:`extend`. A full buffer is never
    written again, so :meth:`mark` and :meth:`undo` take back what was added, whole chunks included.

    Examples
    --------
    >>> tail = Tail((4,), np.dtype("i4"), -1)
    >>> [(block.number, block.filled) for block in tail.extend(np.arange(10, dtype="i4"))]
    [(0, 4), (1, 4)]
    >>> tail.block.rows, tail.block.filled, tail.rows
    (array([ 8,  9, -1, -1], dtype=int32), 2, 10)
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], fill: Any) -> None:
        self._shape, self._dtype, self._fill = shape, dtype, fill
        self._block = Block(0, self.empty(), 0)

    @property
    def block(self) -> Block:
        """What is there of the chunk that is not full yet."""
        return self._block

    @property
    def rows(self) -> int:
        """How many rows the field has, those in memory included."""
        return self._block.number * self._shape[0] + self._block.filled

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer; of texts, those of what they refer to as well."""
        return self._block.rows.nbytes + self._block.texts

    def start(self, number: int, rows: NDArray) -> None:
        """Begin in chunk `number` with the `rows` that it has already."""
        block = self.empty()
        block[: len(rows)] = rows
        self._block = Block(number, block, len(rows), _texts_of(rows))

    def extend(self, values: NDArray) -> Iterator[Block]:
        """Add rows, and yield each chunk that becomes full.

        One that `values` fill alone is a view of them, which is not kept.
        """
        length, done = self._shape[0], 0
        while done < len(values):
            number, rows, filled = self._block.number, self._block.rows, self._block.filled
            if not filled and done + length <= len(values):
                yield Block(number, values[done : done + length], length)
                self._block = Block(number + 1, rows, 0)
                done += length
                continue
            count = min(length - filled, len(values) - done)
            some = values[done : done + count]
            rows[filled : filled + count] = some
            done += count
            self._block = Block(number, rows, filled + count, self._block.texts + _texts_of(some))
            if self._block.is_full:
                yield self._block
                self._block = Block(number + 1, self.empty(), 0)

    def mark(self) -> Block:
        """Return what :meth:`undo` takes."""
        return self._block

    def undo(self, mark: Block) -> None:
        """Take back all rows that were added since `mark`."""
        self._block = mark

    def empty(self) -> NDArray:
        """Return the rows of a chunk of which none is written."""
        return np.full(self._shape, self._fill, self._dtype)


def _texts_of(rows: NDArray) -> int:
    """Return how long the texts are that rows refer to, all together."""
    return sum(map(len, rows.flat)) if rows.dtype.kind in "OT" else 0


def stamp(padding: NDArray, random: bytes) -> None:
    """Change padding, which no reader sees, so that these bytes were never stored before.

    Object stores make etags of the content. Were the padding always the fill value, a chunk to which a row of
    the fill value is added would keep its etag, and a put of a fenced writer, under way for long, would still
    find the etag that it expects: it would replace a committed row.

    >>> padding = np.zeros(6, "f4")
    >>> stamp(padding, bytes(range(64, 128)))
    >>> padding
    array([64., 65., 66., 67., 68., 69.], dtype=float32)
    """
    if padding.dtype.names is not None:
        for name in padding.dtype.names:
            stamp(padding[name], random)
        return
    count = min(padding.size, STAMPED, len(random))
    if not count:
        return
    kind = padding.dtype.kind
    if kind in "OT":
        text = random.hex()
        padding.flat[0] = text.encode() if kind == "O" else text
    elif kind in "US":
        padding.flat[:count] = np.frombuffer(random.hex().encode()[: 2 * count], "S2")
    elif kind == "V":
        padding.flat[0] = np.frombuffer(
            random.ljust(padding.dtype.itemsize)[: padding.dtype.itemsize], padding.dtype
        )[0]
    else:  # numbers that every numeric codec takes
        numbers = np.frombuffer(random, np.uint8)[:count] & (1 if kind == "b" else 0x7F)
        padding.flat[:count] = numbers.astype(padding.dtype)
