"""What every decoder takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


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


class Decoder(Protocol):
    """From values of messages to rows. Owned by one thread; what it keeps only makes the next call quick.

    A call blocks for as long as decoding takes, and raises nothing for the sake of its messages: of a bad one
    the result has the reason, with column and value. A message gives all of its rows or none.
    """

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`; those of bad messages are left out.

        Raises
        ------
        streamzarr.errors.SchemaRegistryError
            The format needs a registry, and that is away or refuses us; the same values may be given again.
        """
