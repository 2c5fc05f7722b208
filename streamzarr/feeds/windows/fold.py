"""The windows of one partition that are open: records come in, closed windows go out. Pure, no I/O, no clock.

The windows themselves are the flow's :class:`~streamzarr.flow.windows.panes.Panes`. Rows of a run that are in
the same windows are put together first, so a window costs by the run and not by the row. That changes nothing
in what is in it: a record is taken only while each window that it can be in is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from streamzarr.feeds.columns import in_seconds
from streamzarr.feeds.grid.spec import Output
from streamzarr.feeds.times import SPAN, Numbers, Reach, told
from streamzarr.feeds.windows.spec import Accumulator, Closed, WindowSpec
from streamzarr.feeds.windows.values import Parts, joined
from streamzarr.flow.windows import Session, Window
from streamzarr.flow.windows.bound import OVERHEAD, estimate
from streamzarr.flow.windows.moments import FIRST
from streamzarr.flow.windows.panes import Panes
from streamzarr.flow.windows.reduction import Reduction
from streamzarr.flow.windows.snapshot import PaneState

OWNER: Final = "partition"
STATE_BYTES: Final = 200
"""About what a state takes in memory."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Rows of some records, in the order in which they came."""

    times: Numbers
    keys: npt.NDArray[np.intp]
    """Index of the key in `names`."""
    names: Sequence[str]
    offsets: Numbers
    records: npt.NDArray[np.intp]
    """Index of the record in its run."""
    timely: npt.NDArray[np.bool_]
    """Whether the time is about that of the record itself."""
    columns: Mapping[str, npt.NDArray[Any]]

    def chosen(self, which: npt.NDArray[Any] | slice) -> Arrivals:
        """Return some of the rows."""
        return Arrivals(
            self.times[which],
            self.keys[which],
            self.names,
            self.offsets[which],
            self.records[which],
            self.timely[which],
            {name: values[which] for name, values in self.columns.items()},
        )


@dataclass(slots=True)
class Taken:
    """What came of some rows."""

    bad: dict[int, str]
    """Index of a record that is in no window -> reason."""
    closed: list[Closed] = field(default_factory=list)
    folds: int = 0
    """How many rows were folded, each as often as into windows."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are in the same windows."""

    key: str
    windows: tuple[Window, ...]
    rows: int
    held: Accumulator


class WindowFold:
    """Windows that are open. Owned by the chain's thread.

    Parameters
    ----------
    newest
        The latest time of all records before those that come; None: there are none.
    mark
        Where the windows that are closed end, at the latest.
    panes
        The windows that are open.
    """

    def __init__(
        self,
        spec: WindowSpec,
        outputs: Sequence[Output],
        *,
        newest: int | None = None,
        mark: int = FIRST,
        panes: Iterable[PaneState] = (),
    ) -> None:
        self._spec, self._outputs, self._newest = spec, outputs, newest
        self._reach = Reach(spec.time, spec.ahead, SPAN - 1, spec.clock_reach)
        self._nbytes = STATE_BYTES * (1 + len(outputs))
        self._panes = Panes(
            Reduction(
                self._joined,
                None,
                spec.kind,
                merge=self._joined if isinstance(spec.kind, Session) else None,
                bound=spec.bound,
                size_of=self._size_of,
            )
        )
        self._panes.restore(OWNER, panes, mark, 0.0)

    @property
    def newest(self) -> int | None:
        """The latest time of all records; None: there are none."""
        return self._newest

    @property
    def mark(self) -> int:
        """Windows that end here or before are closed."""
        return self._panes.mark_of(OWNER)

    @property
    def open(self) -> int:
        """Number of windows that are open."""
        return self._panes.shelf.accumulators

    def dump(self) -> tuple[PaneState, ...]:
        """Return the windows that are open, to be stored."""
        return self._panes.dump(OWNER)

    def take(self, rows: Arrivals, until: Numbers | int) -> Taken:
        """Fold the rows of records that can be taken; `until` is the latest time each may have by the clock.

        What is taken is told by the records alone, in their order, however they are divided into runs.
        """
        seen = self._reach.look(rows.times, rows.timely, self._newest, until)
        spec, stops = self._spec, self._spec.kind.first_stops(rows.times)
        late = stops <= seen.before - spec.lateness
        closed = ~late & (stops <= self.mark)
        refused = (
            *seen.refused,
            (
                late & seen.there,
                f"{spec.time} is late by more than {in_seconds(spec.lateness)}: its window is over",
            ),
            (
                closed & seen.there,
                f"{spec.time} is in a window that is closed: nothing came for long, or lateness was less",
            ),
        )
        taken = Taken(told(rows.records, refused))
        if seen.latest is None:
            return taken
        good = ~np.isin(rows.records, [*taken.bad])
        if good.any():
            behind = np.append(seen.before[1:], seen.latest)
            self._fold(rows.chosen(good), behind[good], taken)
        self._newest = seen.latest
        self._advance(seen.latest - self._spec.lateness, taken)
        return taken

    def close(self) -> list[Closed]:
        """Close all windows: none of their records are taken any more."""
        taken = Taken({})
        self._advance(max((pane.window[1] for pane in self.dump()), default=self.mark), taken)
        return taken.closed

    def _fold(self, rows: Arrivals, behind: Numbers, taken: Taken) -> None:
        """Fold rows; near the bound some at a time, so that each record finds room as if it came alone.

        `behind` is the latest time of all up to each row.
        """
        self._advance(int(behind[0]) - self._spec.lateness, taken)
        groups = self._grouped(rows)
        if not (full := self._full(groups)):
            for group in groups:
                for window in group.windows:
                    self._panes.fold(OWNER, group.key, window, group.held)
                taken.folds += group.rows * len(group.windows)
        elif rows.records[0] == rows.records[-1]:
            taken.bad[int(rows.records[0])] = full
        else:
            middle = rows.records[len(rows.records) // 2]
            side: Literal["left", "right"] = "left" if middle > rows.records[0] else "right"
            cut = int(np.searchsorted(rows.records, middle, side))
            self._fold(rows.chosen(slice(cut)), behind[:cut], taken)
            self._fold(rows.chosen(slice(cut, None)), behind[cut:], taken)

    def _advance(self, mark: int, taken: Taken) -> None:
        """Close the windows that the mark has passed, by their ends; of one end by begin and key."""
        self._panes.advance(max(mark, self.mark))
        results = [given.result for given in self._panes.take_all()]
        results.sort(key=lambda each: (each.window.stop, each.window.start, each.key))
        taken.closed += [(each.key, each.window, each.value) for each in results]

    def _grouped(self, rows: Arrivals) -> list[Group]:
        """Return rows by the windows that they are in."""
        order = np.lexsort((rows.times, rows.keys))
        rows = rows.chosen(order)
        begins = np.append(True, (np.diff(rows.keys) != 0) | ~self._spec.kind.go_on(rows.times))
        starts = np.flatnonzero(begins)
        stops = np.append(starts[1:], len(begins))
        parts = Parts(np.cumsum(begins) - 1, rows.times, rows.offsets)
        states = [parts.states(each, rows.columns[each.column], len(starts)) for each in self._outputs]
        counts = (stops - starts).tolist()
        spans = zip(rows.times[starts].tolist(), rows.times[stops - 1].tolist(), strict=True)
        names = [rows.names[key] for key in rows.keys[starts].tolist()]
        return [
            Group(name, self._spec.kind.around(first, last), count, held)
            for name, (first, last), count, held in zip(
                names, spans, counts, zip(counts, *states, strict=True), strict=True
            )
        ]

    def _full(self, groups: Sequence[Group]) -> str:
        """Return why there may be no room for the windows of all rows; empty: there is."""
        shelf, bound = self._panes.shelf, self._spec.bound
        new = [(group.key, self._new(group)) for group in groups]
        count = shelf.accumulators + sum(map(itemgetter(1), new))
        if count > bound.keys:
            return f"there is no room for another window, {shelf.accumulators} are open"
        nbytes = sum(each * (self._nbytes + estimate(key) + OVERHEAD) for key, each in new)
        if shelf.nbytes + nbytes > bound.max_bytes:
            return f"there is no room for another window, those that are open take {shelf.nbytes} bytes"
        return ""

    def _new(self, group: Group) -> int:
        """Return how many windows a group may open; each row a session, until others join them."""
        there = self._panes.shelf.of_key(OWNER, group.key)
        if not isinstance(self._spec.kind, Session):
            return sum(window not in there for window in group.windows)
        [window] = group.windows
        joins = any(each.start < window.stop and window.start < each.stop for each in there)
        return 0 if joins and group.rows == 1 else group.rows

    def _joined(self, one: Accumulator | None, other: Accumulator) -> Accumulator:
        if one is None:
            return other
        states = (joined(*each) for each in zip(self._outputs, one[1:], other[1:], strict=True))
        return (one[0] + other[0], *states)

    def _size_of(self, value: Any) -> int:
        """Return what a key or an accumulator takes; the latter always the same, so windows tell the room."""
        return estimate(value) if isinstance(value, str) else self._nbytes
