"""One partition in our hands: its rows go into its stream, its bad records to the dead letters."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import numpy as np

from streamzarr.feeds.columns import OFFSET, ColumnSpec, in_seconds
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.replayed.places import places_of
from streamzarr.feeds.replayed.stream import Refuse, Replayed
from streamzarr.feeds.rows import Rows, going_back
from streamzarr.flow.windows.moments import duration
from streamzarr.runtime import Runtime
from streamzarr.stream import StreamWriter


class PartitionStream:
    """Rows of one partition on their way into its stream. Owned by the chain's thread; blocks on the store.

    The stream's position is behind all records that were taken: their rows are in the stream, their letters
    with the broker.
    """

    def __init__(
        self,
        writer: StreamWriter,
        columns: Mapping[str, ColumnSpec],
        letters: Letters,
        replayed: Replayed,
        runtime: Runtime,
    ) -> None:
        self._writer, self._letters, self._replayed, self._runtime = writer, letters, replayed, runtime
        self._offset = next(name for name, each in columns.items() if each.source == OFFSET)
        self._empty: dict[str, list[object]] = {name: [] for name in columns}
        self._sorted = [name for name, each in columns.items() if each.sorted and each.source != OFFSET]
        self._ahead = {
            name: duration(columns[name].ahead_of_clock, "ahead")
            for name in self._sorted
            if columns[name].dtype.kind == "M"
        }
        self.bad = 0
        """Records that became dead letters."""

    @property
    def put_bytes(self) -> int:
        """Bytes of chunks that were put so far."""
        return self._writer.put_bytes

    @property
    def has_new(self) -> bool:
        """Whether something was taken that is not committed."""
        return self._writer.position != self._writer.record.position

    @property
    def position(self) -> int:
        """The next offset to be read."""
        position = self._writer.position
        assert isinstance(position, int)
        return position

    def take(self, rows: Rows) -> None:
        """Add the rows of a run, once: a run that was taken before is left alone.

        Raises
        ------
        streamzarr.errors.FencedError
            Somebody else has taken over the stream.
        streamzarr.errors.StoreError, streamzarr.errors.QueueError
            Rows or letters could not be stored; nothing was taken, give the run again.
        """
        if rows.run.stop <= self.position:
            return
        if places := places_of(rows):
            rows = self._replayed.take(rows, places, self._refuse(rows, places))
        rows = rows.without(self._late(rows))
        if rows.bad:
            self._letters.bury(rows.run, rows.bad, "decode")
        self._writer.append(rows.columns if len(rows) else self._empty, next_offset=rows.run.stop)
        self.bad += len(rows.bad)

    def going_back(self, rows: Rows) -> dict[int, str]:
        """Return the records of a run that would go back in a column that is sorted, and why they are bad."""
        return self._late(rows.chosen(rows.kept(places_of(rows)))) if self._sorted else {}

    def commit(self, position: int) -> None:
        """Make what was taken visible, up to `position`, below which nothing is left to do.

        Offsets between the last run and there hold no record, or one that failed and has its letter. Raises
        as :meth:`take`.
        """
        if position > self.position:
            self._writer.append(self._empty, next_offset=position)
        self._writer.commit()

    def rest(self) -> None:
        """Nothing is due while nothing comes."""

    def drop(self) -> None:
        """Give up what is not committed."""
        self._replayed.drop()
        self._writer.drop()

    def _late(self, rows: Rows) -> dict[int, str]:
        late: dict[int, str] = {}
        for name, ahead in self._ahead.items():
            values = rows.columns[name]
            until = np.datetime64(self._runtime.wall_ns() + ahead, "ns").astype(values.dtype)
            why = f"{name} is more than {in_seconds(ahead)} ahead of the clock, in a column that is sorted"
            late |= {int(each): why for each in rows.records()[values > until]}
        for name in self._sorted:
            left = rows.without(late)
            if len(left):
                found = going_back(left.columns[name], left.records(), self._writer.last.get(name))
                why = f"{name} goes back, or is none, in a column that is sorted"
                late |= {int(each): why for each in found}
        return late

    def _refuse(self, rows: Rows, places: Mapping[int, int]) -> Refuse:
        """Return what says why a replayed record has no place here."""
        self._writer.commit()  # so that all rows of before can be looked at
        offsets = self._replayed.committed()[self._offset]
        coming = set(rows.run.offsets[rows.records()[rows.kept(places)]].tolist())

        def why(_: int, place: int) -> str:
            at = bisect_left(offsets, place)
            is_there = place in coming or (at < len(offsets) and offsets[at] == place)
            return f"offset {place} has its rows already" if is_there else ""

        return why
