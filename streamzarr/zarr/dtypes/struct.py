# ruff: noqa: D102 - methods are documented by DataType
"""Structured types: named fields, each of a fixed-size type, nested if need be (trap T11).

v3 writes what zarr-python 3.1 writes, ``structured`` with pairs of name and type, and also reads the later
``struct`` with objects. Fields are stored packed, in v3 little-endian unless the ``bytes`` codec says more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from streamzarr.zarr.dtypes.base import JSON, DataType, Scalar, named
from streamzarr.zarr.dtypes.strings import decode_base64, encode_base64


@dataclass(frozen=True, slots=True)
class Struct(DataType):
    """Records. A fill value is the base64 of one record's bytes.

    >>> import numpy as np
    >>> Struct.from_dtype(np.dtype([("a", "i4"), ("b", "f8")])).to_v3()["configuration"]
    {'fields': [['a', 'int32'], ['b', 'float64']]}
    """

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(packed(dtype)) if dtype.names is not None else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        name, configuration = named(document) or ("", {})
        if name not in ("structured", "struct"):
            return None
        fields = configuration.get("fields")
        if not isinstance(fields, list) or not fields:
            raise ValueError(f"{name} needs fields, got {configuration!r}")
        return cls(np.dtype([_field_from_v3(field) for field in fields]))

    def to_v3(self) -> JSON:
        from streamzarr.zarr.dtypes.registry import data_type  # which knows this type

        fields = [[name, data_type(field).to_v3()] for name, field in fields_of(self.dtype)]
        return {"name": "structured", "configuration": {"fields": fields}}

    def to_v2(self) -> JSON:
        return _descr(self.dtype)

    @property
    def has_byte_order(self) -> bool:
        return False  # as zarr-python writes it

    def native(self) -> Self:
        # newbyteorder reaches into nested fields.
        return type(self)(self.dtype.newbyteorder("="))

    def cast_fill(self, value: Any) -> Scalar:
        if isinstance(value, int) and not value:
            return self.default_fill()
        return np.array(value, dtype=self.dtype)[()]

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        record = np.asarray(value, self.dtype)
        return encode_base64(
            (record.astype(self.dtype.newbyteorder("<")) if zarr_format == 3 else record).tobytes()
        )

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        if zarr_format == 2 and document == 0:
            return self.default_fill()
        raw = decode_base64(document)
        if len(raw) != self.dtype.itemsize:
            raise ValueError(f"expected {self.dtype.itemsize} bytes as base64, got {len(raw)}")
        stored = self.dtype.newbyteorder("<") if zarr_format == 3 else self.dtype
        return np.frombuffer(raw, stored).astype(self.dtype)[0]


def packed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return `dtype` without the padding that alignment put between its fields."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.dtype((packed(base), shape))
    if dtype.names is None:
        return dtype
    return np.dtype([(name, packed(field)) for name, field in fields_of(dtype)])


def fields_of(dtype: np.dtype[Any]) -> list[tuple[str, np.dtype[Any]]]:
    """Return name and dtype of each field, in order."""
    assert dtype.names is not None
    assert dtype.fields is not None
    return [(name, dtype.fields[name][0]) for name in dtype.names]


def _descr(dtype: np.dtype[Any]) -> JSON:
    """Return a v2 ``dtype``: a type string, or a list of [name, type] or [name, type, shape]."""
    if dtype.names is None:
        return dtype.str
    described = []
    for name, field in fields_of(dtype):
        base, shape = field.subdtype or (field, ())
        described.append([name, _descr(base), *([list(shape)] if shape else [])])
    return described


def dtype_from_v2(document: JSON) -> np.dtype[Any]:
    """Return the numpy dtype that a v2 ``dtype`` names; ``ValueError`` or ``TypeError`` when it names none.

    >>> dtype_from_v2([["a", "<i4"], ["b", [["x", ">f8"]], [2]]]).itemsize
    20
    """
    if isinstance(document, str):
        return np.dtype(document)
    if not isinstance(document, list) or not document:
        raise TypeError(f"expected a type string or a list of fields, got {document!r}")
    fields: list[Any] = []
    for field in document:
        if not isinstance(field, list) or len(field) not in (2, 3) or not isinstance(field[0], str):
            raise TypeError(f"expected [name, type] or [name, type, shape], got {field!r}")
        shape = tuple(field[2]) if len(field) == 3 else ()
        if not all(type(n) is int and 0 < n < 2**31 for n in shape):
            raise TypeError(f"expected a shape of positive integers, got {field[2]!r}")
        fields.append((field[0], dtype_from_v2(field[1]), shape))
    return np.dtype(fields)


def _field_from_v3(field: JSON) -> tuple[str, np.dtype[Any]]:
    from streamzarr.zarr.dtypes.registry import data_type_from_v3  # which knows this type

    if isinstance(field, dict) and field.keys() == {"name", "data_type"}:
        field = [field["name"], field["data_type"]]
    if not isinstance(field, list) or len(field) != 2 or not isinstance(field[0], str):
        raise ValueError(f"expected a field's name and type, got {field!r}")
    found = data_type_from_v3(field[1], f"field {field[0]!r}")
    if found.itemsize is None:
        raise ValueError(f"field {field[0]!r}: a type of variable length cannot be part of a record")
    return field[0], found.dtype
