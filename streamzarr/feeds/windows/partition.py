"""One partition of windows in our hands: records go into open windows, closed windows into its stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streamzarr.feeds.grid.spec import Output
from streamzarr.feeds.keyed import key_names
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.replayed.places import places_of
from streamzarr.feeds.rows import Rows
from streamzarr.feeds.times import about, nanoseconds
from streamzarr.feeds.windows.fold import Arrivals, WindowFold
from streamzarr.feeds.windows.kept import Held, Kept
from streamzarr.feeds.windows.spec import Closed, WindowSpec
from streamzarr.queue import Columns
from streamzarr.runtime import Runtime
from streamzarr.stream import CommitPolicy, StreamWriter

READ: Final = "read"
TAKEN: Final = "taken"
MORE: Final = "more"
NO_REPLAY: Final = "windows take no replay: it may be in its window already, or that is closed"


@dataclass(frozen=True, slots=True)
class _Pending:
    """What came of a run, on its way to the broker and into the stream."""

    letters: Sequence[tuple[Columns, str, Mapping[int, str]]]
    """Bad records of a run, and at what stage."""
    closed: Sequence[Closed]


class PartitionWindows:
    """Records of one partition on their way into windows. Owned by the chain's thread; blocks on the store.

    The stream's position has up to five numbers: ``read``, up to where each record is in its windows or has
    its letter; ``taken``, how many records are in windows, and ``more``, how many more times than that they
    are in one, by which windows can be checked; ``life`` and ``state``, where the windows are that are open.

    Parameters
    ----------
    end
        Asks the broker where the partition ends.
    """

    def __init__(
        self,
        writer: StreamWriter,
        kept: Kept,
        fold: WindowFold,
        spec: WindowSpec,
        outputs: Sequence[Output],
        letters: Letters,
        policy: CommitPolicy,
        end: Callable[[], int],
        runtime: Runtime,
    ) -> None:
        self._writer, self._kept, self._fold = writer, kept, fold
        self._spec, self._outputs, self._letters = spec, outputs, letters
        self._policy, self._end, self._runtime = policy, end, runtime
        self._heard = runtime.now()
        position = writer.position
        assert isinstance(position, Mapping)
        self._read = self._given = position[READ]
        self._taken, self._more = position.get(TAKEN, 0), position.get(MORE, 0)
        self._pending: _Pending | None = None
        self._changed = False
        self._hushed = False
        """Windows were closed because nothing came, and that is not committed."""
        self._gathered = 0
        """Bytes of rows that are appended and not committed."""
        self.bad = 0
        """Records that became dead letters."""

    @property
    def put_bytes(self) -> int:
        """Bytes of chunks and of open windows that were put so far."""
        return self._writer.put_bytes + self._kept.put_bytes

    @property
    def position(self) -> int:
        """The next offset to be read."""
        return self._read

    def take(self, rows: Rows) -> None:
        """Fold the rows of a run, once; raises as :meth:`PartitionStream.take`."""
        if rows.run.stop > self._given:
            if self._hushed:  # else who comes after us knows nothing of it, and takes what is refused now
                self.commit(self._read)
            self._flush()
            self._pending, self._given = self._folded(rows), rows.run.stop
            self._heard = self._runtime.now()
        self._flush()
        gathered = self._writer.rows - self._writer.record.rows
        if self._policy.is_due(rows=gathered, nbytes=self._gathered, seconds=0.0):
            self._commit()

    def commit(self, position: int) -> None:
        """Make closed windows visible, and keep the open ones; raises as :meth:`PartitionStream.commit`."""
        self._flush()
        if position > self._read:
            self._read = self._given = position
            self._changed = True
        self._commit()

    def rest(self) -> None:
        """Make the windows of a partition that is silent for long visible; raises as :meth:`commit`.

        It is no silence while there are records that were not read. What it raises leaves the windows closed;
        they are committed before anything is taken, or when it was silent for as long again.
        """
        now, idle = self._runtime.now(), self._spec.idle
        if idle is None or now < self._heard + idle:
            return
        self._heard = now
        self._flush()
        if self._fold.open and self._end() <= self._read:
            self._pending = _Pending((), self._fold.close())
            self._changed = self._hushed = True
        if self._changed or self._writer.position != self._writer.record.position:
            self.commit(self._read)

    def drop(self) -> None:
        """Give up what is not committed."""
        self._writer.drop()

    def _folded(self, rows: Rows) -> _Pending:
        """Fold the rows of a run; what comes of it is still to be told."""
        undecoded = rows.bad
        replays = dict.fromkeys(places_of(rows), NO_REPLAY)
        rows = rows.without(replays)
        taken = self._fold.take(self._arrivals(rows), self._runtime.wall_ns() + self._spec.clock_reach)
        refused = {**replays, **taken.bad}
        rows = rows.without(taken.bad)
        records = len(np.unique(rows.records()))
        self._taken += records
        self._more += taken.folds - records
        self._changed = True
        letters = ((rows.run, "decode", undecoded), (rows.run, "window", refused))
        return _Pending(letters, taken.closed)

    def _arrivals(self, rows: Rows) -> Arrivals:
        records = rows.records()
        times = nanoseconds(rows.columns[self._spec.time])
        keys, names = np.zeros(len(records), np.intp), [""]
        if self._spec.key is not None:
            of_rows = key_names(rows.columns[self._spec.key])
            names = list(dict.fromkeys(of_rows))
            numbers = {name: number for number, name in enumerate(names)}
            keys = np.fromiter(map(numbers.__getitem__, of_rows), np.intp, len(of_rows))
        timely = about(times, rows.run.timestamps[records], self._spec.ahead)
        return Arrivals(times, keys, names, rows.run.offsets[records], records, timely, rows.columns)

    def _flush(self) -> None:
        """Write the letters of the run that was folded, and append the windows that it closed."""
        pending = self._pending
        if pending is None:
            return
        for run, stage, bad in pending.letters:
            if bad:
                self._letters.bury(run, bad, stage)
                self.bad += len(bad)
        self._pending = pending = replace(pending, letters=())
        rows = self._spec.rows(pending.closed, self._outputs)
        self._writer.append(rows, next_offset=self._writer.position)
        self._gathered += sum(each.nbytes for each in rows.values())
        self._read, self._pending = self._given, None

    def _commit(self) -> None:
        """Put what is open, then commit the rows with the position that names it."""
        if self._changed:
            held = Held(
                1,
                fields=tuple(each.name for each in self._outputs),
                newest=self._fold.newest,
                mark=self._fold.mark,
                panes=self._fold.dump(),
            )
            place = self._kept.put(held)
            told = {READ: self._read, TAKEN: self._taken, MORE: self._more, **place}
            self._writer.append(self._spec.rows((), self._outputs), next_offset=told)
            self._changed = False
        self._writer.commit()
        self._gathered, self._hushed = 0, False
        self._kept.settle()
