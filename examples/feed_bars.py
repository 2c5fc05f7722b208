"""Ticks of a topic become bars: a grid of open, high, low and close for each symbol, while they come.

python examples/feed_bars.py [--picture bars.png]

Makes ticks up, sends them to an embedded broker, lets a feed with the layout "grid" ingest them, and compares
each bar with what numpy makes of the same ticks. With --picture it draws them.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import streamzarr as sz
from streamzarr.queue import NewRecord

SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY")
TICKS = 6000
STEP_MS = 1000
START_MS = 1_767_225_600_000


def ticks() -> list[dict]:
    """Return ticks of a random walk, 10 a second or so for each symbol."""
    chance = np.random.default_rng(1)
    prices = dict.fromkeys(SYMBOLS, 100.0)
    found, time = [], START_MS
    for _ in range(TICKS):
        time += int(chance.integers(1, 70))
        symbol = SYMBOLS[int(chance.integers(len(SYMBOLS)))]
        prices[symbol] += float(chance.normal(0, 0.02))
        found.append({"ts": time, "symbol": symbol, "price": round(prices[symbol], 4), "size": 1})
    return found


def ingest(folder: Path, given: list[dict]) -> sz.feeds.Grid:
    """Send the ticks, run the feed until it has them all, and return the grid."""
    broker = f"sqlite:///{folder}/queue.db"
    with sz.open_broker(broker) as opened:
        opened.create_topic("ticks")
        with opened.producer() as producer:
            producer.send("ticks", [NewRecord(json.dumps(tick).encode()) for tick in given])
    feed = {
        "source": {"broker": broker, "topics": ["ticks"]},
        "decode": {"format": "json"},
        "columns": {
            "time": {"dtype": "datetime64[ms]", "from": "ts", "unit": "ms"},
            "symbol": "string",
            "price": "f8",
            "size": "i8",
        },
        "target": {"url": str(folder / "bars.zarr"), "layout": "grid"},
        "grid": {
            "time": "time",
            "step": STEP_MS / 1000,
            "key": "symbol",
            "keys": len(SYMBOLS),
            "values": {"price": "ohlc", "size": "sum"},
        },
    }
    with sz.FeedFleet(feed) as fleet:
        fleet.wait_caught_up(timeout=120)
    return sz.feeds.open_grid(str(folder / "bars.zarr"))


def check(bars: sz.feeds.Grid, given: list[dict]) -> int:
    """Compare every bar with numpy's; return how many have ticks."""
    count = 0
    slots = {int(time.astype("M8[ms]").astype(int)): row for row, time in enumerate(bars.times)}
    for column, symbol in enumerate(bars.keys):
        by_slot: dict[int, list[float]] = {}
        for tick in given:
            if tick["symbol"] == symbol:
                by_slot.setdefault(tick["ts"] // STEP_MS * STEP_MS, []).append(tick["price"])
        for slot, prices in by_slot.items():
            if slot in slots:  # the last one is still open
                row = slots[slot]
                bar = [bars[f"price_{part}"][row, column] for part in ("open", "high", "low", "close")]
                assert bar == [prices[0], max(prices), min(prices), prices[-1]], (symbol, slot)
                assert bars["size"][row, column] == bars["count"][row, column] == len(prices)
                count += 1
    return count


def draw(bars: sz.feeds.Grid, path: str) -> None:
    """Draw the bars of each symbol."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(bars.keys), sharex=True, figsize=(10, 8))
    for axis, column in zip(np.atleast_1d(axes), range(len(bars.keys)), strict=True):
        low, high = bars["price_low"][:, column], bars["price_high"][:, column]
        axis.vlines(bars.times, low, high, linewidth=1)
        axis.plot(bars.times, bars["price_close"][:, column], ".", markersize=2, color="black")
        axis.set_ylabel(bars.keys[column])
    figure.savefig(path)


def main() -> None:
    """Run the feed and check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", help="Draw the bars to this file.")
    arguments = parser.parse_args()
    given = ticks()
    with tempfile.TemporaryDirectory() as folder:
        bars = ingest(Path(folder), given)
        count = check(bars, given)
        print(f"{len(given)} ticks, {len(bars.times)} slots of {len(bars.keys)} symbols")
        print(f"{count} bars, each is numpy's")
        if arguments.picture:
            draw(bars, arguments.picture)


if __name__ == "__main__":
    main()
