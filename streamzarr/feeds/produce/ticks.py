"""Quotes of a market that there is not: prices that wander, spreads that breathe, and bursts."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from streamzarr.feeds.produce.piece import AT_ONCE, Piece

SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "USDCHF", "BTCUSD", "ETHUSD", "XAUUSD")
_PRICES = (1.08, 1.27, 148.0, 0.66, 0.88, 42_000.0, 2_300.0, 2_040.0)
VOLATILITY = 2e-5
"""Standard deviation of a step of the logarithm of a price, in quiet times."""
BURST = 0.02
"""Chance that a burst begins with a tick; it lasts 50 ticks on average, five times as dense and as wild."""


def ticks(rate: float, seed: int, start: int, ids: int) -> Iterator[Piece]:
    """Yield quotes without end, `rate` a second on average, from `start` (nanoseconds since 1970).

    Records are ``{"ts", "symbol", "seq", "bid", "ask", "size"}``; the key is the symbol.
    """
    chance = np.random.default_rng(seed)
    names = [SYMBOLS[at] if at < len(SYMBOLS) else f"SYM{at:04d}" for at in range(ids)]
    logs = np.log([_PRICES[at % len(_PRICES)] for at in range(ids)])
    steps = (10.0 ** np.floor(np.log10(np.exp(logs)) - 4)).tolist()  # five digits, as quotes have
    now, seq = float(start), 0
    while True:
        wild = _bursts(chance)
        times = now + np.cumsum(chance.exponential(1e9 / rate, AT_ONCE) / wild * _MEAN)
        now = float(times[-1])
        which = chance.integers(0, ids, AT_ONCE)
        moves = chance.standard_t(4, AT_ONCE) * VOLATILITY * wild
        spreads = 1 + chance.poisson(wild / 2)
        sizes = 100_000 * chance.integers(1, 50, AT_ONCE)
        values = []
        for row, at in enumerate(which.tolist()):
            logs[at] += moves[row]
            bid = round(np.exp(logs[at]) / steps[at])
            record = {
                "ts": str(np.datetime64(int(times[row]), "ns")) + "Z",
                "symbol": names[at],
                "seq": seq + row,
                "bid": _price(bid, steps[at]),
                "ask": _price(bid + int(spreads[row]), steps[at]),
                "size": int(sizes[row]),
            }
            values.append(msgspec.json.encode(record))
        seq += AT_ONCE
        yield Piece(values, [names[at].encode() for at in which.tolist()], times.astype("i8").tolist())


_MEAN = 1 / (1 - 0.5 + 0.5 / 5)
"""What makes the mean of all pauses that of quiet ones: half of all ticks are in bursts."""


def _bursts(chance: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return for each tick how dense and how wild the market is: 1, and 5 in a burst."""
    flips = chance.random(AT_ONCE) < BURST
    return np.where(np.cumsum(flips) % 2 == 1, 5.0, 1.0)


def _price(count: int, step: float) -> float:
    """Return so many steps with the digits that prices have."""
    return round(count * step, max(0, -int(np.floor(np.log10(step)))))
