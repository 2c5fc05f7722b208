# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``bitround``: fewer significant bits, so that what follows compresses better.

Source: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/bitround
``{"name": "bitround", "configuration": {"keepbits": 10}}``

To the nearest, ties to even; of floats in the mantissa, of integers from the most significant bit set.
Decoding changes nothing, so how others round is no matter to a reader. Where the registry says nothing: NaN
stays as it is, negative integers are rounded by their magnitude, and what would overflow is rounded down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.limits import Limits
from streamzarr.zarr.codecs.base import ArrayArray, ChunkSpec, NDArray

_MANTISSA = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52, "complex64": 23, "complex128": 52}


@dataclass(frozen=True, slots=True)
class BitroundCodec(ArrayArray):
    """`keepbits` bits of each number.

    >>> import numpy as np
    >>> BitroundCodec(2).encode(np.array([1.1, 0.1], "f4")), BitroundCodec(2).encode(np.array([100, -27]))
    (array([1.     , 0.09375], dtype=float32), array([ 96, -24]))
    """

    name: ClassVar[str] = "bitround"
    keepbits: int

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        keepbits = configuration.get("keepbits")
        if configuration.keys() != {"keepbits"} or type(keepbits) is not int or keepbits < 1:
            raise ValueError(f"expected keepbits of at least 1 and nothing else, got {configuration!r}")
        return cls(keepbits)

    def configuration(self) -> dict[str, Any]:
        return {"keepbits": self.keepbits}

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        if spec.dtype.name not in _MANTISSA and spec.dtype.kind not in "iumM":
            raise ValueError(f"cannot round {spec.dtype}")
        return self

    def encoded_spec(self, spec: ChunkSpec) -> ChunkSpec:
        return replace(spec, fill=self.encode(np.asarray(spec.fill, spec.dtype).reshape(1))[0])

    def encode(self, array: NDArray) -> NDArray:
        dtype = array.dtype
        parts = np.ascontiguousarray(array)
        if dtype.kind == "c":
            parts = parts.reshape(-1).view(f"f{dtype.itemsize // 2}")
        mantissa = _MANTISSA.get(dtype.name)
        rounded = self._floats(parts, mantissa) if mantissa else self._integers(parts)
        return rounded.view(dtype).reshape(array.shape)

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return array

    def _floats(self, parts: NDArray, mantissa: int) -> NDArray:
        if self.keepbits >= mantissa:
            return parts
        bits = parts.view(f"u{parts.dtype.itemsize}")
        rounded = _rounded(bits, bits.dtype.type(mantissa - self.keepbits))
        return np.where(parts != parts, bits, rounded)

    def _integers(self, parts: NDArray) -> NDArray:
        bits = parts.view(f"u{parts.dtype.itemsize}")
        signed = parts.dtype.kind != "u"
        negative = parts.view(f"i{parts.dtype.itemsize}") < 0 if signed else np.zeros(parts.shape, bool)
        magnitude = np.where(negative, ~bits + bits.dtype.type(1), bits)
        drop = np.maximum(_bit_length(magnitude), self.keepbits) - self.keepbits
        drop = drop.astype(bits.dtype)
        rounded = np.where(drop > 0, _rounded(magnitude, np.maximum(drop, 1)), magnitude)
        most = np.where(
            negative, bits.dtype.type(1 << (8 * parts.dtype.itemsize - 1)), _greatest(bits, signed)
        )
        fits = (rounded >= (magnitude >> drop << drop)) & (rounded <= most)
        rounded = np.where(fits, rounded, magnitude >> drop << drop)
        return np.where(negative, ~rounded + bits.dtype.type(1), rounded)


def _greatest(bits: NDArray, signed: bool) -> Any:
    return bits.dtype.type((1 << (8 * bits.dtype.itemsize - signed)) - 1)


def _rounded(bits: NDArray, drop: Any) -> NDArray:
    """Return unsigned numbers without their lowest `drop` bits, to the nearest, ties to even; may wrap."""
    one = bits.dtype.type(1)
    half = (one << (drop - one)) - one
    rounded: NDArray = (bits + ((bits >> drop) & one) + half) >> drop << drop
    return rounded


def _bit_length(magnitude: NDArray) -> NDArray:
    """Return how many bits each number has up to the most significant one."""
    length = np.zeros(magnitude.shape, np.int64)
    rest = magnitude.copy()
    step = 4 * magnitude.dtype.itemsize
    while step:
        high = rest >> magnitude.dtype.type(step)
        length += np.where(high > 0, step, 0)
        rest = np.where(high > 0, high, rest)
        step //= 2
    found: NDArray = length + (rest > 0)
    return found
