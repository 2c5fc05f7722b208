"""Trades of a topic become a cube of time x symbol x field: open, high, low, close, VWAP and volume.

python examples/feed_cube.py [--picture cube.png]

The trades are recorded ones, ``btcusdt_trades.parquet`` in the folder STREAMZARR_DATA, by default
``../shared/data`` beside this project, which needs pyarrow; and two symbols that are made up.

A feed with the layout "grid" keeps, for each slot and symbol, the bar of the prices and the sums of size and
of amount (price times size): what the VWAP is made of. Each slot is compared with numpy's.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np

import streamzarr as sz
from streamzarr.queue import NewRecord

DATA = Path(os.environ.get("STREAMZARR_DATA", Path(__file__).parents[2] / "shared" / "data"))
STEP = 3000
"""Milliseconds of a slot."""
START = 1_610_064_000_000
FIELDS = ("open", "high", "low", "close", "vwap", "volume")


def made_up(symbol: str, price: float, seed: int) -> list[dict]:
    """Return trades of a random walk, of a minute."""
    chance = np.random.default_rng(seed)
    time = START + np.cumsum(chance.integers(1, 70, 1800))
    prices = price * np.exp(np.cumsum(chance.normal(0, 2e-5, len(time))))
    sizes = chance.geometric(0.02, len(time)) / 1000
    return [
        trade(int(t), symbol, round(float(p), 2), float(s))
        for t, p, s in zip(time, prices, sizes, strict=True)
    ]


def recorded(symbol: str) -> list[dict]:
    """Return the recorded trades, or a stand-in."""
    path = DATA / "btcusdt_trades.parquet"
    try:
        import pyarrow.parquet
    except ImportError:
        path = path.with_name("pyarrow is not installed")
    if not path.exists():
        print("generated a stand-in for btcusdt_trades.parquet")
        return made_up(symbol, 39_400.0, 1)
    print(f"read {path.name}")
    table = pyarrow.parquet.read_table(path)
    times = np.asarray(table["timestamp"]).astype("datetime64[ms]").astype(int).tolist()
    columns = (table[name].to_pylist() for name in ("price", "quantity"))
    return [trade(t, symbol, float(p), float(s)) for t, p, s in zip(times, *columns, strict=True)]


def trade(time: int, symbol: str, price: float, size: float) -> dict:
    """Return a record."""
    return {"time": time, "symbol": symbol, "price": price, "size": size, "amount": price * size}


def ingest(folder: str, trades: list[dict]) -> sz.feeds.Grid:
    """Send the trades, run the feed until it has them all, and return the grid."""
    broker = f"sqlite:///{folder}/queue.db"
    with sz.open_broker(broker) as opened:
        opened.create_topic("trades")
        with opened.producer() as producer:
            producer.send("trades", [NewRecord(json.dumps(each).encode()) for each in trades])
    feed = {
        "source": {"broker": broker, "topics": ["trades"]},
        "decode": {"format": "json"},
        "columns": {
            "time": {"dtype": "datetime64[ms]", "unit": "ms"},
            "symbol": "string",
            "price": "f8",
            "size": "f8",
            "amount": "f8",
        },
        "target": {"url": f"{folder}/slots.zarr", "layout": "grid"},
        "grid": {
            "time": "time",
            "step": STEP / 1000,
            "key": "symbol",
            "values": {"price": "ohlc", "size": "sum", "amount": "sum"},
        },
    }
    with sz.FeedFleet(feed) as fleet:
        fleet.wait_caught_up(timeout=120)
    return sz.feeds.open_grid(f"{folder}/slots.zarr")


def cube_of(slots: sz.feeds.Grid, url: str) -> sz.Group:
    """Write the cube, with its coordinates as CF has them, so that xarray opens it as it is."""
    with np.errstate(invalid="ignore"):
        vwap = slots["amount"] / slots["size"]
    planes = [slots[f"price_{part}"] for part in FIELDS[:4]] + [vwap, slots["size"]]
    group = sz.create_group(url, overwrite=True)
    group.create_array(
        "cube",
        data=np.stack(planes, axis=-1),
        chunks=(1024, len(slots.keys), len(FIELDS)),
        dimension_names=("time", "symbol", "field"),
    )
    group.create_array(
        "time",
        data=slots.times.astype("datetime64[ms]").astype("i8"),
        dimension_names=("time",),
        attributes={"units": "milliseconds since 1970-01-01", "calendar": "proleptic_gregorian"},
    )
    for name, values in (("symbol", slots.keys), ("field", FIELDS)):
        group.create_array(name, data=np.array(values, np.dtypes.StringDType()), dimension_names=(name,))
    return group


def check(cube: np.ndarray, slots: sz.feeds.Grid, trades: list[dict]) -> int:
    """Compare each bar with the trades of its slot; return how many have some."""
    by_slot: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for each in trades:
        slot = each["time"] // STEP * STEP, each["symbol"]
        by_slot.setdefault(slot, []).append((each["price"], each["size"]))
    count = 0
    for row, time in enumerate(slots.times.astype("datetime64[ms]").astype(int).tolist()):
        for column, symbol in enumerate(slots.keys):
            price, size = np.array(by_slot.get((time, symbol), np.empty((0, 2)))).T
            expected = [np.nan] * 5 + [0.0]
            if len(price):
                vwap = np.average(price, weights=size)
                expected = [price[0], price.max(), price.min(), price[-1], vwap, size.sum()]
                count += 1
            np.testing.assert_allclose(cube[row, column], expected, rtol=1e-12)
    return count


def draw(cube: np.ndarray, slots: sz.feeds.Grid, path: str) -> None:
    """Draw candles and VWAP of each symbol."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3 * len(slots.keys)), layout="constrained")
    axes = np.atleast_1d(figure.subplots(len(slots.keys), sharex=True))
    middle = slots.times + np.timedelta64(STEP // 2, "ms")
    for column, (axis, symbol) in enumerate(zip(axes, slots.keys, strict=True)):
        opened, high, low, close, vwap, _ = cube[:, column].T
        color = np.where(close >= opened, "tab:green", "tab:red")
        axis.vlines(middle, low, high, color=color, linewidth=0.8)
        axis.vlines(middle, opened, close, color=color, linewidth=4)
        axis.plot(middle, vwap, color="black", linewidth=0.8, label="VWAP")
        axis.set(ylabel=symbol)
    axes[0].legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Make the cube, compare it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", help="Draw the bars to this file.")
    arguments = parser.parse_args()
    trades = recorded("BTCUSDT") + made_up("ETHUSDT", 1200.0, 2) + made_up("LTCUSDT", 160.0, 3)
    trades.sort(key=lambda each: each["time"])
    with tempfile.TemporaryDirectory() as folder:
        slots = ingest(folder, trades)
        group = cube_of(slots, f"{folder}/cube.zarr")
        cube = group["cube"][:]
        print(f"{len(trades)} trades, a cube of {cube.shape}: time x symbol x field")
        print(f"{check(cube, slots, trades)} bars, each is numpy's")
        if arguments.picture:
            draw(cube, slots, arguments.picture)
            print(f"drew {arguments.picture}")


if __name__ == "__main__":
    main()
