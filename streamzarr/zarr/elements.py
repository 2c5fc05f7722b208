"""What is built on an array's elements needs to know of them: that they can be read and written, not how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from streamzarr.zarr.chunks.chunkio import Missing
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.description import ArrayDescription
from streamzarr.zarr.indexing import Points, Selection
from streamzarr.zarr.indexing.fields import Fields


class Elements(ArrayDescription, ABC):
    """A base of :class:`~streamzarr.zarr.array.Array`, which says how each of these is done."""

    @abstractmethod
    def read(self, selection: Any = ..., *, missing: Missing = "fill", out: NDArray | None = None) -> NDArray:
        """Return the elements that a selection names."""

    @abstractmethod
    def write_chunk(
        self,
        index: tuple[int, ...],
        block: Any,
        *,
        write_empty: bool | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> None:
        """Write unit `index` of :attr:`grid` from `block`."""

    @abstractmethod
    def _get(
        self, chosen: Selection | Points, out: NDArray | None = None, fields: Fields = None
    ) -> NDArray: ...

    @abstractmethod
    def _put(self, chosen: Selection | Points, value: Any, fields: Fields = None) -> None: ...
