"""The slots of a grid, as its readers want them: times, keys, and a plane for each field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamzarr.errors import ConfigError
from streamzarr.feeds.grid.keys import keys_path
from streamzarr.feeds.grid.spec import COLUMN, COUNT, TIME, Output
from streamzarr.feeds.grid.values import Values
from streamzarr.feeds.keyed import key_names
from streamzarr.feeds.meaning import HOW
from streamzarr.feeds.replayed.names import SLOT
from streamzarr.feeds.replayed.read import replayed_of
from streamzarr.feeds.target import find_parts
from streamzarr.stores import open_store
from streamzarr.stream import Snapshot, open_stream


@dataclass(frozen=True, slots=True)
class GridPart:
    """The slots of one partition, and the keys that have come in it."""

    snapshot: Snapshot
    keys: tuple[str, ...]
    key_field: str = ""
    """The column of the keys; empty: there is one key for all."""
    replayed: Snapshot | None = None
    """Rows that came by a replay, when their slots were closed."""

    def plane(self, field: str) -> npt.NDArray[Any]:
        """Return the values of a field, times x keys, with those that were replayed."""
        plane: npt.NDArray[Any] = self.snapshot[field][:, : len(self.keys)]
        if self.replayed is None or not self.replayed.rows:
            return plane
        which, places = self._places(self.replayed)
        if field == COUNT:
            np.add.at(plane.reshape(-1), places, 1)
            return plane
        stored = self.snapshot.document.fields[field]
        column, how = stored.attributes[COLUMN], stored.attributes[HOW]
        output = Output(field, column, how, plane.dtype, stored.fill_value, {})
        values = Values.of(output, plane, self._seen(output, plane))
        values.fold(places, self.replayed[output.column][:][which])
        return values.result()

    def _places(self, rows: Snapshot) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
        """Return which rows have a slot that is closed, and the cell of each of them."""
        times, slots = self.snapshot[TIME][:], rows[SLOT][:]
        at = np.searchsorted(times, slots)
        which = at < len(times)
        which[which] = times[at[which]] == slots[which]
        keys = np.zeros(len(slots), np.intp)
        if self.key_field:
            numbers = {key: number for number, key in enumerate(self.keys)}
            keys = np.array([numbers[key] for key in key_names(rows[self.key_field][:])], np.intp)
        return which, (at * len(self.keys) + keys)[which]

    def _seen(self, output: Output, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return of how many values each cell is; where it matters only whether there are any, 0 or 1."""
        field = f"{output.name}_count" if output.how == "mean" else COUNT
        counts: npt.NDArray[Any] = self.snapshot[field][:, : len(self.keys)]
        if output.how in ("sum", "count", "mean"):
            return counts
        there: npt.NDArray[Any] = (counts > 0) & ~np.isnan(plane) if plane.dtype.kind == "f" else counts > 0
        return there


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
            found = part.plane(field)
            plane = np.full((len(times), len(part.keys)), _fill(part.snapshot, field), found.dtype)
            plane[np.searchsorted(times, part.snapshot[TIME][:])] = found
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
        for each in attributes.values():
            each.pop(COLUMN, None)
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
        replayed = replayed_of(part.snapshot)
        found.append(GridPart(part.snapshot, tuple(map(str, keys)), part.facts.key, replayed))
    return Grid(tuple(found))


def _fill(snapshot: Snapshot, field: str) -> Any:
    return snapshot.document.fields[field].fill_value
