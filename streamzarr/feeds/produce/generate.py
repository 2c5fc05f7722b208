"""Generators by name: the same seed gives the same records, but for their times, which begin when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from streamzarr.errors import ConfigError
from streamzarr.feeds.produce.book import book
from streamzarr.feeds.produce.piece import Piece
from streamzarr.feeds.produce.sensors import sensors
from streamzarr.feeds.produce.ticks import ticks

KINDS: Final[dict[str, Callable[[float, int, int, int], Iterator[Piece]]]] = {
    "ticks": ticks,
    "book": book,
    "sensors": sensors,
}


def generate(kind: str, *, rate: float, seed: int = 0, start: int = 0, ids: int = 4) -> Iterator[Piece]:
    """Yield records without end.

    Parameters
    ----------
    kind
        ``ticks``, ``book`` or ``sensors``.
    rate
        Records a second, on average, by their own times.
    seed
        What they are made from.
    start
        When they begin, in nanoseconds since 1970.
    ids
        Symbols or stations.

    Examples
    --------
    >>> piece = next(generate("ticks", rate=1000, seed=1, start=1_767_605_400_000_000_000))
    >>> piece.values[0].decode()
    '{"ts":"2026-01-05T09:30:00...Z","symbol":"...","seq":0,"bid":...,"ask":...,"size":...}'
    """
    if kind not in KINDS:
        raise ConfigError(f"generate: got {kind!r}, expected one of {', '.join(KINDS)}")
    if not rate > 0 or ids < 1:
        raise ConfigError(f"generate: rate={rate}, ids={ids}, expected more than 0")
    return KINDS[kind](rate, seed, start, ids)
