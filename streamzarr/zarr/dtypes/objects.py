# ruff: noqa: D102 - methods are documented by DataType
"""Objects of Zarr v2 that are neither strings nor bytes: JSON values, and arrays of any length.

Known by the filter that stores them, ``json2`` or ``vlen-array`` of numcodecs; v3 has no types for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from streamzarr.zarr.dtypes.base import JSON, Scalar
from streamzarr.zarr.dtypes.variable import VariableLength


@dataclass(frozen=True, slots=True)
class _Objects(VariableLength):
    elements_change: ClassVar[bool] = True

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        return None

    def to_v3(self) -> JSON:
        raise ValueError(f"Zarr v3 has no type for objects of the filter {self.object_filters[0]!r}")


@dataclass(frozen=True, slots=True)
class JsonValue(_Objects):
    """Anything that JSON holds: text, numbers, booleans, None, lists, and dicts with text as keys."""

    object_filters: ClassVar[tuple[str, ...]] = ("json2",)

    @classmethod
    def from_objects(cls, config: dict[str, Any]) -> Self:
        return cls(np.dtype(object))

    def default_fill(self) -> Scalar:
        return None

    def cast_fill(self, value: Any) -> Scalar:
        value = value.item() if isinstance(value, np.generic) else value
        if value is not None and not isinstance(value, str | bool | int | float):
            raise ValueError("expected text, a number, a boolean or None")  # one list would be every element
        return value

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return value

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        return self.cast_fill(document)

    def objects(self, value: Any, ndim: int) -> npt.NDArray[Any]:
        return value.astype(object) if isinstance(value, np.ndarray) else _elements(value, ndim)


@dataclass(frozen=True, slots=True)
class VariableArray(_Objects):
    """Arrays of one axis, each of its own length, of elements of one type."""

    object_filters: ClassVar[tuple[str, ...]] = ("vlen-array",)

    element: np.dtype[Any]

    @classmethod
    def from_objects(cls, config: dict[str, Any]) -> Self:
        given = config.get("dtype")
        element = np.dtype(given if isinstance(given, str) else object)
        if element.hasobject or not element.itemsize:
            raise ValueError(f"expected the type of elements that have a size, got {given!r}")
        return cls(np.dtype(object), element)

    def default_fill(self) -> Scalar:
        return _one(np.empty(0, self.element))

    def cast_fill(self, value: Any) -> Scalar:
        """Return None: what is missing has no elements, and no document has room for any."""
        if isinstance(value, np.ndarray) and value.dtype == object and not value.ndim:
            value = value[()]
        if len(value) if isinstance(value, np.ndarray | list) else value not in (0, "", None):
            raise ValueError("expected an array without elements")
        return None

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return None

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        return self.cast_fill(document)

    def objects(self, value: Any, ndim: int) -> npt.NDArray[Any]:
        """Return arrays or lists as elements; an array of numbers has them along its last axis."""
        given = value if isinstance(value, np.ndarray) else _elements(value, ndim)
        if given.ndim and not any(isinstance(each, np.ndarray | list | tuple) for each in given.flat):
            shape = given.shape[:-1]
            items = list(given.reshape(math.prod(shape), given.shape[-1]))
        else:
            shape, items = given.shape, list(given.flat)
        found = np.empty(len(items), object)
        for at, item in enumerate(items):
            found[at] = self._array(item)
        return found.reshape(shape)

    def _array(self, item: Any) -> npt.NDArray[Any]:
        found = np.asarray(item.tolist() if isinstance(item, np.ndarray) and item.dtype == object else item)
        if found.ndim != 1 or not self._holds(found):
            raise TypeError(f"expected an array of one axis of {self.element}, got {found!r}")
        return found.astype(self.element)

    def _holds(self, found: npt.NDArray[Any]) -> bool:
        if found.dtype.kind in "iu" and self.element.kind in "iu":
            return bool((found.astype(self.element) == found).all())
        return not found.size or np.can_cast(found.dtype, self.element, "same_kind")


def _one(value: Any) -> npt.NDArray[Any]:
    """Return `value` as an array of one object without axes, which stands for itself in assignments."""
    found: npt.NDArray[Any] = np.empty((), object)
    found[()] = value
    return found


def _elements(value: Any, ndim: int) -> npt.NDArray[Any]:
    """Return nested lists as an array of at most `ndim` axes; the lists below these are elements."""
    shape: tuple[int, ...] = ()
    items = [value.item() if isinstance(value, np.generic) else value]
    while len(shape) < ndim and items and all(isinstance(each, list | tuple) for each in items):
        if len(lengths := {len(each) for each in items}) > 1:
            break
        shape = (*shape, *lengths)
        items = [inner for each in items for inner in each]
    found: npt.NDArray[Any] = np.empty(len(items), object)
    for at, item in enumerate(items):
        found[at] = item
    return found.reshape(shape)
