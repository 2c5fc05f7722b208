"""The slots of one partition that are open: records come in, closed slots go out. Pure, no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamzarr.feeds.columns import in_seconds
from streamzarr.feeds.grid.spec import COUNT, TIME, GridSpec, Output
from streamzarr.feeds.grid.values import Array, Values
from streamzarr.feeds.times import MISSING, SPAN, Numbers, Reach, told

NOWHERE: Final = 2**63 - 1
BLOCK_CELLS: Final = 1 << 20
"""Cells of one field that are made at a time: 8 MB of floats, however long a gap is."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Rows of some records, in the order in which they came."""

    times: Numbers
    """Nanoseconds since the epoch."""
    keys: npt.NDArray[np.intp]
    """Index of the key; -1: there is no room for it."""
    offsets: Numbers
    records: npt.NDArray[np.intp]
    """Index of the record in its run."""
    timely: npt.NDArray[np.bool_]
    """Whether the time is about that of the record itself, by the clock of whoever sent it."""
    columns: Mapping[str, Array]

    def chosen(self, which: npt.NDArray[Any] | slice) -> Arrivals:
        """Return some of the rows."""
        return Arrivals(
            self.times[which],
            self.keys[which],
            self.offsets[which],
            self.records[which],
            self.timely[which],
            {name: values[which] for name, values in self.columns.items()},
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """Which records of a run cannot be taken, and the latest time of all up to its end."""

    bad: Mapping[int, str]
    before: Numbers
    """The latest time of all before each row."""
    latest: int | None


def unplaceable(rows: Arrivals, first: int | None, latest: int | None, spec: GridSpec) -> dict[int, str]:
    """Tell which records that were replayed have no slot to be put in.

    Parameters
    ----------
    first
        Where the first slot that is there begins; None: none is.
    latest
        The latest time of all other records.
    """
    refused = (
        (rows.times == MISSING, f"{spec.time} is missing"),
        (rows.keys < 0, f"there is no room for another key, {spec.room} are there"),
        (np.full(len(rows.times), first is None), "no slot is there yet; replay it once there are"),
        (rows.times < (-SPAN if first is None else first), f"{spec.time} is before the first slot"),
        (rows.times > (latest or 0) + spec.ahead, f"{spec.time} is ahead of all others"),
    )
    return told(rows.records, refused)


class GridFold:
    """Slots from the first that is open to the last that has a record. Owned by the chain's thread.

    Parameters
    ----------
    closed
        The number of the first slot that is not closed, since the epoch; None: none ever was.
    latest
        The latest time of all records before those that come; None: there are none.
    """

    def __init__(
        self,
        spec: GridSpec,
        outputs: Sequence[Output],
        *,
        closed: int | None = None,
        latest: int | None = None,
    ) -> None:
        self._spec, self._base, self._latest = spec, closed, latest
        self._reach = Reach(spec.time, spec.reach, spec.longest_gap, spec.clock_reach)
        self._settled = closed is not None
        self._values = {each.name: Values(each, spec.room) for each in outputs}
        self._columns = {each.name: each.column for each in outputs}
        count = Output(COUNT, COUNT, "count", np.dtype("u4"), 0, {})
        self._count = Values(count, spec.room)
        self._first: Numbers = np.empty(0, np.int64)
        self._before: Numbers = np.empty(0, np.int64)

    @property
    def latest(self) -> int | None:
        """The latest time of all records; None: there are none."""
        return self._latest

    def resume(self, read: int) -> tuple[int, int | None]:
        """Return from which offset on records are to be read to have the open slots anew.

        And the latest time of all before it: with both, each record is judged as it was. `read` is the offset
        up to which records were taken.
        """
        least = int(self._first.min(initial=NOWHERE))
        if least == NOWHERE:
            return read, self._latest
        return least, int(self._before[self._first.argmin()])

    def judge(self, rows: Arrivals, until: Numbers | int = NOWHERE) -> Judgement:
        """Tell which records cannot be taken, by those before them alone; changes nothing.

        `until` is the latest time that each row may have by the clock.
        """
        spec = self._spec
        seen = self._reach.look(rows.times, rows.timely, self._latest, until)
        late = rows.times // spec.step < (seen.before - spec.lateness) // spec.step
        refused = (
            *seen.refused,
            (rows.keys < 0, f"there is no room for another key, {spec.room} are there"),
            (late & seen.there, f"{spec.time} is late by more than {in_seconds(spec.lateness)}"),
        )
        return Judgement(told(rows.records, refused), seen.before, seen.latest)

    def take(self, rows: Arrivals, judgement: Judgement) -> Iterator[dict[str, Array]]:
        """Fold the rows of records that were judged good; yield the slots that are closed by them, as rows.

        Rows of slots that were closed in an earlier life are in them. All is to be taken: what is yielded is
        not here any more.
        """
        good = ~np.isin(rows.records, list(judgement.bad))
        if self._settled:
            good &= rows.times // self._spec.step >= (self._base or 0)
        rows, before = rows.chosen(good), judgement.before[good]
        start, count = 0, len(rows.times)
        ahead = np.maximum.accumulate(rows.times)
        while start < count:  # in stretches, so that a gap is never a block of memory
            stop = int(np.searchsorted(ahead, ahead[start] + self._block * self._spec.step, "right"))
            stretch = slice(start, max(stop, start + 1))
            yield from self._closed(int(ahead[start]))
            self._fold(rows.chosen(stretch), before[stretch])
            start = stretch.stop
        if judgement.latest is not None:
            yield from self._closed(judgement.latest)

    @property
    def _block(self) -> int:
        """How many slots are made at a time."""
        return max(1, BLOCK_CELLS // self._spec.room)

    def _fold(self, rows: Arrivals, before: Numbers) -> None:
        slots = rows.times // self._spec.step
        self._make_room(int(slots.min()), int(slots.max()))
        at = slots - (self._base or 0)
        places = (at * self._spec.room + rows.keys).astype(np.intp)
        self._count.fold(places, np.ones(len(places)))
        for name, values in self._values.items():
            values.fold(places, rows.columns[self._columns[name]])
        slots, index = np.unique(at, return_index=True)  # offsets ascend: the first is the least
        new = self._first[slots] == NOWHERE
        self._first[slots[new]] = rows.offsets[index[new]]
        self._before[slots[new]] = before[index[new]]

    def _closed(self, latest: int) -> Iterator[dict[str, Array]]:
        """Note the latest time; yield the slots that no record may come into any more, a block at a time."""
        self._latest = latest if self._latest is None else max(latest, self._latest)
        end = (self._latest - self._spec.lateness) // self._spec.step
        while self._base is not None and self._base < end:
            if not (self._spec.dense or len(self._first)):
                self._base, self._settled = end, True  # nothing is in what is left of the gap
                return
            filled = self._block if self._spec.dense else len(self._first)
            count = min(end - self._base, self._block, filled)
            self._make_room(self._base, self._base + count - 1)
            times = (self._base + np.arange(count)) * self._spec.step
            rows = {name: values.close(count) for name, values in self._values.items()}
            rows |= {TIME: times.astype("M8[ns]"), COUNT: self._count.close(count)}
            self._first, self._before = self._first[count:].copy(), self._before[count:].copy()
            self._base += count
            self._settled = True
            yield rows

    def _make_room(self, first: int, last: int) -> None:
        base = first if self._base is None else min(first, self._base)
        before = 0 if self._base is None else self._base - base
        slots = max(last + 1 - base, before + len(self._first))
        if slots > len(self._first):
            behind = slots - len(self._first) - before
            self._first = np.pad(self._first, (before, behind), constant_values=NOWHERE)
            self._before = np.pad(self._before, (before, behind))
            for values in (self._count, *self._values.values()):
                values.grow(slots, before)
        self._base = base
