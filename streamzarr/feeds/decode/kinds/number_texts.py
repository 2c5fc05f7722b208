"""Numbers that are written as texts: prices, mostly."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.texts import Texts

NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
INTEGER: Final = re.compile(r"[+-]?[0-9]+")
NAMED: Final = {
    sign + name: float(sign + name) for sign in ("", "+", "-") for name in ("nan", "inf", "infinity")
}
"""What is no number in digits, in small letters."""
MAX_DIGITS: Final = 400
"""Characters of a number in text; more than any float needs to be told from the next."""
WIDEST: Final = 40
"""Characters of a number that is read with its whole column."""

_IN_NUMBERS = np.zeros(256, bool)
_IN_NUMBERS[list(b"0123456789+-.eE")] = True
_IN_INTEGERS = np.zeros(256, bool)
_IN_INTEGERS[list(b"0123456789+-")] = True


def floats_of(texts: Texts) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the nearest floats, and which rows are not sure."""
    return _parsed(texts, _IN_NUMBERS, WIDEST, np.dtype("f8"))


def integers_of(texts: Texts) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the integers of 19 characters and fewer, and which rows are not sure."""
    if (found := _plain_digits(texts)) is not None:
        return found, np.zeros(len(texts), bool)
    return _parsed(texts, _IN_INTEGERS, 19, np.dtype("i8"))


def _plain_digits(texts: Texts) -> NDArray[np.int64] | None:
    """Return integers that are all of the same number of digits, as times are; None: they are not."""
    if not len(texts):
        return None
    first, last = texts.offsets[[0, -1]].tolist()
    width = (last - first) // len(texts)
    if not 0 < width <= 19 or (texts.lengths != width).any():
        return None
    digits = texts.data[first:last].reshape(len(texts), width) - np.uint8(48)  # what is below wraps
    if (digits > 9).any() or (width == 19 and (digits[:, 0] == 9).any()):  # which may be beyond 64 bits
        return None
    found = np.zeros(len(texts), np.int64)
    for column in digits.T:
        found *= 10
        found += column
    return found


def _parsed(
    texts: Texts, alphabet: NDArray[np.bool_], widest: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    lengths = texts.lengths
    found = np.zeros(len(texts), dtype)
    sure = (lengths > 0) & (lengths <= widest)
    if (lengths > widest).any():  # which take many times their room, to be told to be none
        rows = np.flatnonzero(sure)
        found[rows], unsure = _parsed(texts.some(rows), alphabet, widest, dtype)
        sure[rows] = ~unsure
        return found, ~sure
    first = int(texts.offsets[0])
    strange = np.zeros(len(texts.data) + 1 - first, np.int32 if len(texts.data) < 1 << 31 else np.int64)
    np.cumsum(~alphabet[texts.data[first:]], out=strange[1:])
    sure &= strange[texts.offsets[1:] - first] == strange[texts.offsets[:-1] - first]
    rows = np.flatnonzero(sure)
    if rows.size:
        try:
            found[rows] = texts.matrix(rows, int(lengths[rows].max())).astype(dtype)
        except (ValueError, OverflowError):  # some are no numbers, though they are made of digits
            sure[:] = False
    return found, ~sure
