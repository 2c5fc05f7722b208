"""What data types have in common whose elements take any number of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from streamzarr.zarr.dtypes.base import JSON, DataType


@dataclass(frozen=True, slots=True)
class VariableLength(DataType):
    """Elements of any length, which in v2 are objects behind a filter."""

    @property
    def object_codec(self) -> str | None:
        """The filter that is written."""
        return self.object_filters[0]

    @property
    def itemsize(self) -> int | None:
        """None: there is no such number."""
        return None

    def native(self) -> Self:
        """Return itself: there is no byte order."""
        return self

    def to_v2(self) -> JSON:
        """Return the v2 ``dtype``: objects."""
        return "|O"
