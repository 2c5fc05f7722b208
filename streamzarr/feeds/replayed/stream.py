"""The rows of one partition that came by a replay, on their way into a stream beside its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.replayed.names import PLACE, RECORD, SLOT
from streamzarr.feeds.rows import Rows
from streamzarr.stores import Store
from streamzarr.stream import Field, Snapshot, StreamWriter, open_stream

REPLAYED: Final = "replayed"
"""Group beside the partitions' streams, with one stream for each that has such rows."""
CHUNK_ROWS: Final = 4096

Refuse = Callable[[int, int], str]
"""Takes the index of a record and its place; says why it cannot be put there, empty: it can."""


def replayed_path(path: str) -> str:
    """Return where the replayed rows of the stream at `path` are.

    >>> replayed_path("p00000"), replayed_path("fx.ticks/p00000")
    ('replayed/p00000', 'fx.ticks/replayed/p00000')
    """
    above, _, name = path.rpartition("/")
    return f"{above}/{REPLAYED}/{name}".lstrip("/")


def replayed_schema(columns: Mapping[str, ColumnSpec], *, slots: bool) -> dict[str, Field]:
    """Return the fields: those of a row, the two offsets, and of a grid the slot."""
    fields = {
        name: replace(each.field(), sorted=False, chunk_rows=CHUNK_ROWS) for name, each in columns.items()
    }
    own = {PLACE: "i8", RECORD: "i8", **({SLOT: "M8[ns]"} if slots else {})}
    return {**fields, **{name: Field(dtype, chunk_rows=CHUNK_ROWS) for name, dtype in own.items()}}


class Replayed:
    """Owned by the chain's thread; blocks on the store.

    The stream is made, or taken over, when the first replay comes: until then whoever had the partition
    before may still put rows there, which are those that we would.

    Parameters
    ----------
    path
        Of the partition's stream.
    open_writer
        Makes the stream beside it, at a path, ours.
    """

    def __init__(self, store: Store, path: str, open_writer: Callable[[str], StreamWriter]) -> None:
        self._store, self._path, self._open_writer = store, path, open_writer
        self._writer: StreamWriter | None = None
        self._by_place: dict[int, int] = {}

    def committed(self) -> Snapshot:
        """Return what the partition's own stream has."""
        return open_stream(self._store, self._path)

    def take(
        self, rows: Rows, places: Mapping[int, int], refuse: Refuse, slots: npt.NDArray[Any] | None = None
    ) -> Rows:
        """Put the rows of records that have places there, durably; return the other rows.

        Records that cannot have their place are among the bad ones of what is returned.

        Parameters
        ----------
        slots
            Of a grid the slot of each row.

        Raises
        ------
        streamzarr.errors.FencedError, streamzarr.errors.StoreError
            As ``StreamWriter.commit``; give the same rows again.
        """
        writer = self._opened()
        filled, bad, new = dict(self._by_place), dict[int, str](), list[int]()
        for record, place in places.items():
            offset = int(rows.run.offsets[record])
            by = filled.setdefault(place, offset)
            if by != offset:
                bad[record] = f"offset {place} was replayed before, as offset {by}"
            elif place not in self._by_place:
                if why := _before(place, offset) or refuse(record, place):
                    bad[record] = why
                    del filled[place]
                else:
                    new.append(record)
        if new:
            writer.append(self._columns(rows, places, new, slots))
            self._by_place = filled
        writer.commit()  # now: the position may pass these records with the next append
        return rows.chosen(~np.isin(rows.records(), list(places))).with_bad(bad)

    def drop(self) -> None:
        """Give up what is not committed."""
        if self._writer is not None:
            self._writer.drop()

    def _columns(
        self, rows: Rows, places: Mapping[int, int], new: list[int], slots: npt.NDArray[Any] | None
    ) -> dict[str, Any]:
        which = np.isin(rows.records(), new)
        records = rows.records()[which]
        own = {
            PLACE: np.array([places[record] for record in records.tolist()], np.int64),
            RECORD: rows.run.offsets[records],
            **({} if slots is None else {SLOT: slots[which]}),
        }
        return {**{name: values[which] for name, values in rows.columns.items()}, **own}

    def _opened(self) -> StreamWriter:
        if self._writer is None:
            path = replayed_path(self._path)
            writer = self._open_writer(path)
            stored = open_stream(self._store, path)
            pairs = zip(stored[PLACE][:].tolist(), stored[RECORD][:].tolist(), strict=True)
            self._by_place, self._writer = dict(pairs), writer
        return self._writer


def _before(place: int, offset: int) -> str:
    """Return what is wrong with a replay that comes before its record; empty: it does not."""
    return f"a replay of offset {place} comes before it" if place >= offset else ""
