"""What a kind of column does with values: the exact rule, and its quick form for whole columns."""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.values import Given, Stray

MAX_SHOWN: Final = 60
"""Characters of a value in a reason, at most."""


class Unfit(Exception):  # noqa: N818 - says something of a value, and never leaves the decoders
    """A value that a column cannot hold; its text says what was expected instead, or why."""


class Kind(Protocol):
    """Floats, integers, times and so on. Immutable, so that any thread may use it.

    `one` is the rule. `many` gives what `one` gives, for the rows that it is sure of, and marks the others:
    those are looked at one by one.
    """

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the column."""

    @property
    def empty(self) -> Any:
        """What stands where there is no value, unless something else is stated."""

    def one(self, value: Any) -> Any:
        """Return what the column holds for `value`; raises :class:`Unfit`."""

    def many(self, data: Given) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the column for `data`, which may be changed afterwards, and which rows are not sure."""


def undecided(count: int, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return a column of which no row is sure."""
    return np.zeros(count, dtype), np.ones(count, bool)


def shown(value: Any) -> str:
    """Return a value as a reason shows it: its kind is plain to see, and it is not long.

    >>> shown("1.5.2"), shown(1e300), shown([1, 2]), shown({"a": 1}), shown(b"ab"), shown(True)
    ("the text '1.5.2'", '1e+300', 'an array of 2', 'an object with a', "the bytes b'ab'", 'true')
    """
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, Stray):
        return f"{shown(value.value)} on the way to it"
    if value is None:
        return "null"
    if isinstance(value, int):
        bits = value.bit_length()
        return str(value) if bits <= 128 else f"an integer of {bits} bits"  # str() of more takes for ever
    if isinstance(value, str | bytes):
        return f"the {'text' if isinstance(value, str) else 'bytes'} {_cut(value)}"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        names = ", ".join(_cut(str(each), quoted=False) for each in list(value)[:3])
        return f"an object with {names}" if names else "an empty object"
    return _cut(str(value), quoted=False)


def _cut(value: str | bytes, *, quoted: bool = True) -> str:
    more = "…" if len(value) > MAX_SHOWN else ""
    some = value[:MAX_SHOWN]
    return (repr(some) if quoted else str(some)) + more
