"""One partition in our hands: its rows go into its stream, its bad records to the dead letters."""

from __future__ import annotations

from collections.abc import Mapping

from streamzarr.feeds.columns import OFFSET, ColumnSpec
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.rows import Rows, going_back
from streamzarr.stream import StreamWriter


class PartitionStream:
    """Rows of one partition on their way into its stream. Owned by the chain's thread; blocks on the store.

    The stream's position is behind all records that were taken: their rows are in the stream, their letters
    with the broker.
    """

    def __init__(self, writer: StreamWriter, columns: Mapping[str, ColumnSpec], letters: Letters) -> None:
        self._writer, self._letters = writer, letters
        self._empty: dict[str, list[object]] = {name: [] for name in columns}
        self._sorted = [name for name, each in columns.items() if each.sorted and each.source != OFFSET]
        self.bad = 0
        """Records that became dead letters."""

    @property
    def writer(self) -> StreamWriter:
        """The writer of the stream."""
        return self._writer

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
        rows = self._in_order(rows)
        if rows.bad:
            self._letters.bury(rows.run, rows.bad, "decode")
        self._writer.append(rows.columns if len(rows) else self._empty, next_offset=rows.run.stop)
        self.bad += len(rows.bad)

    def commit(self, position: int) -> None:
        """Make what was taken visible, up to `position`, below which nothing is left to do.

        Offsets between the last run and there hold no record, or one that failed and has its letter. Raises
        as :meth:`take`.
        """
        if position > self.position:
            self._writer.append(self._empty, next_offset=position)
        self._writer.commit()

    def drop(self) -> None:
        """Give up what is not committed."""
        self._writer.drop()

    def _in_order(self, rows: Rows) -> Rows:
        for name in self._sorted:
            if len(rows):
                values, last = rows.columns[name], self._writer.last.get(name)
                late = going_back(values, rows.records(), last)
                rows = rows.without(
                    {int(each): f"{name} goes back, or is none, in a column that is sorted" for each in late}
                )
        return rows
