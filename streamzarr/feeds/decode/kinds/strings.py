"""Columns of texts and bytes, of a fixed or any length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.kinds.base import Unfit, undecided
from streamzarr.feeds.decode.texts import Texts
from streamzarr.feeds.decode.values import Given


@dataclass(frozen=True, slots=True)
class Strings:
    """Texts of any length; nothing else is turned into one."""

    dtype: np.dtype[Any]

    @property
    def empty(self) -> str:  # noqa: D102
        return ""

    def one(self, value: Any) -> str:  # noqa: D102
        return _text(value)

    def many(self, data: Given) -> tuple[NDArray[Any], NDArray[np.bool_]]:  # noqa: D102
        if isinstance(data, Texts):
            try:
                return np.array(data.tolist(), self.dtype), np.zeros(len(data), bool)
            except UnicodeEncodeError:  # half of a surrogate pair
                return undecided(len(data), self.dtype)
        return undecided(len(data), self.dtype)


@dataclass(frozen=True, slots=True)
class FixedStrings:
    """Texts (``U``, in characters) or UTF-8 (``S``, in bytes) that fit; never cut."""

    dtype: np.dtype[Any]

    @property
    def empty(self) -> str | bytes:  # noqa: D102
        return "" if self.dtype.kind == "U" else b""

    @property
    def width(self) -> int:
        """Characters or bytes."""
        return self.dtype.itemsize // (4 if self.dtype.kind == "U" else 1)

    def one(self, value: Any) -> str | bytes:  # noqa: D102
        held: str | bytes
        if self.dtype.kind == "U":
            held, what, nul = _text(value), "characters", "\0"
            too_long, ends = len(held) > self.width, held.endswith(nul)
        else:
            held, what = value if isinstance(value, bytes) else _text(value).encode(), "bytes"
            too_long, ends = len(held) > self.width, held.endswith(b"\0")
        if too_long:
            raise Unfit(f"{self.width} {what} at most, not {len(held)}")
        if ends:
            raise Unfit("a text that does not end with NUL, which texts of a fixed length drop")
        return held

    def many(self, data: Given) -> tuple[NDArray[Any], NDArray[np.bool_]]:  # noqa: D102
        if not isinstance(data, Texts):
            if not isinstance(data, list) and data.dtype.kind == self.dtype.kind:
                return data.astype(self.dtype), np.full(len(data), data.dtype.itemsize > self.dtype.itemsize)
            return undecided(len(data), self.dtype)
        if not data.data.all() or (self.dtype.kind == "U" and not data.is_ascii):
            return undecided(len(data), self.dtype)
        fit = data.lengths <= self.width
        rows = np.flatnonzero(fit)
        held = np.zeros(len(data), self.dtype)
        if self.width:
            held[rows] = data.matrix(rows, self.width)
        return held, ~fit


@dataclass(frozen=True, slots=True)
class Blobs:
    """Bytes of any length; a text is taken in UTF-8."""

    dtype: np.dtype[Any]

    @property
    def empty(self) -> bytes:  # noqa: D102
        return b""

    def one(self, value: Any) -> bytes:  # noqa: D102
        return bytes(value) if isinstance(value, bytes | bytearray) else _text(value).encode()

    def many(self, data: Given) -> tuple[NDArray[Any], NDArray[np.bool_]]:  # noqa: D102
        held, unsure = undecided(len(data), self.dtype)
        if isinstance(data, list) and not set(map(type, data)) - {bytes}:
            held[:], unsure[:] = data, False
        return held, unsure


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Unfit("text in UTF-8") from None
    if not isinstance(value, str):
        raise Unfit("a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unfit("text that has a form in UTF-8") from None
    return value
