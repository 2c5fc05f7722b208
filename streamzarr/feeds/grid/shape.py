"""What closed slots look like in the stream: planes of all keys, or a row for each that has records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.grid.keys import Keys
from streamzarr.feeds.grid.spec import COUNT, TIME, GridSpec

Block = Mapping[str, npt.NDArray[Any]]
"""Slots in order: their times, and of each field slots x keys."""


class Shape(Protocol):
    """How blocks of slots become rows. Pure; owned by the chain's thread."""

    @property
    def empty(self) -> Mapping[str, Any]:
        """No rows."""

    def rows(self, block: Block) -> Mapping[str, Any]:
        """Return the rows of a block."""


class Planes:
    """A row is one slot of time, with all keys."""

    def __init__(self, spec: GridSpec, columns: Mapping[str, ColumnSpec]) -> None:
        self.empty: Final[Mapping[str, Any]] = {
            name: np.empty((0, *each.shape), each.dtype) for name, each in spec.schema(columns, None).items()
        }

    def rows(self, block: Block) -> Mapping[str, Any]:
        """Return the block."""
        return block


class Bars:
    """A row is one slot of time and key that has records, in the order of time, then of the keys' coming."""

    def __init__(self, spec: GridSpec, columns: Mapping[str, ColumnSpec], keys: Keys | None) -> None:
        self._spec, self._keys = spec, keys
        self.empty: Final[Mapping[str, Any]] = {name: [] for name in spec.bars(columns)}

    def rows(self, block: Block) -> Mapping[str, Any]:
        """Return a row for each cell of the block that has records."""
        slots, places = np.nonzero(block[COUNT])
        cells = {name: values[slots, places] for name, values in block.items() if name != TIME}
        if self._keys is None or self._spec.key is None:
            return {TIME: block[TIME][slots], **cells}
        names = self._keys.names
        keys = np.array([names[place] for place in places.tolist()], np.dtypes.StringDType())
        return {TIME: block[TIME][slots], self._spec.key: keys, **cells}
