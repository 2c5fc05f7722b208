# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``transpose``: axes in another order before the bytes are laid out.

Specification: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/transpose/index.html
``{"name": "transpose", "configuration": {"order": [1, 0]}}``
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.limits import Limits
from streamzarr.zarr.codecs.base import ArrayArray, ChunkSpec, NDArray


@dataclass(frozen=True, slots=True)
class TransposeCodec(ArrayArray):
    """Axis ``order[i]`` of the array becomes axis ``i`` of what is stored.

    >>> import numpy as np
    >>> TransposeCodec((1, 0)).encode(np.zeros((2, 3))).shape
    (3, 2)
    """

    name: ClassVar[str] = "transpose"
    order: tuple[int, ...]

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        order = configuration.get("order")
        if configuration.keys() != {"order"} or not isinstance(order, list | tuple):
            raise ValueError(f"expected an order, a list of axes, got {configuration!r}")
        if any(isinstance(axis, bool) or not isinstance(axis, int) for axis in order):
            raise ValueError(f"expected an order of integers, got {order!r}")
        return cls(tuple(order))

    def configuration(self) -> dict[str, Any]:
        return {"order": list(self.order)}

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        if sorted(self.order) != list(range(len(spec.shape))):
            raise ValueError(f"order {list(self.order)} is not a permutation of {len(spec.shape)} axes")
        return self

    def encoded_spec(self, spec: ChunkSpec) -> ChunkSpec:
        return replace(spec, shape=tuple(spec.shape[axis] for axis in self.order))

    def encode(self, array: NDArray) -> NDArray:
        return array.transpose(self.order)

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return array.transpose(np.argsort(self.order)) if self.order else array
