"""A description of an array, to read or to print."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from streamzarr.zarr.grid import RegularChunks
from streamzarr.zarr.rectilinear import RectilinearChunks

if TYPE_CHECKING:
    from streamzarr.zarr.array import Array


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """What ``array.info`` shows, in zarr-python's words."""

    type: str
    zarr_format: int
    data_type: str
    fill_value: Any
    shape: tuple[int, ...]
    shard_shape: tuple[int, ...] | RectilinearChunks | None
    chunk_shape: tuple[int, ...] | RectilinearChunks
    order: str
    read_only: bool
    store_type: str
    filters: tuple[Any, ...]
    compressors: tuple[Any, ...]
    no_bytes: int

    @classmethod
    def of(cls, array: Array) -> ArrayInfo:
        """Describe `array`; reads nothing."""
        grid, inner = array.metadata.chunk_grid, array.metadata.inner_chunks
        unit = grid.chunk_shape if isinstance(grid, RegularChunks) else grid
        return cls(
            "Array",
            array.zarr_format,
            str(array.dtype),
            array.fill_value,
            array.shape,
            None if inner is None else unit,
            unit if inner is None else inner,
            array.order,
            array.read_only,
            type(array.store).__name__,
            array.filters,
            array.compressors,
            array.nbytes,
        )

    def __str__(self) -> str:
        rows = [(each.name, getattr(self, each.name)) for each in fields(self)]
        return "\n".join(
            f"{_title(name):<19}: {_size(value) if name == 'no_bytes' else value}"
            for name, value in rows
            if not (name == "shard_shape" and value is None)
        )


def _title(name: str) -> str:
    return "No. bytes" if name == "no_bytes" else name.replace("_", " ").capitalize()


def _size(nbytes: int) -> str:
    """Return `nbytes`, with a short form behind it from one KiB on.

    >>> _size(2048)
    '2048 (2.0K)'
    """
    power = min((max(nbytes, 1).bit_length() - 1) // 10, 5)
    return f"{nbytes} ({nbytes / 1024**power:.1f}{'KMGTP'[power - 1]})" if power else str(nbytes)
