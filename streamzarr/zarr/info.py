"""Descriptions of arrays and groups, to read or to print."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from streamzarr.zarr.description import ArrayDescription
from streamzarr.zarr.grids.grid import RegularChunks
from streamzarr.zarr.grids.rectilinear import RectilinearChunks
from streamzarr.zarr.metadata import GroupMetadata
from streamzarr.zarr.nodes.node import Node


class Stored(NamedTuple):
    """What a store holds of an array."""

    nbytes: int
    nchunks: int

    def of(self, array: ArrayDescription) -> tuple[int, float, str]:
        """Return the bytes, how many there are in memory for each, and the chunks out of all."""
        return self.nbytes, round(array.nbytes / max(self.nbytes, 1), 1), f"{self.nchunks}/{array.nchunks}"


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
    no_bytes_stored: int | None = None
    """Bytes of its chunks and metadata in the store, where they were counted."""
    storage_ratio: float | None = None
    chunks_initialized: str | None = None
    """How many of its chunks are stored, and of how many."""

    @classmethod
    def of(cls, array: ArrayDescription, stored: Stored | None = None) -> ArrayInfo:
        """Describe `array`, and what is `stored` of it where that was counted."""
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
            *(() if stored is None else stored.of(array)),
        )

    def __str__(self) -> str:
        optional = ("shard_shape", "no_bytes_stored", "storage_ratio", "chunks_initialized")
        return _table(self, optional)


class Below(NamedTuple):
    """How many nodes are below a group."""

    arrays: int
    groups: int


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """What ``group.info`` shows, in zarr-python's words."""

    name: str
    type: str
    zarr_format: int
    read_only: bool
    store_type: str
    consolidated_metadata: bool
    no_members: int | None = None
    no_arrays: int | None = None
    no_groups: int | None = None

    @classmethod
    def of(cls, group: Node, metadata: GroupMetadata, members: Below | None = None) -> GroupInfo:
        """Describe `group`, and what is below it where that was counted."""
        return cls(
            group.name,
            "Group",
            metadata.zarr_format,
            group.read_only,
            type(group.store).__name__,
            metadata.consolidated is not None,
            *(() if members is None else (sum(members), *members)),
        )

    def __str__(self) -> str:
        return _table(self, ("no_members", "no_arrays", "no_groups"))


def _table(info: ArrayInfo | GroupInfo, optional: tuple[str, ...]) -> str:
    rows = {
        _title(each.name): getattr(info, each.name)
        for each in fields(info)
        if each.name not in optional or getattr(info, each.name) is not None
    }
    width = max(19, *(len(title) + 1 for title in rows))
    return "\n".join(
        f"{title:<{width}}: {_size(value) if title.startswith('No. bytes') else value}"
        for title, value in rows.items()
    )


def _title(name: str) -> str:
    return (name.replace("no_", "No. ") if name.startswith("no_") else name.capitalize()).replace("_", " ")


def _size(nbytes: int) -> str:
    """Return `nbytes`, with a short form behind it from one KiB on.

    >>> _size(2048)
    '2048 (2.0K)'
    """
    power = min((max(nbytes, 1).bit_length() - 1) // 10, 5)
    return f"{nbytes} ({nbytes / 1024**power:.1f}{'KMGTP'[power - 1]})" if power else str(nbytes)
