"""Which row of another table is the nearest in time: the state of an asof join. Pure: no clock, no threads.

Both sides arrive in any order within their watermarks. A watermark is a promise about what is still to come:
nothing of that side will have a time below it. So a match is final once the right side's watermark has
passed every time that could still beat it, and a right row may be forgotten once the left side's watermark,
and the lefts that wait, have passed every time it could still serve.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort_right
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Generic, Literal, TypeAlias, TypeVar, get_args

from streamzarr.errors import ConfigError

L = TypeVar("L")
R = TypeVar("R")

Direction: TypeAlias = Literal["backward", "forward", "nearest"]
_Look: TypeAlias = tuple[float, int]


@dataclass(slots=True)
class _Waiting(Generic[L]):
    """A left row whose match is not final."""

    key: Hashable
    time: float
    item: L


@dataclass(slots=True)
class _Rows(Generic[R]):
    """What is held of one key: its right rows by time, and which lefts wait: time and number."""

    times: list[float] = field(default_factory=list)
    items: list[R] = field(default_factory=list)
    lefts: list[tuple[float, int]] = field(default_factory=list)
    look: _Look | None = None
    """When it is looked at next for rows to forget."""


class AsofJoin(Generic[L, R]):
    """The rows that an asof join has to remember.

    Parameters
    ----------
    tolerance
        Longest distance of a match, in the unit of the times, itself included; ``math.inf`` for any.
    direction
        ``"backward"``: the last right row at or before the left one's time, ``"forward"``: the first at or
        after it, ``"nearest"``: the nearer of the two, the earlier one if they are as near. Of several right
        rows of one time the last that came, forward the first: as ``pandas.merge_asof``.

    Raises
    ------
    streamzarr.errors.ConfigError
        `tolerance` is negative, or no such direction.

    Notes
    -----
    Threads: one at a time. Costs: a right or left row O(log n); memory: a row each, of either side.

    Examples
    --------
    >>> join = AsofJoin(tolerance=5)
    >>> join.add_right("EUR", 10, "ten")
    >>> join.add_right("EUR", 12, "twelve")
    >>> join.add_left("EUR", 11, "L")
    >>> join.matched(right_watermark=11)  # another right row of time 11 may still come
    []
    >>> join.matched(right_watermark=12)
    [('L', 'ten')]
    >>> join.expired(left_watermark=12)  # no left of time 12 or later can want it
    ['ten']
    """

    def __init__(self, tolerance: float, direction: Direction = "backward") -> None:
        if not tolerance >= 0:
            raise ConfigError(f"tolerance is {tolerance}, expected 0 or more")
        if direction not in get_args(Direction):
            raise ConfigError(f"direction is {direction!r}, expected 'backward', 'forward' or 'nearest'")
        self._tolerance = tolerance
        self._direction = direction
        self._rows: dict[Hashable, _Rows[R]] = {}
        self._waiting: dict[int, _Waiting[L]] = {}
        self._finals: list[tuple[float, int]] = []  # heap of (when it is final, number); may repeat a number
        self._looks: list[tuple[_Look, int, Hashable]] = []  # heap of keys with rows to forget
        self._soon: dict[Hashable, None] = {}  # keys to look at whatever the watermark
        self._numbers = count()
        self.lefts = 0
        """Left rows that were added; they are numbered from 0."""
        self.rights = 0
        """Right rows that are held."""

    @property
    def waiting(self) -> int:
        """Left rows whose match is not final."""
        return len(self._waiting)

    @property
    def oldest(self) -> int:
        """The number of the left row that was added first, of those that wait; `lefts` when none does."""
        return next(iter(self._waiting), self.lefts)

    def add_right(self, key: Hashable, time: float, item: R) -> None:
        """Hold a right row; it is not below the right side's watermark."""
        rows = self._rows.setdefault(key, _Rows())
        place = bisect_right(rows.times, time)
        rows.times.insert(place, time)
        rows.items.insert(place, item)
        self.rights += 1
        if place <= 1:
            self._look_at(key, self._next_look(rows))
        if self._direction != "backward":
            self._hasten(rows, time)

    def add_left(self, key: Hashable, time: float, item: L) -> None:
        """Hold a left row until its match is final; it is not below the left side's watermark."""
        rows = self._rows.setdefault(key, _Rows())
        number, self.lefts = self.lefts, self.lefts + 1
        insort_right(rows.lefts, (time, number))
        self._waiting[number] = _Waiting(key, time, item)
        heappush(self._finals, (self._final(rows, time), number))

    def matched(self, right_watermark: float) -> list[tuple[L, R | None]]:
        """Return the left rows whose match is final, each with its match, and forget them.

        A match is final when every right row still to come is of a later time than could beat it; at a
        watermark of infinity none will come.
        """
        found = []
        while self._finals and (self._finals[0][0] < right_watermark or right_watermark == inf):
            number = heappop(self._finals)[1]
            left = self._waiting.get(number)
            if left is None:
                continue
            final = self._final(self._rows[left.key], left.time)
            if final < right_watermark or right_watermark == inf:
                found.append(self._resolve(number))
            else:  # the row that it was to match has been removed
                heappush(self._finals, (final, number))
        return found

    def give_up(self, wanted: Callable[[L], bool]) -> list[tuple[L, R | None]]:
        """Return the waiting left rows that are `wanted`, each with the best match so far; forget them."""
        numbers = [number for number, left in self._waiting.items() if wanted(left.item)]
        return [self._resolve(number) for number in numbers]

    def hurry(self, number: int) -> list[tuple[L, R | None]]:
        """Return the waiting left rows before that `number`, each with its best match so far; forget them."""
        found = []
        while self.oldest < number:
            found.append(self._resolve(self.oldest))
        return found

    def expired(self, left_watermark: float) -> list[R]:
        """Return the right rows that no left row can match, waiting or still to come, and forget them.

        At a watermark of infinity no left row will come.
        """
        gone: list[R] = []
        soon, self._soon = self._soon, {}
        for key in soon:
            if key in self._rows:
                gone.extend(self._trim(key, left_watermark))
        limit = (left_watermark, 2 if left_watermark == inf else 0)
        while self._looks and self._looks[0][0] <= limit:
            look, _, key = heappop(self._looks)
            rows = self._rows.get(key)
            if rows is not None and rows.look == look:  # else another one came before it
                rows.look = None
                gone.extend(self._trim(key, left_watermark))
        return gone

    def remove(self, wanted: Callable[[R], bool]) -> list[R]:
        """Forget the right rows that are `wanted`, such as those of a partition that was lost."""
        gone: list[R] = []
        for key, rows in list(self._rows.items()):
            places = [place for place, item in enumerate(rows.items) if wanted(item)]
            for place in reversed(places):
                gone.append(rows.items.pop(place))
                del rows.times[place]
            if places:
                self._soon[key] = None
        self.rights -= len(gone)
        return gone

    # -- matches -----------------------------------------------------------------------------------------

    def _match(self, rows: _Rows[R], time: float) -> int | None:
        """Return the place of the right row that matches best, of those that are there."""
        before, after = bisect_right(rows.times, time) - 1, bisect_left(rows.times, time)
        back = time - rows.times[before] if before >= 0 else inf
        ahead = rows.times[after] - time if after < len(rows.times) else inf
        if self._direction == "backward" or (self._direction == "nearest" and back <= ahead):
            return before if before >= 0 and back <= self._tolerance else None
        return after if after < len(rows.times) and ahead <= self._tolerance else None

    def _final(self, rows: _Rows[R], time: float) -> float:
        """Return the last time of a right row that could beat the best match so far."""
        if self._direction == "backward":
            return time
        place = self._match(rows, time)
        return time + (self._tolerance if place is None else abs(rows.times[place] - time))

    def _hasten(self, rows: _Rows[R], time: float) -> None:
        """Note which waiting lefts a right row of `time` makes final earlier."""
        first = bisect_left(rows.lefts, (time - self._tolerance, -1))
        for left, number in rows.lefts[first:]:
            if left > time + self._tolerance:
                break
            heappush(self._finals, (self._final(rows, left), number))

    def _resolve(self, number: int) -> tuple[L, R | None]:
        left = self._waiting.pop(number)
        rows = self._rows[left.key]
        del rows.lefts[bisect_left(rows.lefts, (left.time, number))]
        self._soon[left.key] = None  # it may have been what kept right rows from being forgotten
        place = self._match(rows, left.time)
        return left.item, None if place is None else rows.items[place]

    # -- forgetting --------------------------------------------------------------------------------------

    def _look_at(self, key: Hashable, look: _Look | None) -> None:
        rows = self._rows[key]
        if look is not None and (rows.look is None or look < rows.look):
            rows.look = look
            heappush(self._looks, (look, next(self._numbers), key))

    def _next_look(self, rows: _Rows[R]) -> _Look | None:
        """Return when the first right row of a key may be forgotten: at or, with 1, above a time."""
        if not rows.times:
            return None
        first = rows.times[0]
        if self._direction == "forward":
            return first, 1
        expiry = (first + self._tolerance, 1)
        return expiry if len(rows.times) == 1 else min(expiry, (rows.times[1], 0))

    def _trim(self, key: Hashable, left_watermark: float) -> list[R]:
        """Forget the right rows of `key` that nothing can match from the earliest possible left on."""
        rows = self._rows[key]
        earliest = min(left_watermark, rows.lefts[0][0]) if rows.lefts else left_watermark
        if earliest == inf:
            first = len(rows.times)
        elif self._direction == "forward":
            first = bisect_left(rows.times, earliest)
        else:
            too_old = bisect_left(rows.times, earliest - self._tolerance)
            first = max(0, bisect_right(rows.times, earliest) - 1, too_old)
        gone = rows.items[:first]
        del rows.times[:first], rows.items[:first]
        self.rights -= len(gone)
        if not rows.times and not rows.lefts:
            del self._rows[key]
        elif earliest == left_watermark:  # else a left that waits is in the way: _resolve looks again
            self._look_at(key, self._next_look(rows))
        return gone
