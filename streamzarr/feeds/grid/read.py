"""The slots of a grid, as its readers want them: times, keys, and a plane for each field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamzarr.errors import ConfigError
from streamzarr.feeds.grid.keys import keys_path
from streamzarr.feeds.grid.spec import TIME
from streamzarr.feeds.target import find_parts
from streamzarr.stores import open_store
from streamzarr.stream import Snapshot, open_stream


@dataclass(frozen=True, slots=True)
class GridPart:
    """The slots of one partition, and the keys that have come in it."""

    snapshot: Snapshot
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid as its commits left it: a snapshot, immutable; made by :func:`open_grid`."""

    parts: tuple[GridPart, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys, by partition."""
        return tuple(key for part in self.parts for key in part.keys)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(name for name in self.parts[0].snapshot.names if name != TIME)

    @property
    def times(self) -> npt.NDArray[np.datetime64]:
        """The beginnings of all slots; those that one partition has not come to yet are its fill value."""
        return np.unique(np.concatenate([part.snapshot[TIME][:] for part in self.parts]))

    def __getitem__(self, field: str) -> npt.NDArray[Any]:
        """Return the values of a field: times x keys."""
        times = self.times
        columns = []
        for part in self.parts:
            array = part.snapshot[field]
            plane = np.full((len(times), len(part.keys)), _fill(part.snapshot, field), array.dtype)
            plane[np.searchsorted(times, part.snapshot[TIME][:])] = array[:, : len(part.keys)]
            columns.append(plane)
        return np.concatenate(columns, axis=1)

    def to_xarray(self, fields: Sequence[str] | None = None) -> Any:
        """Return a dataset in memory with the coordinates ``time`` and ``key``; needs xarray."""
        try:
            import xarray as xr
        except ImportError as error:
            raise ConfigError("to_xarray needs the package 'xarray'") from error
        chosen = self.fields if fields is None else fields
        attributes = {name: dict(self.parts[0].snapshot[name].attributes) for name in chosen}
        return xr.Dataset(
            {name: ((TIME, "key"), self[name], attributes[name]) for name in chosen},
            {TIME: self.times, "key": [*self.keys]},
        )


def open_grid(url: str) -> Grid:
    """Return the grid of a feed's target as it is now.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError, streamzarr.errors.ConfigError
        There is no feed's grid.
    """
    store = open_store(url, mode="r")
    found = []
    for part in find_parts(url):
        if part.facts.layout != "grid":
            raise ConfigError(f"{url}: its layout is {part.facts.layout!r}, expected 'grid'")
        keys = open_stream(store, keys_path(part.name))["key"][:] if part.facts.keyed else [""]
        found.append(GridPart(part.snapshot, tuple(map(str, keys))))
    return Grid(tuple(found))


def _fill(snapshot: Snapshot, field: str) -> Any:
    return snapshot.document.fields[field].fill_value
