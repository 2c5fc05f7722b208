"""Texts of one column as one run of bytes, so that whole columns are read by numpy and not one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Texts:
    """UTF-8 texts, one behind the other; immutable.

    Examples
    --------
    >>> texts = Texts.of(["1.5", "", "naïve"])
    >>> len(texts), texts[2], texts.lengths
    (3, 'naïve', array([3, 0, 6]))
    >>> texts.matrix(np.array([0, 1]), 3)
    array([b'1.5', b''], dtype='|S3')
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    """Where each begins, and the last ends."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Return `texts` in this form."""
        joined = "".join(texts)
        if joined.isascii():
            data, lengths = joined.encode(), map(len, texts)
        else:
            parts = [text.encode(errors="surrogatepass") for text in texts]
            data, lengths = b"".join(parts), map(len, parts)
        offsets = np.fromiter(chain((0,), accumulate(lengths)), np.int64, len(texts) + 1)
        return cls(np.frombuffer(data, np.uint8), offsets)

    @classmethod
    def of_fixed(cls, array: NDArray[Any]) -> Self:
        """Return numpy's texts of a fixed length, ``S``, in this form."""
        width = array.dtype.itemsize
        if not width:
            return cls(np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64))
        lengths = np.char.str_len(array)
        cells = np.ascontiguousarray(array).view(np.uint8).reshape(len(array), width)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        return cls(cells[np.arange(width) < lengths[:, None]], offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        start, stop = self.offsets[index : index + 2].tolist()
        return self.data[start:stop].tobytes().decode(errors="surrogateescape")

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each."""
        return np.diff(self.offsets)

    @property
    def is_ascii(self) -> bool:
        """Whether no text has a character beyond ASCII."""
        first, last = self.offsets[[0, -1]].tolist()
        return bool((self.data[first:last] < 128).all())

    def tolist(self) -> list[str]:
        """Return each as a string."""
        first, last = self.offsets[[0, -1]].tolist()
        whole = self.data[first:last].tobytes()
        ends = (self.offsets - first).tolist()
        if self.is_ascii:
            text = whole.decode()
            return [text[start:stop] for start, stop in pairwise(ends)]
        return [whole[a:b].decode(errors="surrogateescape") for a, b in pairwise(ends)]

    def some(self, rows: NDArray[np.intp]) -> Self:
        """Return some of them."""
        starts, lengths = self.offsets[:-1][rows], self.lengths[rows]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return type(self)(self.data[places], offsets)

    def matrix(self, rows: NDArray[np.intp], width: int) -> NDArray[Any]:
        """Return some of them, none longer than `width`, padded with NUL, as an array of ``S`` texts."""
        starts, lengths = self.offsets[:-1][rows], self.lengths[rows]
        if len(rows) == len(self) and (lengths == width).all():
            first = int(self.offsets[0])
            packed = self.data[first : first + width * len(rows)]
            return np.ascontiguousarray(packed).view(f"S{width}")
        within = np.arange(width)
        cells = np.zeros((len(rows), width), np.uint8)
        used = within < lengths[:, None]
        cells[used] = self.data[(starts[:, None] + within)[used]]
        return cells.reshape(-1).view(f"S{width}")
