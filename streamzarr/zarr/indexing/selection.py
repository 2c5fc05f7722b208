"""What a selection is, once it is parsed: values, no I/O.

Two forms. A :class:`Selection` chooses along each axis on its own, so basic and orthogonal indexing are one.
:class:`Points` are single elements, given by all their coordinates: ``vindex`` and masks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Positions: TypeAlias = npt.NDArray[np.intp]


class Range(NamedTuple):
    """``count`` positions of one axis, from `start` in steps of `step` (at least 1).

    Chunks are read and written in this order whatever the order of the result: see :attr:`Selection.expand`.
    """

    start: int
    count: int  # type: ignore[assignment]
    step: int = 1
    dropped: bool = False
    """An integer was given: the axis does not appear in the result."""
    flipped: bool = False
    """The step was negative: the last of these positions is the first of the result."""


@dataclass(frozen=True, slots=True, eq=False)
class Indices:
    """Positions of one axis in any order, none negative."""

    positions: Positions

    @property
    def count(self) -> int:
        """Number of positions."""
        return len(self.positions)

    @property
    def dropped(self) -> bool:
        """An axis that is given positions stays."""
        return False

    @property
    def flipped(self) -> bool:
        """Positions are in the order of the result."""
        return False


_BACKWARDS = slice(None, None, -1)

AxisSelection: TypeAlias = Range | Indices


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice along each axis; the result is their outer product."""

    axes: tuple[AxisSelection, ...]

    @property
    def full_shape(self) -> tuple[int, ...]:
        """Shape of what is selected, with every axis of the array."""
        return tuple([axis.count for axis in self.axes])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return tuple([axis.count for axis in self.axes if not axis.dropped])

    @property
    def is_flipped(self) -> bool:
        """Some axis of the result runs backwards."""
        return any([axis.flipped for axis in self.axes])  # noqa: C419 - faster

    @property
    def expand(self) -> tuple[Any, ...]:
        """An index that turns an array of :attr:`shape` into a view of :attr:`full_shape`, axes forwards."""
        return (
            *(None if axis.dropped else _BACKWARDS if axis.flipped else slice(None) for axis in self.axes),
            ...,
        )

    @property
    def is_box(self) -> bool:
        """Only slices without steps."""
        return not self.is_flipped and all(
            isinstance(axis, Range) and axis.step == 1 and not axis.dropped for axis in self.axes
        )


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Elements by coordinates: one array for each axis of the array, all flat and of one length."""

    coordinates: tuple[Positions, ...]
    shape: tuple[int, ...]
    """Shape of the result, which holds them in C order."""

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)
