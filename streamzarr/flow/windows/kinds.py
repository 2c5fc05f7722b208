"""Kinds of windows: which windows a message of a key belongs to. Values; pure functions of event time.

Of messages that come as columns ``go_on`` tells which are in the same windows, and ``around`` those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import checked, integer
from streamzarr.flow.windows.moments import FIRST, LAST, Duration, duration, span

Moments: TypeAlias = npt.NDArray[np.int64]

MAX_OVERLAP: Final = 10_000
"""Windows that one message may belong to: each of them is a fold."""


class Window(NamedTuple):
    """A span of event time, nanoseconds since the epoch: from `start` up to, not including, `stop`.

    A window that time does not close (``Count``, ``Global``) ends at the greatest int64; that of ``Count``
    starts at the number of its first message, its offset in the partition. Of several that start at pieces of
    one record each ends a little earlier, so that they differ.
    """

    start: int
    stop: int


EVERYTHING: Final = Window(FIRST, LAST)


@checked("windows.Fixed", size=span(1), offset=span())
@dataclass(frozen=True, slots=True)
class Fixed:
    """Windows of one `size`, side by side; `offset` moves their edges away from multiples of it.

    Examples
    --------
    >>> Fixed("1min").windows(90 * 10**9)
    (Window(start=60000000000, stop=120000000000),)
    """

    size: Duration
    offset: Duration = 0
    _size: int = field(init=False, repr=False, compare=False)
    _offset: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_size", duration(self.size, "the size of windows", 1))
        object.__setattr__(self, "_offset", duration(self.offset, "the offset of windows"))

    def windows(self, moment: int) -> tuple[Window, ...]:
        """Return the windows that `moment` is in."""
        start = moment - (moment - self._offset) % self._size
        return (Window(start, start + self._size),)

    def first_stops(self, moments: Moments) -> Moments:
        """Return where the first window of each moment ends."""
        return moments - (moments - self._offset) % self._size + self._size

    def go_on(self, moments: Moments) -> npt.NDArray[np.bool_]:
        """Tell of each of ascending moments but the first whether it is in the windows of the one before."""
        return np.equal(np.diff((moments - self._offset) // self._size), 0)

    def around(self, first: int, last: int) -> tuple[Window, ...]:
        """Return the windows of moments from `first` to `last`, of which each goes on."""
        return self.windows(first)


@checked("windows.Sliding", size=span(1), every=span(1))
@dataclass(frozen=True, slots=True)
class Sliding:
    """Windows of one `size` that begin `every` so often: they overlap, or leave gaps if `every` is longer.

    Examples
    --------
    >>> Sliding("2s", every="1s").windows(3 * 10**9)
    (Window(start=2000000000, stop=4000000000), Window(start=3000000000, stop=5000000000))
    """

    size: Duration
    every: Duration
    _size: int = field(init=False, repr=False, compare=False)
    _every: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_size", duration(self.size, "the size of windows", 1))
        object.__setattr__(self, "_every", duration(self.every, "the distance of windows", 1))
        if self._size > MAX_OVERLAP * self._every:
            raise ConfigError(
                f"Sliding({self.size!r}, every={self.every!r}): a message would belong to "
                f"{self._size // self._every} windows, expected at most {MAX_OVERLAP}"
            )

    def windows(self, moment: int) -> tuple[Window, ...]:
        """Return the windows that `moment` is in, the oldest first; none if it is in a gap."""
        last = moment - moment % self._every
        first = last - (self._size - 1 - moment % self._every) // self._every * self._every
        return tuple(Window(start, start + self._size) for start in range(first, last + 1, self._every))

    def first_stops(self, moments: Moments) -> Moments:
        """Return where the first window of each moment ends, of those that overlap."""
        past = moments % self._every
        return moments - past - (self._size - 1 - past) // self._every * self._every + self._size

    def go_on(self, moments: Moments) -> npt.NDArray[np.bool_]:
        """Tell of each of ascending moments but the first whether it is in the windows of the one before."""
        return np.equal(np.diff(moments // math.gcd(self._size, self._every)), 0)

    def around(self, first: int, last: int) -> tuple[Window, ...]:
        """Return the windows of moments from `first` to `last`, of which each goes on."""
        return self.windows(first)


@checked("windows.Periodic", every=span(1))
@dataclass(frozen=True, slots=True)
class Periodic:
    """Windows side by side on the wall clock: a message is in the one at whose time it arrives.

    What is read again after a restart arrives at another time, so only ``state=`` keeps results the same.
    """

    every: Duration
    _every: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_every", duration(self.every, "the period of windows", 1))

    def windows(self, moment: int) -> tuple[Window, ...]:
        """Return the window that `moment`, of the wall clock, is in."""
        start = moment - moment % self._every
        return (Window(start, start + self._every),)


@dataclass(frozen=True, slots=True)
class Global:
    """One window for all time: only triggers and the end of the source give results."""

    def windows(self, moment: int) -> tuple[Window, ...]:
        """Return the one window there is."""
        return (EVERYTHING,)


@checked("windows.Session", gap=span(1))
@dataclass(frozen=True, slots=True)
class Session:
    """Windows of activity: one ends when its key was silent for `gap`, and two that come to overlap are one.

    The sessions of each partition are its own: key the topic by what sessions are keyed by.
    """

    gap: Duration
    _gap: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_gap", duration(self.gap, "the gap of sessions", 1))

    def windows(self, moment: int) -> tuple[Window, ...]:
        """Return the session of one message alone."""
        return (Window(moment, moment + self._gap),)

    def first_stops(self, moments: Moments) -> Moments:
        """Return where a session may end at the earliest that a moment lies in: right behind it."""
        return moments + 1

    def go_on(self, moments: Moments) -> npt.NDArray[np.bool_]:
        """Tell of each of ascending moments but the first whether it is in the session of the one before."""
        return np.less(np.diff(moments), self._gap)

    def around(self, first: int, last: int) -> tuple[Window, ...]:
        """Return the session of moments from `first` to `last`, of which each goes on."""
        return (Window(first, last + self._gap),)


@checked("windows.Count", size=integer(1))
@dataclass(frozen=True, slots=True)
class Count:
    """Windows of `size` messages of a key, in the order that they arrive in from one partition.

    Time does not close them. Where one begins depends on the messages before it, so what is read again after
    a restart may be cut elsewhere; with ``state=`` it is not.
    """

    size: int

    def windows(self, moment: int) -> tuple[Window, ...]:
        """Return the window that begins with message number `moment`."""
        return (Window(moment, LAST),)


Windowing: TypeAlias = Fixed | Sliding | Periodic | Global | Session | Count
