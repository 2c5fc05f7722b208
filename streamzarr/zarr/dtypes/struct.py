# ruff: noqa: D102 - methods are documented by DataType
"""Structured types: named fields, each of a fixed-size type, nested if need be (trap T11).

Source: zarr-extensions ``struct`` and ``structured``. Both are read, and written again as they were found.
New arrays are ``structured``, which every zarr-python from 3.1 reads, unless asked to be ``struct``, which
needs a later one. Fields are stored packed, in v3 little-endian unless the ``bytes`` codec says more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from streamzarr.zarr.dtypes.base import JSON, DataType, Scalar, named
from streamzarr.zarr.dtypes.registry import data_type, data_type_from_v3
from streamzarr.zarr.dtypes.strings import decode_base64, encode_base64
from streamzarr.zarr.dtypes.v2 import dtype_to_v2, fields_of


@dataclass(frozen=True, slots=True)
class Struct(DataType):
    """Records. A fill value is an object by field, or of ``structured`` the base64 of one record's bytes.

    >>> import numpy as np
    >>> Struct.from_dtype(np.dtype([("a", "i4"), ("b", "f8")])).to_v3()["configuration"]
    {'fields': [['a', 'int32'], ['b', 'float64']]}
    """

    form: Literal["structured", "struct"] = "structured"
    """The name in v3 metadata, and with it the form of fields and fill values."""

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(packed(dtype)) if dtype.names is not None else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        name, configuration = named(document) or ("", {})
        if name not in ("structured", "struct"):
            return None
        fields = configuration.get("fields")
        if not isinstance(fields, list) or not fields or len(configuration) > 1:
            raise ValueError(f"{name} needs fields and nothing else, got {configuration!r}")
        dtype = np.dtype([_field_from_v3(field) for field in fields])
        return cls(dtype, "struct" if name == "struct" else "structured")

    def to_v3(self) -> JSON:
        kinds = {name: kind.to_v3() for name, kind in self._fields()}
        if self.form == "structured":
            return {"name": self.form, "configuration": {"fields": [list(item) for item in kinds.items()]}}
        fields = [{"name": name, "data_type": kind} for name, kind in kinds.items()]
        return {"name": self.form, "configuration": {"fields": fields}}

    def _fields(self) -> list[tuple[str, DataType]]:
        """Return name and type of each field; records in records have the form of these."""
        kinds = [(name, data_type(field)) for name, field in fields_of(self.dtype)]
        return [
            (name, replace(kind, form=self.form) if isinstance(kind, Struct) else kind)
            for name, kind in kinds
        ]

    def to_v2(self) -> JSON:
        return dtype_to_v2(self.dtype)

    @property
    def has_byte_order(self) -> bool:
        # Of ``structured``, zarr-python gives the codec none.
        return self.form == "struct" and any(kind.has_byte_order for _, kind in self._fields())

    def native(self) -> Self:
        # newbyteorder reaches into nested fields.
        return replace(self, dtype=self.dtype.newbyteorder("="))

    def cast_fill(self, value: Any) -> Scalar:
        if isinstance(value, int) and not value:
            return self.default_fill()
        return np.array(value, dtype=self.dtype)[()]

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        if zarr_format == 3 and self.form == "struct":
            return {name: kind.fill_to_json(value[name], 3) for name, kind in self._fields()}
        record = np.asarray(value, self.dtype)
        return encode_base64(
            (record.astype(self.dtype.newbyteorder("<")) if zarr_format == 3 else record).tobytes()
        )

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        if zarr_format == 2 and document == 0:
            return self.default_fill()
        if zarr_format == 3 and isinstance(document, dict):
            return self._fill_of_fields(document)
        raw = decode_base64(document)
        if len(raw) != self.dtype.itemsize:
            raise ValueError(f"expected {self.dtype.itemsize} bytes as base64, got {len(raw)}")
        stored = self.dtype.newbyteorder("<") if zarr_format == 3 else self.dtype
        return np.frombuffer(raw, stored).astype(self.dtype)[0]

    def _fill_of_fields(self, document: dict[str, JSON]) -> Scalar:
        fields = self._fields()
        if document.keys() != {name for name, _ in fields}:
            raise ValueError(f"expected the fields {[name for name, _ in fields]}, got {sorted(document)}")
        record = np.zeros((), self.dtype)
        for name, kind in fields:
            record[name] = kind.fill_from_json(document[name], 3)
        return record[()]


def packed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return `dtype` without the padding that alignment put between its fields."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.dtype((packed(base), shape))
    if dtype.names is None:
        return dtype
    return np.dtype([(name, packed(field)) for name, field in fields_of(dtype)])


def _field_from_v3(field: JSON) -> tuple[str, np.dtype[Any]]:
    if isinstance(field, dict) and field.keys() == {"name", "data_type"}:
        field = [field["name"], field["data_type"]]
    if not isinstance(field, list) or len(field) != 2 or not isinstance(field[0], str) or not field[0]:
        raise ValueError(f"expected a field's name and type, got {field!r}")
    found = data_type_from_v3(field[1], f"field {field[0]!r}")
    if found.itemsize is None:
        raise ValueError(f"field {field[0]!r}: a type of variable length cannot be part of a record")
    return field[0], found.dtype
