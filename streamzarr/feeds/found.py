"""What was found about the records of a partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt

SHOWN: Final = 10
"""Offsets that are told, at most."""


@dataclass(frozen=True, slots=True)
class PartitionCheck:
    """What was found about one partition; offsets are the first few of those that there are."""

    name: str
    rows: int
    records: int
    """Records that have rows."""
    dead: int
    """Records that have a dead letter, or had one that was purged, and no row."""
    position: int
    verified: int
    """Records that the broker still has, below the position: each was looked for."""
    replayed: int = 0
    """Records that failed, and have their rows by a replay."""
    missing: tuple[int, ...] = ()
    """Records that have neither rows nor a letter."""
    unknown: tuple[int, ...] = ()
    """Rows of records that the broker does not have, though it has records before and after."""
    disorder: tuple[int, ...] = ()
    """Offsets that come after a later one: out of order, or twice."""
    missing_count: int = 0
    unknown_count: int = 0
    disorder_count: int = 0
    compacted: int = 0
    """Rows of records that the broker has not any more, as it compacts the topic; they are no fault."""
    changed: str = ""
    """Why the topic is not the one that the rows came from, and nothing was compared; empty: it is."""

    @property
    def ok(self) -> bool:
        """Whether each record is there, once and in order."""
        return not (self.changed or self.missing_count or self.unknown_count or self.disorder_count)


def some(offsets: npt.NDArray[Any]) -> tuple[int, ...]:
    """Return the first few of some offsets."""
    return tuple(map(int, offsets[:SHOWN]))
