"""A yearly field of which any part can be computed alone: what is rechunked, and what results are held to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NOISE = 1_048_583
"""Values of noise; a prime, so that no two maps see them in the same order."""


class Field:
    """A smooth field with a yearly course and noise, rounded to two decimals, as measurements are."""

    def __init__(self, shape: Sequence[int]) -> None:
        times, rows, columns = (np.arange(n) for n in shape)
        # Along whole axes first: sine of a part may differ from part of a sine in the last bit.
        self._course = np.sin(times * (2 * np.pi / 365)).astype("f4")
        self._latitude = np.cos((rows / len(rows) - 0.5) * np.pi).astype("f4")
        self._longitude = np.sin(columns * (6 * np.pi / len(columns))).astype("f4")
        self._noise = np.random.default_rng(0).normal(0, 0.05, NOISE).astype("f4")
        self._strides = (7919, len(columns), 1)

    def __getitem__(self, part: tuple[slice, ...]) -> np.ndarray:
        time, row, column = part
        mean = self._latitude[row, None] * np.float32(28) + self._longitude[column] * np.float32(3)
        swing = self._latitude[row, None] * np.float32(6)
        at = sum(
            np.arange(each.start, each.stop).reshape([-1 if axis == i else 1 for axis in range(3)]) * stride
            for i, (each, stride) in enumerate(zip(part, self._strides, strict=True))
        )
        values = mean + swing * self._course[time, None, None] + self._noise[at % NOISE]
        return np.rint(values * np.float32(100)) / np.float32(100)
