"""Records that come when their slots are closed: which may, and where they are put."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from streamzarr.feeds.grid.fold import Arrivals, unplaceable
from streamzarr.feeds.grid.reserved import Reserved
from streamzarr.feeds.grid.spec import TIME, GridSpec
from streamzarr.feeds.replayed.stream import Replayed
from streamzarr.feeds.rows import Rows
from streamzarr.feeds.times import nanoseconds


class LateSlots:
    """Replayed records of a grid. Owned by the chain's thread; blocks on the store."""

    def __init__(self, spec: GridSpec, replayed: Replayed, reserved: Reserved) -> None:
        self._spec, self._replayed, self._reserved = spec, replayed, reserved

    def note(self, offsets: Collection[int]) -> None:
        """Note bad records, whose places are reserved from the next :meth:`commit` on."""
        self._reserved.add(offsets)

    def take(self, rows: Rows, places: Mapping[int, int], ours: Arrivals, latest: int | None) -> Rows:
        """Put records that have places beside their slots; return the other rows, as :meth:`Replayed.take`.

        Parameters
        ----------
        ours
            The rows of those records.
        latest
            The latest time of all others before them.
        """
        times = self._replayed.committed()[TIME]
        first = int(times[0].astype("M8[ns]").astype(np.int64)) if len(times) else None
        bad = unplaceable(ours, first, latest, self._spec)
        reserved = self._reserved.among(set(places.values()))
        every = nanoseconds(rows.columns[self._spec.time])
        slots = (every // self._spec.step * self._spec.step).astype("M8[ns]")

        def why(record: int, place: int) -> str:
            return bad.get(record, "" if place in reserved else f"offset {place} is in its slot already")

        return self._replayed.take(rows, places, why, slots)

    def commit(self) -> None:
        """Make what was noted durable: first of all, so that no position passes it before."""
        self._reserved.commit()

    def drop(self) -> None:
        """Give up what is not committed."""
        self._replayed.drop()
        self._reserved.drop()
