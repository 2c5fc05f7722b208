"""How far event time has come: by partition, and of all partitions the least."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from streamzarr.flow.windows.moments import FIRST


@dataclass(slots=True)
class _Reading:
    newest: int
    """Greatest event time seen."""
    heard: float
    """When something was last heard of it, seconds of the machine's clock."""
    idle: bool = False
    unread: bool = False
    """Something of it may be there that was not read yet: this is no silence."""


class Watermarks:
    """The watermark of what is read now: no message older than it is expected, though one may come.

    A partition's watermark is its newest event time less `disorder`, how far its messages may be out of
    order. The least of the partitions counts. One that was silent for `idle` seconds is left out until it
    speaks again; if all are silent, the one that has come farthest counts, so the outcome does not depend on
    which fell silent first.

    A partition that is new to us may lie far behind, and then so does the watermark: what it means for each
    of the partitions, for which it never goes back, is the affair of :class:`.panes.Panes`.

    Pure state over the times that it is handed. Owned by the chain's thread.

    Examples
    --------
    >>> marks = Watermarks(disorder=5, idle=60.0)
    >>> for partition in "ab":
    ...     marks.open(partition, now=0.0)
    >>> marks.observe("a", 100, now=1.0)
    True
    >>> marks.read(now=2.0) == FIRST           # nothing is known of b
    True
    >>> marks.read(now=60.0)                   # b was silent for too long
    95
    """

    def __init__(self, disorder: int = 0, idle: float | None = None) -> None:
        self.disorder, self._idle = disorder, idle
        self._readings: dict[Hashable, _Reading] = {}
        self._mark = FIRST

    def open(self, partition: Hashable, now: float, newest: int = FIRST) -> None:
        """Count `partition` in from now on: it holds the watermark back until it speaks or is idle."""
        self._readings[partition] = _Reading(newest, now)

    def close(self, partition: Hashable) -> None:
        """Count `partition` out; no error if it never was in."""
        self._readings.pop(partition, None)

    def observe(self, partition: Hashable, moment: int, now: float) -> bool:
        """Note a message; tell whether the watermark may have moved."""
        reading = self._readings.get(partition)
        if reading is None:
            reading = self._readings[partition] = _Reading(FIRST, now)
        reading.heard, reading.idle = now, False
        before = reading.newest
        if moment <= before:
            return False
        reading.newest = moment
        return before - self.disorder <= self._mark  # else others hold it back

    def listen(self, partition: Hashable, seconds: float, *, caught_up: bool) -> None:
        """Note that `seconds` have passed: in silence, if all there was of the partition has been read."""
        reading = self._readings.get(partition)
        if reading is not None:
            reading.unread = not caught_up
            if not caught_up:
                reading.heard += seconds

    def read(self, now: float) -> int:
        """Return the watermark."""
        readings = self._readings.values()
        if self._idle is not None:
            for reading in readings:
                reading.idle = now - reading.heard >= self._idle
        awake = [reading.newest for reading in readings if not reading.idle]
        newest = min(awake) if awake else max((reading.newest for reading in readings), default=FIRST)
        self._mark = max(FIRST, newest - self.disorder)
        return self._mark

    def newest(self, partition: Hashable) -> int:
        """Return the greatest event time of `partition`."""
        reading = self._readings.get(partition)
        return FIRST if reading is None else reading.newest

    def due(self) -> float | None:
        """Return when the next partition becomes idle, on the clock that `now` is of; ``None``: never."""
        if self._idle is None:
            return None
        heard = [reading.heard for reading in self._readings.values() if not (reading.idle or reading.unread)]
        return min(heard) + self._idle if heard else None
