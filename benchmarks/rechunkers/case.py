"""What is rechunked: the arrays, their chunks, and whether a result is right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rechunkers.field import Field

import streamzarr as sz

ZSTD = {"id": "zstd", "level": 1}
SAMPLES = 12
Direction = Literal["maps-series", "series-maps"]
DIRECTIONS: tuple[Direction, ...] = ("maps-series", "series-maps")


@dataclass(frozen=True, slots=True)
class Size:
    shape: tuple[int, int, int]
    maps: tuple[int, int, int]
    """Chunks of one map."""
    series: tuple[int, int, int]
    """Chunks of whole time series."""


SIZES = {
    "small": Size((128, 512, 1024), (1, 512, 1024), (128, 32, 64)),  # 268 MB
    "large": Size((2048, 512, 1024), (1, 512, 1024), (2048, 16, 32)),  # 4.3 GB
}


@dataclass(frozen=True, slots=True)
class Case:
    """One array and the chunks it is to get; the grids of all are even."""

    size: str
    direction: Direction

    def __str__(self) -> str:
        return f"{self.size} {self.direction}"

    @property
    def shape(self) -> tuple[int, int, int]:
        return SIZES[self.size].shape

    @property
    def chunks(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Of the source and of the target."""
        size = SIZES[self.size]
        return (size.maps, size.series) if self.direction == "maps-series" else (size.series, size.maps)

    def make_source(self, url: str, field: Field) -> None:
        array = sz.create_array(
            url, shape=self.shape, chunks=self.chunks[0], dtype="f4", compressors=ZSTD, zarr_format=2
        )
        for index in np.ndindex(*array.grid.shape):
            array.write_chunk(index, field[_part(index, array.chunks)])

    def wrong(self, url: str, field: Field, seed: int) -> str | None:
        """Say what is wrong with a target: its chunks, their number, or sampled ones, first and last too."""
        array = sz.open_array(url)
        grid = array.grid.shape
        count = math.prod(grid)
        stored = sum(path.name[0].isdigit() for path in Path(url).rglob("*") if path.is_file())
        if (array.chunks, stored) != (self.chunks[1], count):
            return f"{stored} chunks {array.chunks}, expected {count} of {self.chunks[1]}"
        for number in {0, count - 1, *np.random.default_rng(seed).integers(count, size=SAMPLES).tolist()}:
            index = tuple(int(i) for i in np.unravel_index(number, grid))
            if not np.array_equal(array.read_chunk(index), field[_part(index, array.chunks)]):
                return f"chunk {index} is not as numpy has it"
        return None


def _part(index: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, chunks, strict=True))
