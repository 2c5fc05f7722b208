"""``vlen-utf8`` and ``vlen-bytes``: elements of any length, each behind its own.

Source: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/vlen-utf8 (and vlen-bytes)
A count, then for each element a length and its bytes; counts and lengths are little-endian uint32.
``{"name": "vlen-utf8", "configuration": {}}``
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.limits import Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import ArrayBytes, ChunkSpec, NDArray
from streamzarr.zarr.codecs.bounded import FAILURES
from streamzarr.zarr.codecs.library import numcodecs


@cache
def _codec(name: str) -> Any:
    codecs = numcodecs().vlen
    return (codecs.VLenUTF8 if name == "vlen-utf8" else codecs.VLenBytes)()


def encode_vlen(name: str, array: NDArray) -> BytesLike:
    """Return strings or bytes objects in the form of the codec `name`."""
    try:
        encoded: BytesLike = _codec(name).encode(array.astype(object).ravel())
    except FAILURES as error:
        raise CodecError(f"{name}: {error}") from error
    return encoded


def decode_vlen(name: str, data: BytesLike, count: int, codec: Any = None) -> NDArray:
    """Return `count` objects; the stored count is checked before memory is spent.

    `codec` is numcodecs', for one that is configured.
    """
    stored = int.from_bytes(bytes(data[:4]), "little") if len(data) >= 4 else None
    if stored != count:
        raise CodecError(f"{name}: got {stored} elements in {len(data)} bytes, expected {count}")
    if not count:
        return np.empty(0, object)
    try:
        decoded: NDArray = (codec or _codec(name)).decode(data)
    except FAILURES as error:
        raise CodecError(f"{name}: {error}; got {len(data)} bytes") from error
    return decoded


@dataclass(frozen=True, slots=True)
class _Vlen(ArrayBytes):
    kinds: ClassVar[str]

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        if configuration:
            raise ValueError(f"expected no configuration, got {configuration!r}")
        return cls()

    def configuration(self) -> dict[str, Any]:
        return {}

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "configuration": {}}  # as zarr-python writes it

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        if spec.dtype.kind not in self.kinds:
            raise ValueError(f"cannot store elements of {spec.dtype}")
        return self

    def encoded_size(self, spec: ChunkSpec) -> int | None:
        return None

    def encode(self, array: NDArray, spec: ChunkSpec) -> BytesLike:
        return encode_vlen(self.name, array)

    def decode(self, data: BytesLike, spec: ChunkSpec) -> NDArray:
        return decode_vlen(self.name, data, spec.size).reshape(spec.shape).astype(spec.dtype)


@dataclass(frozen=True, slots=True)
class VlenUtf8Codec(_Vlen):
    """Strings, as UTF-8."""

    name: ClassVar[str] = "vlen-utf8"
    kinds: ClassVar[str] = "T"


@dataclass(frozen=True, slots=True)
class VlenBytesCodec(_Vlen):
    """Bytes."""

    name: ClassVar[str] = "vlen-bytes"
    kinds: ClassVar[str] = "O"


@dataclass(frozen=True, slots=True)
class VlenArrayCodec(_Vlen):
    """The bytes of arrays of any length, as zarrs has it in v3: what type they are, no metadata says."""

    name: ClassVar[str] = "vlen-array"
    kinds: ClassVar[str] = "O"
