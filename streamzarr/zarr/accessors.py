"""``array.oindex``, ``array.vindex`` and ``array.blocks``: one way of indexing each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.indexing.fields import Fields, as_element, split_fields


class Get(Protocol):
    """Reads a selection."""

    def __call__(self, selection: Any, /, *, fields: Fields) -> NDArray:
        """Return what is selected."""


class Set(Protocol):
    """Writes a selection."""

    def __call__(self, selection: Any, value: Any, /, *, fields: Fields) -> None:
        """Write `value` to what is selected."""


@dataclass(frozen=True, slots=True)
class Accessor:
    """Brackets that call a pair of methods.

    >>> import streamzarr.zarr as zarr
    >>> z = zarr.create_array("memory://", data=[[1, 2, 3], [4, 5, 6], [7, 8, 9]], chunks=2)
    >>> z.oindex[[0, 2], [1, 2]]
    array([[2, 3],
           [8, 9]])
    >>> z.vindex[[0, 2], [1, 2]]
    array([2, 9])
    >>> z.blocks[1, 0]
    array([[7, 8]])
    """

    dtype: np.dtype[Any]
    get: Get
    set: Set

    def __getitem__(self, selection: Any) -> Any:
        names, selection = split_fields(selection, self.dtype)
        return as_element(self.get(selection, fields=names), selection)

    def __setitem__(self, selection: Any, value: Any) -> None:
        names, selection = split_fields(selection, self.dtype)
        self.set(selection, value, fields=names)
