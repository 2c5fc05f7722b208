"""Which bytes of an object to ask for, when several pieces of it are wanted: planning only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request, from `start` to `stop` (exclusive), and the numbers of the pieces that lie in it."""

    start: int
    stop: int
    pieces: tuple[int, ...]


def coalesce(pieces: Sequence[tuple[int, int]], *, max_gap: int, max_size: int) -> list[Fetch]:
    """Merge pieces ``(start, stop)`` that lie close together into one request each.

    Pieces may overlap and come in any order. Two neighbours share a request when no more than `max_gap` bytes
    between them would be read for nothing, and the request then has at most `max_size` bytes; a piece larger
    than that is a request of its own.

    >>> coalesce([(100, 110), (0, 10), (12, 20)], max_gap=5, max_size=1000)
    [Fetch(start=0, stop=20, pieces=(1, 2)), Fetch(start=100, stop=110, pieces=(0,))]
    """
    fetches: list[Fetch] = []
    for number in sorted(range(len(pieces)), key=pieces.__getitem__):
        start, stop = pieces[number]
        if fetches:
            last = fetches[-1]
            end = max(last.stop, stop)
            if start - last.stop <= max_gap and end - last.start <= max_size:
                fetches[-1] = Fetch(last.start, end, (*last.pieces, number))
                continue
        fetches.append(Fetch(start, stop, (number,)))
    return fetches
