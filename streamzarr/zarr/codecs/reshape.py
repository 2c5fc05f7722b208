# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``reshape``: the same elements in the same order, along other axes.

Source: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/reshape
``{"name": "reshape", "configuration": {"shape": [[0, 1], 3, -1]}}``
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.limits import Limits
from streamzarr.zarr.codecs.base import ArrayArray, ChunkSpec, NDArray


@dataclass(frozen=True, slots=True)
class ReshapeCodec(ArrayArray):
    """`shape`: of each new axis its length, the old axes that it is made of, or once -1 for what is left.

    >>> ReshapeCodec(((0, 1), 3, -1)).lengths((4, 5, 6))
    (20, 3, 2)
    """

    name: ClassVar[str] = "reshape"
    shape: tuple[int | tuple[int, ...], ...]

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        shape = configuration.get("shape")
        if configuration.keys() != {"shape"} or not isinstance(shape, list | tuple):
            raise ValueError(f"expected a shape, got {configuration!r}")
        for each in shape:
            listed = isinstance(each, list | tuple)
            if not all(
                type(n) is int and (n >= 0 if listed else n > 0 or n == -1)
                for n in (each if listed else [each])
            ):
                raise ValueError(f"expected lengths, lists of axes, or -1, got {each!r}")
        axes = [axis for each in shape if isinstance(each, list | tuple) for axis in each]
        if sorted(set(axes)) != axes or list(shape).count(-1) > 1:
            raise ValueError(f"expected axes in ascending order, and -1 at most once, got {shape!r}")
        return cls(tuple(tuple(each) if isinstance(each, list | tuple) else each for each in shape))

    def configuration(self) -> dict[str, Any]:
        return {"shape": [list(each) if isinstance(each, tuple) else each for each in self.shape]}

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        if len(self.lengths(spec.shape)) > limits.max_ndim:
            raise ValueError(f"{len(self.shape)} dimensions, at most {limits.max_ndim} allowed")
        return self

    def lengths(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that an array of shape `given` gets; ``ValueError`` when there is none."""
        if any(axis >= len(given) for each in self.shape if isinstance(each, tuple) for axis in each):
            raise ValueError(f"shape {list(self.shape)} names axes that {list(given)} does not have")
        found = [
            math.prod(given[axis] for axis in each) if isinstance(each, tuple) else each
            for each in self.shape
        ]
        size = math.prod(given)
        if -1 in found:
            rest = math.prod(n for n in found if n != -1)
            found[found.index(-1)] = size // rest if rest else 0
        if math.prod(found) != size:
            raise ValueError(f"{list(given)} cannot be reshaped to {found}")
        for place, each in enumerate(self.shape):
            if isinstance(each, tuple) and each:
                before, after = math.prod(given[: each[0]]), math.prod(given[each[-1] + 1 :])
                if math.prod(found[:place]) != before or math.prod(found[place + 1 :]) != after:
                    raise ValueError(f"axes {list(each)} of {list(given)} are no axis of {found}")
        return tuple(found)

    def encoded_spec(self, spec: ChunkSpec) -> ChunkSpec:
        return replace(spec, shape=self.lengths(spec.shape))

    def encode(self, array: NDArray) -> NDArray:
        return array.reshape(self.lengths(array.shape))

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return np.asarray(array).reshape(spec.shape)
