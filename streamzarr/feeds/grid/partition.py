"""One partition of a grid in our hands: records go into open slots, closed slots into its stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.grid.fold import Arrivals, GridFold
from streamzarr.feeds.grid.horizon import Horizon
from streamzarr.feeds.grid.keys import Keys
from streamzarr.feeds.grid.late import LateSlots
from streamzarr.feeds.grid.shape import Shape
from streamzarr.feeds.grid.spec import TIME, GridSpec
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.replayed.places import places_of
from streamzarr.feeds.rows import Rows
from streamzarr.feeds.times import SPAN, about, nanoseconds
from streamzarr.runtime import Runtime
from streamzarr.stream import CommitPolicy, StreamWriter

OPEN = "open"
READ = "read"
SEEN = "seen"
LATEST = "latest"
MORE = "more"
EARLIEST = SPAN
"""Positions are never negative, times before 1970 are: so much is added."""


class PartitionGrid:
    """Records of one partition on their way into slots. Owned by the chain's thread; blocks on the store.

    The stream's position has up to four numbers: ``read``, up to where each record is in a slot or has its
    letter; ``open``, from where on records are read again to have the slots that are not closed; ``latest``,
    the latest time before that, so that each is judged as it was; and ``more``, how many more rows than
    records were read, by which slots can be checked. What is read again and is in no open slot was
    settled before, and is left alone.

    Parameters
    ----------
    shape
        How slots become rows.
    late
        Takes records that were replayed; None: they are bad, as slots that are closed stay as they are.
    """

    def __init__(
        self,
        writer: StreamWriter,
        keys: Keys | None,
        spec: GridSpec,
        columns: Mapping[str, ColumnSpec],
        letters: Letters,
        policy: CommitPolicy,
        shape: Shape,
        late: LateSlots | None,
        runtime: Runtime,
    ) -> None:
        self._writer, self._keys, self._spec, self._letters = writer, keys, spec, letters
        self._policy, self._shape, self._late = policy, shape, late
        position = writer.position
        assert isinstance(position, Mapping)
        self._known, self._read = position[READ], position[OPEN]
        self._more = position.get(MORE, 0)
        last = writer.last.get(TIME)
        self._fold = GridFold(
            spec,
            spec.outputs(columns),
            closed=None if last is None else int(last.astype("M8[ns]").astype(np.int64)) // spec.step + 1,
            latest=position[LATEST] - EARLIEST if position.get(LATEST) else None,
        )
        self._seen = position[SEEN] - EARLIEST if position.get(SEEN) else None
        self._horizon = Horizon(runtime.wall_ns, spec.clock_reach, self._known, self._seen)
        self._closing: Iterator[dict[str, npt.NDArray[Any]]] = iter(())
        self._slots: dict[str, npt.NDArray[Any]] | None = None
        """Closed slots that are not appended."""
        self._taken = self._read
        """Behind the run that is folded now, or was last."""
        self._gathered = 0
        """Bytes of slots that are appended and not committed."""
        self._held = dict(position)
        """The position before that run."""
        self.bad = 0
        """Records that became dead letters."""

    @property
    def put_bytes(self) -> int:
        """Bytes of chunks that were put so far."""
        return self._writer.put_bytes

    @property
    def position(self) -> int:
        """The next offset to be read."""
        return self._read

    def take(self, rows: Rows) -> None:
        """Fold the rows of a run, once; raises as :meth:`PartitionStream.take`."""
        if rows.run.stop > self._taken:
            rows = self._without_replayed(rows)
            arrivals = self._arrivals(rows)
            until = self._horizon.until(arrivals.offsets)
            beyond = arrivals.times > until
            self._horizon.refuse(arrivals.offsets[beyond], arrivals.times[beyond])
            judgement = self._fold.judge(arrivals, until)
            offsets = rows.run.offsets
            bad = {
                index: why
                for index, why in {**rows.bad, **judgement.bad}.items()
                if offsets[index] >= self._known
            }
            if bad:
                self._letters.bury(rows.run, bad, "grid")
                if self._late is not None:
                    self._late.note([int(offsets[index]) for index in bad])
            self._held, self._taken = self._positions(), rows.run.stop
            self._more += self._more_than_records(rows, judgement.bad)
            self._closing = self._fold.take(arrivals, judgement)
            self.bad += len(bad)
        self._flush()

    def commit(self, position: int) -> None:
        """Make closed slots visible; raises as :meth:`PartitionStream.commit`."""
        self._flush()
        self._read = self._taken = max(self._read, position)
        self._commit()

    def rest(self) -> None:
        """Nothing is due while nothing comes."""

    def drop(self) -> None:
        """Give up what is not committed."""
        if self._late is not None:
            self._late.drop()
        self._writer.drop()
        if self._keys is not None:
            self._keys.drop()

    def _without_replayed(self, rows: Rows) -> Rows:
        """Put the rows of records that were replayed beside their slots; return the others."""
        places = places_of(rows)
        if not places:
            return rows
        if self._late is None:
            return rows.without(dict.fromkeys(places, "a bar that is closed takes no replay"))
        ours = self._arrivals(rows.chosen(~rows.kept(places)))
        self.commit(self._read)  # so that the first slot is known
        if self._keys is not None:
            self._keys.commit()
        return self._late.take(rows, places, ours, self._fold.latest)

    def _arrivals(self, rows: Rows) -> Arrivals:
        records = rows.records()
        places = np.zeros(len(records), np.intp)
        if self._keys is not None and self._spec.key is not None:
            places = self._keys.places(rows.columns[self._spec.key])
        times = nanoseconds(rows.columns[self._spec.time])
        timely = about(times, rows.run.timestamps[records], self._spec.ahead)
        return Arrivals(times, places, rows.run.offsets[records], records, timely, rows.columns)

    def _flush(self) -> None:
        """Append the slots that the run has closed, however many, some at a time.

        Until all of it is folded the position is that before it: from there on each record is judged again,
        and those in slots that are closed by then are left alone.
        """
        if self._late is not None:
            self._late.commit()
        while (slots := self._slots or next(self._closing, None)) is not None:
            self._slots = slots
            if self._keys is not None:
                self._keys.commit()  # first: a slot is never seen without its key
            rows = self._shape.rows(slots)
            self._writer.append(rows, next_offset=self._held)
            self._gathered += sum(each.nbytes for each in rows.values())
            self._slots = None
            if self._is_due:
                self._writer.commit()
                self._gathered = 0
        self._read = self._taken
        if self._is_due:
            self._commit()

    @property
    def _is_due(self) -> bool:
        gathered = self._writer.rows - self._writer.record.rows
        return self._policy.is_due(rows=gathered, nbytes=self._gathered, seconds=0.0)

    def _commit(self) -> None:
        self._writer.append(self._shape.empty, next_offset=self._positions())
        self._writer.commit()
        self._gathered = 0

    def _positions(self) -> dict[str, int]:
        opened, latest = self._fold.resume(self._read)
        self._horizon.settle(opened)
        told = {} if latest is None else {LATEST: latest + EARLIEST}
        if self._fold.latest is not None and (self._seen is not None or self._read >= self._known):
            told[SEEN] = max(self._fold.latest, -SPAN if self._seen is None else self._seen) + EARLIEST
        if self._more:
            told[MORE] = self._more
        return {OPEN: opened, READ: max(self._read, self._known), **told}

    def _more_than_records(self, rows: Rows, bad: Mapping[int, str]) -> int:
        """Return how many rows beyond the first the good records of a run have that were not read before."""
        counts = np.bincount(rows.records(), minlength=len(rows.run))
        counts[[*bad]] = 0
        return int((counts - 1)[(counts > 1) & (rows.run.offsets >= self._known)].sum())
