"""Some records on their way to a topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

AT_ONCE = 1000
"""Records of a piece, at most: so many are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Records in their order, at least one.

    Examples
    --------
    >>> Piece([b'{"bid": 1.5}'], None, [1_767_605_400_000_000_000]).first(1) is not None
    True
    """

    values: Sequence[bytes]
    keys: Sequence[bytes | None] | None
    """None: no record has a key."""
    times: Sequence[int] | None
    """Nanoseconds since 1970; None: the records have no times."""

    def __len__(self) -> int:
        return len(self.values)

    def between(self, start: int, stop: int) -> Piece:
        """Return the records from one position to another."""
        keys = None if self.keys is None else self.keys[start:stop]
        times = None if self.times is None else self.times[start:stop]
        return Piece(self.values[start:stop], keys, times)

    def first(self, count: int) -> Piece:
        """Return the first records."""
        return self.between(0, count)
