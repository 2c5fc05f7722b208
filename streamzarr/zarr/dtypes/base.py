"""What a Zarr data type must know about itself.

A data type ties a numpy dtype to its names in both formats and to the JSON form of its fill values.
Adding one means: subclass :class:`DataType` in this folder and list it in ``builtin.py``.

Sources: Zarr v3 core specification, "Data types" and "Fill value list"; the zarr-extensions registry; Zarr v2
specification, "Data type encoding" and "Fill value encoding".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

JSON: TypeAlias = Any
"""A value that :mod:`json` reads and writes."""
Scalar: TypeAlias = Any
"""One element of an array, a numpy scalar (or ``str``/``bytes`` for variable-length types)."""


@dataclass(frozen=True, slots=True)
class DataType(ABC):
    """One data type: `dtype` is what numpy holds in memory, byte order included."""

    object_filters: ClassVar[tuple[str, ...]] = ()
    """The numcodecs ids of first filters that say that the objects of a v2 array are of this type."""

    elements_change: ClassVar[bool] = False
    """Whether whoever has an element can change it: decoded chunks of such are not kept."""

    dtype: np.dtype[Any]

    @classmethod
    @abstractmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        """Return the type for `dtype`, or None when it is not of this kind."""

    @classmethod
    @abstractmethod
    def from_v3(cls, document: JSON) -> Self | None:
        """Return the type that a v3 ``data_type`` names, or None when it is not of this kind."""

    @classmethod
    def from_objects(cls, config: dict[str, Any]) -> Self:
        """Return the type of objects that the v2 filter `config`, one of :attr:`object_filters`, stores."""
        raise NotImplementedError

    @abstractmethod
    def to_v3(self) -> JSON:
        """Return the v3 ``data_type``."""

    def to_v2(self) -> JSON:
        """Return the v2 ``dtype``, with byte order."""
        return self.dtype.str

    @property
    def object_codec(self) -> str | None:
        """The numcodecs id of the filter that turns this type into bytes in v2; None when numpy can."""
        return None

    @property
    def itemsize(self) -> int | None:
        """Bytes of one element; None when elements vary in length."""
        return self.dtype.itemsize

    @property
    def has_byte_order(self) -> bool:
        """Whether the ``bytes`` codec needs an ``endian``."""
        return self.dtype.byteorder != "|"

    def native(self) -> Self:
        """Return this type in the machine's own byte order: v3 types have none of their own."""
        return type(self)(self.dtype.newbyteorder("="))

    def default_fill(self) -> Scalar:
        """Return the fill value of an array that was given none: zero."""
        return np.zeros((), self.dtype)[()]

    def objects(self, value: Any, ndim: int) -> npt.NDArray[Any] | None:
        """Return `value` as elements along at most `ndim` axes; None where the dtype says all about them."""
        return None

    def cast_fill(self, value: Any) -> Scalar:
        """Return a user's fill value as one element of this type; ``ValueError`` when it does not fit."""
        if isinstance(value, np.generic) and value.dtype == self.dtype:
            return value
        return np.asarray(value).astype(self.dtype, casting="same_kind")[()]

    @abstractmethod
    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        """Return `value` as written to metadata."""

    @abstractmethod
    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        """Return the fill value that metadata names; ``ValueError`` when it is not one of this type."""


def named(document: JSON) -> tuple[str, dict[str, Any]] | None:
    """Split an extension's JSON, short or long form, into name and configuration (trap T17).

    >>> named("int8"), named({"name": "numpy.datetime64", "configuration": {"unit": "s"}})
    (('int8', {}), ('numpy.datetime64', {'unit': 's'}))
    """
    if isinstance(document, str):
        return document, {}
    if isinstance(document, dict) and isinstance(document.get("name"), str):
        if document.keys() - {"name", "configuration", "must_understand"}:
            return None
        configuration = document.get("configuration", {})
        if isinstance(configuration, dict):
            return document["name"], configuration
    return None
