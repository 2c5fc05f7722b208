"""What every decoder takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

MOST_BYTES: Final = 256 << 20
"""Bytes of columns that several messages may become at a time."""
OBJECT_BYTES: Final = 100
"""Bytes of a value of a record while it is an object of Python, about."""


class TooMuchError(Exception):
    """Messages become more than is to be in memory: give some of them at a time. Never leaves a feed."""

    @classmethod
    def check(cls, nbytes: int, messages: int) -> None:
        """Raise it when several messages become more than `MOST_BYTES`; one is bounded by the limits."""
        if messages > 1 and nbytes > MOST_BYTES:
            raise cls(f"{messages} messages become {nbytes} bytes, at most {MOST_BYTES} allowed at a time")


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows of some messages, by columns.

    Examples
    --------
    >>> Decoded({"bid": np.array([1.5, 1.25])}, None, {}).rows
    2
    """

    columns: Mapping[str, NDArray[Any]]
    """All of one length."""
    origin: NDArray[np.intp] | None
    """Of each row the index of the message that it came from, ascending; None: row i is of message i."""
    bad: Mapping[int, str]
    """Why a message gave no rows, by its index."""

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    @property
    def nbytes(self) -> int:
        """Bytes of the columns; of texts without those that numpy keeps elsewhere."""
        return sum(each.nbytes for each in self.columns.values())


class Decoder(Protocol):
    """From values of messages to rows. Owned by one thread; what it keeps only makes the next call quick.

    A call blocks for as long as decoding takes, and raises nothing for the sake of its messages: of a bad one
    the result has the reason, with column and value. A message gives all of its rows or none.

    One whose attribute ``unlocked`` is true does most of its work without the interpreter's lock: a feed has
    it decode on a thread of its own, while the next records are fetched. One whose attribute ``packed`` is
    true makes use of values that come as :class:`streamzarr.queue.packed.Packed`; others get lists.
    """

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`; those of bad messages are left out.

        Raises
        ------
        streamzarr.errors.SchemaRegistryError
            The format needs a registry, and that is away or refuses us; the same values may be given again.
        TooMuchError
            Give some of the values at a time.
        """
