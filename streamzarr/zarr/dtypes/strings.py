# ruff: noqa: D102 - methods are documented by DataType
"""Strings and bytes, of a fixed length or each of its own (trap T12).

Sources: zarr-extensions ``fixed_length_utf32``, ``null_terminated_bytes``, ``raw_bytes``, ``string`` and
``variable_length_bytes``; the core specification's ``r*``; Zarr v2 "Data type encoding".
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.zarr.dtypes.base import JSON, DataType, Scalar, named
from streamzarr.zarr.dtypes.variable import VariableLength


def encode_base64(value: bytes) -> str:
    """Return `value` as base64 text."""
    return base64.b64encode(value).decode("ascii")


def decode_base64(document: JSON) -> bytes:
    """Return the bytes of base64 text; ``ValueError`` when it is none."""
    if not isinstance(document, str):
        raise ValueError(f"expected base64 text, got {document!r}")
    try:
        return base64.b64decode(document, validate=True)
    except binascii.Error as error:
        raise ValueError(f"expected base64 text, got {document!r}: {error}") from error


def bytes_from_json(document: JSON) -> bytes:
    """Return the bytes that a fill value is: base64 text, or a list of numbers."""
    return bytes(document) if isinstance(document, list) else decode_base64(document)


def _length(document: JSON, name: str, unit: int = 1) -> int | None:
    """Return how many units the v3 type `name` holds; None when `document` names another type."""
    found, configuration = named(document) or ("", {})
    if found != name:
        return None
    nbytes = configuration.get("length_bytes")
    if type(nbytes) is not int or nbytes < 1 or nbytes % unit or nbytes >= 2**31:
        raise ValueError(f"{name} needs length_bytes, a positive multiple of {unit}, got {configuration!r}")
    return nbytes // unit


@dataclass(frozen=True, slots=True)
class FixedString(DataType):
    """Up to n code points of UTF-32, padded with zeros: numpy's ``U``."""

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(dtype) if dtype.kind == "U" and dtype.itemsize else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        length = _length(document, "fixed_length_utf32", 4)
        return None if length is None else cls(np.dtype(f"U{length}"))

    def to_v3(self) -> JSON:
        return {"name": "fixed_length_utf32", "configuration": {"length_bytes": self.dtype.itemsize}}

    def cast_fill(self, value: Any) -> Scalar:
        if not isinstance(value, str) or len(value) > self.dtype.itemsize // 4:
            raise ValueError(f"expected a string of at most {self.dtype.itemsize // 4} characters")
        return self.dtype.type(value)

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return str(value)

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        if zarr_format == 2 and document == 0:
            document = ""
        return self.cast_fill(document)


@dataclass(frozen=True, slots=True)
class FixedBytes(DataType):
    """Up to n bytes, padded with zeros: numpy's ``S``. A fill value is base64."""

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(dtype) if dtype.kind == "S" and dtype.itemsize else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        length = _length(document, "null_terminated_bytes")
        return None if length is None else cls(np.dtype(f"S{length}"))

    def to_v3(self) -> JSON:
        return {"name": "null_terminated_bytes", "configuration": {"length_bytes": self.dtype.itemsize}}

    def cast_fill(self, value: Any) -> Scalar:
        raw = value.encode("ascii") if isinstance(value, str) else bytes(value)
        if len(raw) > self.dtype.itemsize:
            raise ValueError(f"expected at most {self.dtype.itemsize} bytes")
        return np.bytes_(raw)

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return encode_base64(bytes(value))

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        if zarr_format == 2 and document == 0:
            document = ""
        return self.cast_fill(decode_base64(document))


@dataclass(frozen=True, slots=True)
class RawBytes(DataType):
    """Exactly n bytes without meaning: numpy's ``V``. A fill value is base64, or a list of numbers."""

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        plain = dtype.kind == "V" and dtype.names is None and dtype.subdtype is None
        return cls(dtype) if plain and dtype.itemsize else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        length = _length(document, "raw_bytes")
        name, configuration = named(document) or ("", {})
        if name[:1] == "r" and name[1:].isdecimal() and not configuration:
            if int(name[1:]) % 8 or not 0 < int(name[1:]) < 2**31:
                raise ValueError(f"expected a positive multiple of 8 bits, got {name!r}")
            length = int(name[1:]) // 8
        return None if length is None else cls(np.dtype(f"V{length}"))

    def to_v3(self) -> JSON:
        return {"name": "raw_bytes", "configuration": {"length_bytes": self.dtype.itemsize}}

    def cast_fill(self, value: Any) -> Scalar:
        raw = bytes(self.dtype.itemsize) if isinstance(value, int) and not value else bytes(value)
        if len(raw) != self.dtype.itemsize:
            raise ValueError(f"expected exactly {self.dtype.itemsize} bytes, got {len(raw)}")
        return np.void(raw)

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return encode_base64(bytes(value))

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        return self.cast_fill(0 if zarr_format == 2 and document == 0 else bytes_from_json(document))


STRINGS = np.dtypes.StringDType()


@dataclass(frozen=True, slots=True)
class _Variable(VariableLength):
    """Strings or bytes of any length."""

    empty: ClassVar[str | bytes]

    def default_fill(self) -> Scalar:
        return self.empty


@dataclass(frozen=True, slots=True)
class VariableString(_Variable):
    """Strings of any length: numpy's ``StringDType``; in v2 objects behind a ``vlen-utf8`` filter."""

    object_filters: ClassVar[tuple[str, ...]] = ("vlen-utf8", "categorize")
    empty: ClassVar[str | bytes] = ""

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        if dtype.kind == "T" and hasattr(dtype, "na_object"):
            raise ValueError("a StringDType with na_object has no place for its missing values in Zarr")
        return cls(STRINGS) if dtype.kind == "T" or (dtype.kind == "U" and not dtype.itemsize) else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        return cls(STRINGS) if named(document) == ("string", {}) else None

    @classmethod
    def from_objects(cls, config: dict[str, Any]) -> Self:
        return cls(STRINGS)

    def to_v3(self) -> JSON:
        return "string"

    def cast_fill(self, value: Any) -> Scalar:
        if not isinstance(value, str):
            raise ValueError("expected a string")
        return str(value)

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return value

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        return self.cast_fill("" if zarr_format == 2 and document == 0 else document)


@dataclass(frozen=True, slots=True)
class VariableBytes(_Variable):
    """Bytes of any length: ``bytes`` objects; asked for with ``dtype=bytes``. Fill values as of raw bytes."""

    object_filters: ClassVar[tuple[str, ...]] = ("vlen-bytes",)
    empty: ClassVar[str | bytes] = b""

    name: str = "variable_length_bytes"
    """The name in v3 metadata: zarr-python's, or the registered one, ``bytes``."""

    @classmethod
    def from_dtype(cls, dtype: np.dtype[Any]) -> Self | None:
        return cls(np.dtype(object)) if dtype.kind == "S" and not dtype.itemsize else None

    @classmethod
    def from_v3(cls, document: JSON) -> Self | None:
        name, configuration = named(document) or ("", {})
        known = name in ("variable_length_bytes", "bytes") and not configuration
        return cls(np.dtype(object), name) if known else None

    @classmethod
    def from_objects(cls, config: dict[str, Any]) -> Self:
        return cls(np.dtype(object))

    def to_v3(self) -> JSON:
        return self.name

    def cast_fill(self, value: Any) -> Scalar:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise ValueError("expected bytes")
        return bytes(value)

    def fill_to_json(self, value: Scalar, zarr_format: int) -> JSON:
        return encode_base64(value)

    def fill_from_json(self, document: JSON, zarr_format: int) -> Scalar:
        return b"" if zarr_format == 2 and document == 0 else bytes_from_json(document)
