# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``scale_offset``: numbers less an offset, times a scale, in the arithmetic of their own type.

Source: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/scale_offset
``{"name": "scale_offset", "configuration": {"offset": 5, "scale": 0.1}}``
What an integer type cannot hold on the way, or a division that leaves a remainder, is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.limits import Limits
from streamzarr.zarr.codecs.base import ArrayArray, ChunkSpec, NDArray
from streamzarr.zarr.dtypes.base import JSON
from streamzarr.zarr.dtypes.registry import data_type
from streamzarr.zarr.dtypes.small import bits_of, integer_range, kind_of


@dataclass(frozen=True, slots=True)
class ScaleOffsetCodec(ArrayArray):
    """``(x - offset) * scale``; both as metadata has them, in the form of a fill value, or None."""

    name: ClassVar[str] = "scale_offset"
    offset: JSON = None
    scale: JSON = None
    _resolved: tuple[Any, Any] = field(default=(0, 1), compare=False, repr=False)

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        if unknown := configuration.keys() - {"offset", "scale"}:
            raise ValueError(f"unknown keys {sorted(unknown)}")
        return cls(configuration.get("offset"), configuration.get("scale"))

    def configuration(self) -> dict[str, Any]:
        given = {"offset": self.offset, "scale": self.scale}
        return {key: value for key, value in given.items() if value is not None}

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        if kind_of(spec.dtype) not in "iuf":
            raise ValueError(f"cannot scale {spec.dtype}")
        kind = data_type(spec.dtype)
        offset, scale = (
            kind.fill_from_json(default if given is None else given, 3)
            for given, default in ((self.offset, 0), (self.scale, 1))
        )
        if not float(scale):
            raise ValueError("a scale of 0 cannot be undone")
        return replace(self, _resolved=(offset, scale))

    def encoded_spec(self, spec: ChunkSpec) -> ChunkSpec:
        return replace(spec, fill=self.encode(np.asarray(spec.fill, spec.dtype).reshape(1))[0])

    def encode(self, array: NDArray) -> NDArray:
        offset, scale = self._resolved
        if kind_of(array.dtype) == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                return np.asarray((array - offset) * scale)
        whole, off, factor = _whole(array), int(offset), int(scale)
        _check_range(array.dtype, *([bound - off, (bound - off) * factor] for bound in _bounds(whole)))
        return np.asarray((whole - whole.dtype.type(off)) * whole.dtype.type(factor)).astype(array.dtype)

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        offset, scale = self._resolved
        if kind_of(array.dtype) == "f":
            with np.errstate(all="ignore"):
                return np.asarray(array / scale + offset)
        whole, off, factor = _whole(array), int(offset), int(scale)
        bounds = [bound // factor for bound in _bounds(whole)]
        _check_range(array.dtype, *([bound, bound + off] for bound in bounds))
        if (whole % whole.dtype.type(factor)).any():
            raise CodecError(f"scale_offset: {array.dtype} values cannot be divided by {factor}")
        return np.asarray(whole // whole.dtype.type(factor) + whole.dtype.type(off)).astype(array.dtype)


def _whole(array: NDArray) -> NDArray:
    """Return integers in a type that numpy itself computes in."""
    return array.astype(np.int64) if bits_of(array.dtype) else array


def _bounds(whole: NDArray) -> tuple[int, ...]:
    """Return the least and the greatest number: what is linear fits for all if it fits for these."""
    return (int(whole.min()), int(whole.max())) if whole.size else ()


def _check_range(dtype: np.dtype[Any], *computed: list[int]) -> None:
    least, greatest = integer_range(dtype)
    for number in (number for numbers in computed for number in numbers):
        if not least <= number <= greatest:
            raise CodecError(f"scale_offset: {number} is no {dtype}, which has {least} to {greatest}")
