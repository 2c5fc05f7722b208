"""The slots of one partition that are open: records come in, closed slots go out. Pure, no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamzarr.feeds.columns import in_seconds
from streamzarr.feeds.grid.spec import COUNT, SPAN, TIME, GridSpec, Output
from streamzarr.feeds.grid.values import Array, Values

Numbers = npt.NDArray[np.int64]

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
    missing = rows.times == np.iinfo(np.int64).min
    bad: dict[int, str] = {}
    for which, reason in (
        (missing, f"{spec.time} is missing"),
        (rows.keys < 0, f"there is no room for another key, {spec.room} are there"),
        (np.full(len(missing), first is None), "no slot is there yet; replay it once there are"),
        (
            rows.times < (-SPAN if first is None else first),
            f"{spec.time} is before the first slot",
        ),
        (rows.times > (latest or 0) + spec.ahead, f"{spec.time} is ahead of all others"),
    ):
        for record in np.unique(rows.records[which]):
            bad.setdefault(int(record), reason)
    return bad


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
        spec, bad = self._spec, dict[int, str]()
        missing = rows.times == np.iinfo(np.int64).min
        outside = ~missing & (np.abs(rows.times) >= SPAN)
        beyond = ~outside & (rows.times > until)
        there = ~(missing | outside | beyond)
        reach = np.where(rows.timely, spec.longest_gap, spec.reach)
        before, latest = self._running(rows.times, there, reach)
        late = rows.times // spec.step < (before - spec.lateness) // spec.step
        far = rows.times > before + reach
        for which, reason in (
            (missing, f"{spec.time} is missing"),
            (outside, f"{spec.time} is not between 1824 and 2116, as times of a grid are"),
            (
                beyond,
                f"{spec.time} is more than {in_seconds(spec.clock_reach)} ahead of the clock",
            ),
            (rows.keys < 0, f"there is no room for another key, {spec.room} are there"),
            (late & there, f"{spec.time} is late by more than {in_seconds(spec.lateness)}"),
            *(
                (
                    far & there & (reach == most),
                    f"{spec.time} is more than {in_seconds(most)} ahead of all before",
                )
                for most in (spec.reach, spec.longest_gap)
            ),
        ):
            for record in np.unique(rows.records[which]):
                bad.setdefault(int(record), reason)
        return Judgement(bad, before, latest)

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

    def _running(
        self, times: Numbers, there: npt.NDArray[np.bool_], reach: Numbers
    ) -> tuple[Numbers, int | None]:
        """Return the latest time before each row, of those not too far ahead themselves, and behind all.

        Times that are not `there` do not count; `reach` is how far ahead of all before each may be.
        """
        first = times[there][:1]
        if not len(first):
            return np.zeros_like(times), self._latest
        before = int(first[0]) if self._latest is None else self._latest
        times = np.where(there, times, -SPAN)
        if times.max() - before <= self._spec.reach:
            known = np.maximum.accumulate(np.concatenate([[before], times]))
            return known[:-1], int(known[-1])
        found = np.empty(len(times), np.int64)
        for index, (time, most) in enumerate(zip(times.tolist(), reach.tolist(), strict=True)):
            found[index] = before
            if before < time <= before + most:
                before = time
        return found, before

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
