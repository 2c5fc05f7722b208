"""What the topics of `benchmarks/feeds.py` hold, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numcodecs import Zstd

PARTITIONS = 4
CHUNK_ROWS = 65_536
LEVEL = 1
"""Of zstd, with everybody."""
TICK = np.dtype([("ts", "<i8"), ("bid", "<f8"), ("ask", "<f8"), ("size", "<i8")])
TICKS = 256
"""Of a message of W3."""
SIDE = 256
"""Of a tile of W4, of float32: 256 KiB."""
TILES = 64
"""That differ; they come again and again."""

zstd = Zstd(level=LEVEL)


@dataclass(frozen=True, slots=True)
class Workload:
    """What a message is."""

    name: str
    title: str
    rows: int
    """Of a message; a tile is one."""
    messages: int
    """Of the topic, at scale 1."""

    @property
    def chunk(self) -> int:
        """Messages of a chunk."""
        return CHUNK_ROWS // self.rows


W1 = Workload("W1", "ticks of 32 bytes, one a message", 1, 2_000_000)
W2 = Workload("W2", "the same as JSON", 1, 2_000_000)
W3 = Workload("W3", "256 packed ticks a message", TICKS, 40_000)
W4 = Workload("W4", "tiles of 256 KiB: decode, x * 2 + 1, encode, a chunk each", 1, 4_000)
WORKLOADS = {each.name: each for each in (W1, W2, W3, W4)}


def ticks(count: int) -> np.ndarray[Any, Any]:
    """Return so many ticks, the same each time."""
    chance = np.random.default_rng(1)
    rows = np.zeros(count, TICK)
    rows["ts"] = 1_767_605_400_000_000_000 + np.cumsum(chance.integers(1, 10**7, count))
    rows["bid"] = np.round(1.1 + np.cumsum(chance.normal(0, 1e-5, count)), 5)
    rows["ask"] = np.round(rows["bid"] + 0.0001, 5)
    rows["size"] = chance.integers(1, 10**6, count)
    return rows


def tiles() -> list[np.ndarray[Any, Any]]:
    """Return the tiles that differ: smooth, with some noise, so that they compress about threefold."""
    chance = np.random.default_rng(2)
    slope = np.linspace(0, 1, SIDE, dtype="f4")
    smooth = slope[:, None] + slope[None, :]
    return [
        np.round(smooth + number + chance.normal(0, 0.01, (SIDE, SIDE)), 2).astype("f4")
        for number in range(TILES)
    ]


def values(workload: Workload, count: int) -> Iterator[bytes]:
    """Yield the values of so many messages."""
    if workload is W4:
        encoded = [zstd.encode(tile) for tile in tiles()]
        yield from (b"%8d" % number + encoded[number % TILES] for number in range(count))
        return
    rows = ticks(count * workload.rows)
    if workload is W2:
        names = TICK.names or ()
        yield from (msgspec.json.encode(dict(zip(names, row, strict=True))) for row in rows.tolist())
        return
    size = TICK.itemsize * workload.rows
    data = rows.tobytes()
    yield from (data[at : at + size] for at in range(0, len(data), size))


def total(workload: Workload, count: int) -> float:
    """Return the sum over what is to be stored of so many messages: of all sizes, or of all tiles."""
    if workload is W4:
        sums = [float(transformed(value)[1].sum(dtype="f8")) for value in values(workload, TILES)]
        return sum(sums[number % TILES] for number in range(count))
    return float(ticks(count * workload.rows)["size"].sum())


def columns(workload: Workload, found: Sequence[bytes]) -> dict[str, np.ndarray[Any, Any]]:
    """Decode messages of ticks, as a loop written by hand does."""
    if workload is W2:
        rows = [msgspec.json.decode(value) for value in found]
        return {name: np.array([row[name] for row in rows]) for name in TICK.names or ()}
    block = np.frombuffer(b"".join(found), TICK)
    return {name: block[name] for name in TICK.names or ()}


def transformed(value: bytes) -> tuple[int, np.ndarray[Any, Any]]:
    """Return the number of a tile, and the tile, decoded and with what is to be done to it."""
    tile = np.frombuffer(zstd.decode(value[8:]), "f4").reshape(SIDE, SIDE)
    return int(value[:8]), tile * np.float32(2) + np.float32(1)
