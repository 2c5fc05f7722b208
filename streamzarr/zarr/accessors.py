"""``array.oindex``, ``array.vindex`` and ``array.blocks``: one way of indexing each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from streamzarr.zarr.codecs.base import NDArray

Get: TypeAlias = Callable[[Any], NDArray]
Set: TypeAlias = Callable[[Any, Any], None]


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

    get: Get
    set: Set

    def __getitem__(self, selection: Any) -> NDArray:
        return self.get(selection)

    def __setitem__(self, selection: Any, value: Any) -> None:
        self.set(selection, value)
