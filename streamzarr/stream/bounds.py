"""Values of a sorted field at some chunk boundaries, kept in the commit record so that a search begins near.

Their number is bounded: when there are too many every second is dropped, so a record does not grow with its
stream. A pure value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from streamzarr.errors import MetadataError
from streamzarr.zarr.codecs.base import NDArray

MOST: Final = 64
"""Values of one field."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The values of rows 0, `every`, twice `every`, and so on.

    Examples
    --------
    >>> bounds = Bounds(every=4).extended(np.arange(10), 0)
    >>> bounds.values, bounds.upto(8).values
    ((0, 4, 8), (0, 4))
    """

    every: int
    values: tuple[int | str, ...] = ()
    """Integers, also for times; floats as hexadecimal text, since JSON has no infinity."""

    def extended(self, rows: NDArray, start: int) -> Bounds:
        """Return the bounds with those of `rows`, which begin with row `start`."""
        first = max(len(self.values) * self.every - start, 0)
        found = self.values + tuple(map(stored_value, rows[first :: self.every]))
        every = self.every
        while len(found) > MOST:
            found, every = found[::2], every * 2
        return Bounds(every, found)

    def upto(self, rows: int) -> Bounds:
        """Return the bounds of the first `rows` rows."""
        return Bounds(self.every, self.values[: -(-rows // self.every)])

    def around(self, value: Any, side: str, dtype: np.dtype[Any], where: str) -> tuple[int, int | None]:
        """Return a row that lies before where `value` belongs, and one behind, as far as is known.

        Raises
        ------
        streamzarr.errors.MetadataError
            The values are none of a sorted field of `dtype`, which `where` names.
        """
        numbers = [float.fromhex(each) if isinstance(each, str) else each for each in self.values]
        try:
            known = np.array(numbers, "i8").view(dtype) if dtype.kind in "mM" else np.array(numbers, dtype)
        except (OverflowError, ValueError) as error:
            raise MetadataError(f"{where}: bounds in the commit record: {error}") from error
        if not (known[:-1] <= known[1:]).all():
            raise MetadataError(f"{where}: bounds in the commit record decrease: {numbers}")
        place = int(np.searchsorted(known, value, side=side))  # type: ignore[call-overload]
        return max(place - 1, 0) * self.every, place * self.every if place < len(known) else None

    def to_json(self) -> dict[str, Any]:
        """Return what stands in the record."""
        return {"every": self.every, "values": [*self.values]}

    @classmethod
    def from_json(cls, document: Any, where: str) -> Bounds:
        """Read what stands in the record; raises ``MetadataError``."""
        if isinstance(document, Mapping) and document.keys() == {"every", "values"}:
            every, values = document["every"], document["values"]
            right = type(every) is int and every > 0 and isinstance(values, list) and len(values) <= MOST
            if right and all(type(each) is int or _is_float(each) for each in values):
                return cls(every, tuple(values))
        raise MetadataError(f"{where}: expected bounds of a sorted field, got {str(document)[:100]}")


def stored_value(value: Any) -> int | str:
    """Return a value of a sorted field as the record has it.

    >>> stored_value(np.float64(0.5)), stored_value(np.datetime64(7, "s"))
    ('0x1.0000000000000p-1', 7)
    """
    if value.dtype.kind in "mM":
        return int(value.view("i8"))
    return float(value).hex() if value.dtype.kind == "f" else int(value)


def _is_float(text: Any) -> bool:
    try:
        float.fromhex(text)
    except (TypeError, ValueError, OverflowError):
        return False
    return True
