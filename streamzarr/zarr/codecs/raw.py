# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``bytes``: the elements of an array one after another in C order.

Specification: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/bytes/index.html
``{"name": "bytes", "configuration": {"endian": "little"}}``; types of one byte have no ``endian``.
Of types of fewer than 8 bits the upper ones are written as 0, and mean nothing where they are not.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.limits import Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import ArrayBytes, ChunkSpec, NDArray, as_buffer
from streamzarr.zarr.dtypes.small import bits_of


@dataclass(frozen=True, slots=True)
class BytesCodec(ArrayBytes):
    """Byte order `endian`; None for types that have none.

    >>> import numpy as np
    >>> spec = ChunkSpec((2,), np.dtype("i2"), np.int16(0))
    >>> bytes(BytesCodec("big").encode(np.array([1, 2], "i2"), spec)).hex()
    '00010002'
    """

    name: ClassVar[str] = "bytes"
    endian: Literal["little", "big"] | None = "little"

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        endian = configuration.get("endian")
        if endian not in ("little", "big", None) or configuration.keys() - {"endian"}:
            raise ValueError(f"expected endian 'little' or 'big', got {configuration!r}")
        return cls(endian)

    def configuration(self) -> dict[str, Any]:
        return {"endian": self.endian} if self.endian else {}

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        if spec.dtype.hasobject or spec.dtype.kind == "T":
            raise ValueError(f"cannot store {spec.dtype} of variable length")
        orderless = spec.dtype.byteorder == "|" or spec.dtype.itemsize == 1
        if orderless and spec.dtype.names is None:
            return replace(self, endian=None)
        if self.endian is None and spec.dtype.names is None:
            raise ValueError(f"needs an endian for data type {spec.dtype}")
        return self

    def encoded_size(self, spec: ChunkSpec) -> int | None:
        return spec.nbytes

    def encode(self, array: NDArray, spec: ChunkSpec) -> BytesLike:
        stored = np.ascontiguousarray(array, dtype=self.stored_dtype(spec.dtype))
        return as_buffer(without_upper_bits(stored))

    def decode(self, data: BytesLike, spec: ChunkSpec) -> NDArray:
        if len(data) != spec.nbytes:
            raise CodecError(f"bytes: got {len(data)} bytes, expected {spec.nbytes}")
        stored = np.frombuffer(data, self.stored_dtype(spec.dtype), spec.size).reshape(spec.shape)
        if stored.dtype != spec.dtype:
            return stored.astype(spec.dtype)
        return without_upper_bits(stored)

    def is_memory(self, dtype: np.dtype[Any]) -> bool:
        """Tell whether what is stored are the elements of `dtype` as they lie in memory."""
        return self.stored_dtype(dtype) == dtype and bits_of(dtype) in (None, 8 * dtype.itemsize)

    def stored_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return `dtype` in the byte order on disk."""
        if self.endian is None:
            return dtype if dtype.names is None else dtype.newbyteorder("<")
        return dtype.newbyteorder("<" if self.endian == "little" else ">")


def without_upper_bits(array: NDArray) -> NDArray:
    """Return `array` with nothing in the bits that its type does not use; itself if it uses all."""
    bits = bits_of(array.dtype)
    if bits is None or bits >= 8:
        return array
    return (array.view(np.uint8) & np.uint8(2**bits - 1)).view(array.dtype)


def machine_endian(dtype: np.dtype[Any]) -> Literal["little", "big"]:
    """Return the byte order of `dtype` in memory."""
    order = sys.byteorder if dtype.byteorder in "=|" else {"<": "little", ">": "big"}[dtype.byteorder]
    return "little" if order == "little" else "big"
