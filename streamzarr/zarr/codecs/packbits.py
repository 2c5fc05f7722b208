# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``packbits``: as many bits for each element as its type has, or a range of them.

Source: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/packbits
``{"name": "packbits", "configuration": {"padding_encoding": "none", "first_bit": 0, "last_bit": 4}}``
Bits are counted from the least significant one, in elements and in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.limits import Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import ArrayBytes, ChunkSpec, NDArray
from streamzarr.zarr.dtypes.small import bits_of, kind_of

_PADDINGS = ("none", "first_byte", "last_byte")
_AT_ONCE = 1 << 16
"""Elements that are taken apart into bits in one go; a multiple of 8, so that each go ends with a byte."""


@dataclass(frozen=True, slots=True)
class PackbitsCodec(ArrayBytes):
    """Bits `first_bit` to `last_bit` of each element, all by default.

    >>> import numpy as np
    >>> spec = ChunkSpec((10,), np.dtype(bool), np.False_)
    >>> PackbitsCodec("first_byte").encode(np.arange(10) < 9, spec).hex()
    '06ff01'
    """

    name: ClassVar[str] = "packbits"
    padding_encoding: str = "none"
    first_bit: int | None = None
    last_bit: int | None = None

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        if unknown := configuration.keys() - {"padding_encoding", "first_bit", "last_bit"}:
            raise ValueError(f"unknown keys {sorted(unknown)}")
        padding = configuration.get("padding_encoding", "none")
        if padding not in _PADDINGS:
            raise ValueError(f"expected padding_encoding in {_PADDINGS}, got {padding!r}")
        bits = [configuration.get(key) for key in ("first_bit", "last_bit")]
        if any(bit is not None and (type(bit) is not int or bit < 0) for bit in bits):
            raise ValueError(f"expected first_bit and last_bit as bits' numbers, got {bits}")
        return cls(padding, *bits)

    def configuration(self) -> dict[str, Any]:
        bits = {"first_bit": self.first_bit, "last_bit": self.last_bit}
        return {"padding_encoding": self.padding_encoding} | {k: v for k, v in bits.items() if v is not None}

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        if kind_of(spec.dtype) not in "biufc":
            raise ValueError(f"cannot pack {spec.dtype}")
        first, last = self._range(spec.dtype)
        if not first <= last < _width(spec.dtype):
            raise ValueError(
                f"bits {first} to {last} are no range of the {_width(spec.dtype)} of {spec.dtype}"
            )
        return self

    def encoded_size(self, spec: ChunkSpec) -> int | None:
        return -(-self._bits(spec) // 8) + (self.padding_encoding != "none")

    def encode(self, array: NDArray, spec: ChunkSpec) -> BytesLike:
        flat = np.ascontiguousarray(array).reshape(-1)
        first, last = self._range(spec.dtype)
        packed = b"".join(
            np.packbits(
                _taken_apart(flat[at : at + _AT_ONCE])[:, first : last + 1], bitorder="little"
            ).tobytes()
            for at in range(0, flat.size, _AT_ONCE)
        )
        padding = bytes([-self._bits(spec) % 8])
        return {"none": packed, "first_byte": padding + packed, "last_byte": packed + padding}[
            self.padding_encoding
        ]

    def decode(self, data: BytesLike, spec: ChunkSpec) -> NDArray:
        if len(data) != self.encoded_size(spec):
            raise CodecError(f"packbits: got {len(data)} bytes, expected {self.encoded_size(spec)}")
        packed = np.frombuffer(data, np.uint8)
        if self.padding_encoding != "none":
            stated, packed = (
                (packed[0], packed[1:])
                if self.padding_encoding == "first_byte"
                else (packed[-1], packed[:-1])
            )
            if stated != -self._bits(spec) % 8:
                raise CodecError(f"packbits: {stated} bits of padding, expected {-self._bits(spec) % 8}")
        array = np.empty(spec.size, spec.dtype)
        first, last = self._range(spec.dtype)
        each = last - first + 1
        parts = _components(spec.dtype)
        for at in range(0, spec.size, _AT_ONCE):
            part = array[at : at + _AT_ONCE]
            count = part.size * parts * each
            start = at * parts * each // 8
            bits = np.unpackbits(packed[start : start - (-count // 8)], count=count, bitorder="little")
            _put_together(part, bits.reshape(-1, each), first)
        return array.reshape(spec.shape)

    def _range(self, dtype: np.dtype[Any]) -> tuple[int, int]:
        last = _width(dtype) - 1 if self.last_bit is None else self.last_bit
        return self.first_bit or 0, last

    def _bits(self, spec: ChunkSpec) -> int:
        first, last = self._range(spec.dtype)
        return spec.size * _components(spec.dtype) * (last - first + 1)


def _components(dtype: np.dtype[Any]) -> int:
    return 2 if dtype.kind == "c" else 1


def _width(dtype: np.dtype[Any]) -> int:
    """Return how many bits one component of an element has."""
    return 1 if dtype.kind == "b" else bits_of(dtype) or 8 * dtype.itemsize // _components(dtype)


def _taken_apart(part: NDArray) -> NDArray:
    """Return the bits of each component in a row, lowest first."""
    dtype = part.dtype
    stored = part.astype(dtype.newbyteorder("<"), copy=False).view(np.uint8)
    return np.unpackbits(stored.reshape(-1, dtype.itemsize // _components(dtype)), axis=1, bitorder="little")


def _put_together(part: NDArray, bits: NDArray, first: int) -> None:
    """Set elements from the bits of their components; above these is the sign, or nothing."""
    dtype = part.dtype
    width = _width(dtype)
    whole = np.zeros((len(bits), 8 * dtype.itemsize // _components(dtype)), np.uint8)
    stop = first + bits.shape[1]
    whole[:, first:stop] = bits
    if kind_of(dtype) == "i":
        whole[:, stop:width] = bits[:, -1:]
    stored = np.packbits(whole, axis=1, bitorder="little").reshape(-1)
    part[...] = stored.view(dtype.newbyteorder("<"))
