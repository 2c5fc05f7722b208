"""Stations that there are not: a daily cycle, weather, drift, gaps, and readings that are missing."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from streamzarr.feeds.produce.piece import AT_ONCE, Piece

DAY = 86_400e9
"""Nanoseconds."""
GAP = 0.002
"""Chance that a station falls silent with a reading; it misses 30 on average."""
MISSING = 0.01
"""Chance that a value of a reading is missing: null."""


def sensors(rate: float, seed: int, start: int, ids: int) -> Iterator[Piece]:
    """Yield readings without end, `rate` a second together, from `start` (nanoseconds since 1970).

    Records are ``{"ts", "station", "temperature", "humidity", "battery"}`` with times in milliseconds; the
    key is the station.
    """
    chance = np.random.default_rng(seed)
    names = [f"station-{at:03d}" for at in range(ids)]
    base, phase = chance.normal(12, 5, ids), chance.normal(0, 0.05, ids)
    weather, battery, silent = np.zeros(ids), chance.uniform(3.6, 4.2, ids), np.zeros(ids, int)
    step = 1e9 / rate
    turn = 0
    while True:
        values: list[bytes] = []
        keys, times = [], []
        while len(values) < AT_ONCE:
            at = turn % ids
            now = start + turn * step
            turn += 1
            if silent[at]:
                silent[at] -= 1
                continue
            if chance.random() < GAP:
                silent[at] = chance.geometric(1 / 30)
            weather[at] += 0.02 * chance.normal() - 0.001 * weather[at]
            battery[at] = max(3.0, battery[at] - 1e-6)
            day = np.sin(2 * np.pi * (now / DAY - 0.375 + phase[at]))  # warmest in the afternoon
            warm = base[at] + 6 * day + weather[at] + 0.05 * chance.normal()
            damp = min(100.0, max(5.0, 65 - 20 * day - 2 * weather[at] + chance.normal()))
            record = {
                "ts": int(now) // 10**6,
                "station": names[at],
                "temperature": None if chance.random() < MISSING else round(float(warm), 2),
                "humidity": None if chance.random() < MISSING else round(float(damp), 1),
                "battery": round(float(battery[at]), 3),
            }
            values.append(msgspec.json.encode(record))
            keys.append(names[at].encode())
            times.append(int(now))
        yield Piece(values, keys, times)
