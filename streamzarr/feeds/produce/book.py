"""An order book that there is not: a snapshot of each symbol's levels, then what changes in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from streamzarr.feeds.produce.piece import Piece
from streamzarr.feeds.produce.ticks import SYMBOLS

DEPTH = 10
"""Levels of each side."""
SNAPSHOT_EVERY = 1000
"""Records between two snapshots of a symbol."""
_AT_ONCE = 250
"""Records of a piece: each holds several levels."""


class _Side:
    """Quantities by price, in steps; the best prices are those nearest to the middle."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self.levels: dict[int, int] = {}

    def moved(self, middle: int, chance: np.random.Generator) -> list[tuple[int, int]]:
        """Move with the middle; return the levels that changed, a quantity of 0 for those that are gone."""
        wanted = {middle + self._sign * (1 + level) for level in range(DEPTH)}
        changed = {price: 0 for price in self.levels if price not in wanted}
        for price in sorted(wanted):
            if price not in self.levels or chance.random() < 0.15:
                changed[price] = int(chance.integers(1, 2000))
        for price, quantity in changed.items():
            if quantity:
                self.levels[price] = quantity
            else:
                del self.levels[price]
        return sorted(changed.items(), key=lambda level: -self._sign * level[0], reverse=True)


def book(rate: float, seed: int, start: int, ids: int) -> Iterator[Piece]:
    """Yield updates without end, `rate` a second on average, from `start` (nanoseconds since 1970).

    Records are ``{"ts", "symbol", "type", "first", "last", "bids", "asks"}``: milliseconds, ``snapshot`` or
    ``update``, the numbers of the changes, and levels of a price and a quantity as texts. The key is the
    symbol.
    """
    chance = np.random.default_rng(seed)
    names = [SYMBOLS[-1 - at] if at < len(SYMBOLS) else f"SYM{at:04d}" for at in range(ids)]
    middles = [200_000 + 1000 * at for at in range(ids)]
    sides = [(_Side(-1), _Side(1)) for _ in range(ids)]
    numbers, sent = [0] * ids, [0] * ids
    now = float(start)
    while True:
        values, keys, times = [], [], []
        for _ in range(_AT_ONCE):
            now += chance.exponential(1e9 / rate)
            at = int(chance.integers(0, ids))
            whole = sent[at] % SNAPSHOT_EVERY == 0
            if not whole or not sent[at]:
                middles[at] += int(chance.integers(-1, 2)) * int(chance.random() < 0.3)
                bids, asks = (side.moved(middles[at], chance) for side in sides[at])
            if whole:
                bids, asks = (sorted(side.levels.items()) for side in sides[at])
            first, numbers[at] = numbers[at] + 1, numbers[at] + max(1, len(bids) + len(asks))
            sent[at] += 1
            record = {
                "ts": int(now) // 10**6,
                "symbol": names[at],
                "type": "snapshot" if whole else "update",
                "first": first,
                "last": numbers[at],
                "bids": _levels(bids[::-1] if whole else bids),
                "asks": _levels(asks),
            }
            values.append(msgspec.json.encode(record))
            keys.append(names[at].encode())
            times.append(int(now))
        yield Piece(values, keys, times)


def _levels(levels: list[tuple[int, int]]) -> list[Any]:
    return [[f"{price / 10:.1f}", f"{quantity / 1000:.3f}"] for price, quantity in levels]
