"""Quotes on a topic become one-minute bars in an array; the worker stops halfway and goes on where it was.

python examples/bars_from_ticks.py

The quotes are a day of recorded ones, ``fx_quote_ticks.csv.gz`` in the folder STREAMZARR_DATA, by default
``../shared/data`` beside this project; or a random walk where that is not there.
"""

import gzip
import os
import tempfile
from pathlib import Path

import msgspec
import numpy as np

import streamzarr as sz
from streamzarr.flow import Demand, Stop, WindowState, from_topic, ops, run, windows
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord

DATA = Path(os.environ.get("STREAMZARR_DATA", Path(__file__).parents[2] / "shared" / "data"))
MINUTE = 60 * 10**9


class Quote(msgspec.Struct):
    """One line of the feed."""

    at: int
    """Nanoseconds since the epoch."""
    pair: str
    bid: float


def quotes() -> list[Quote]:
    """Return a day of quotes."""
    recorded = DATA / "fx_quote_ticks.csv.gz"
    if not recorded.exists():
        print("generated a stand-in for fx_quote_ticks.csv.gz")
        chance = np.random.default_rng(1)
        at = np.cumsum(chance.integers(1, 20, 5000)) * 10**9 + 1_577_836_800 * 10**9
        bid = 1.12 + np.cumsum(chance.integers(-2, 3, 5000)) / 1e5
        return [Quote(int(t), "EURUSD", float(b)) for t, b in zip(at, bid, strict=True)]
    print(f"read {recorded.name}")
    found = []
    with gzip.open(recorded, "rt") as file:
        for line in file:
            stamp, bid, _, _ = line.split(",")
            day, time = stamp.split()
            iso = f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:6]}.{time[6:]}"
            found.append(Quote(int(np.datetime64(iso, "ns").astype(int)), "EURUSD", float(bid)))
    return sorted(found, key=lambda quote: quote.at)


def bar(ohlc: tuple[float, ...] | None, quote: Quote) -> tuple[float, ...]:
    """Fold a quote into open, high, low, close."""
    if ohlc is None:
        return (quote.bid,) * 4
    opened, high, low, _ = ohlc
    return opened, max(high, quote.bid), min(low, quote.bid), quote.bid


def send(folder: Path, quotes: list[Quote]) -> None:
    """Send quotes to the topic."""
    with open_broker(f"sqlite:///{folder}/queue.db") as broker, broker.producer() as producer:
        producer.send("quotes", [NewRecord(msgspec.json.encode(quote), key=b"EURUSD") for quote in quotes])


def work(folder: Path, bars: sz.Array, first: int, last: int) -> int:
    """Write bars, a row for each minute from `first` on, until row `last` is there; return how many rows."""
    state = WindowState(folder / "state", every=0.1)
    stop = Stop()
    rows: set[int] = set()

    def store(messages: list) -> None:
        for message in messages:  # a bar that comes again, after a restart, is written to the same place
            row = (message.data.window.start - first) // MINUTE
            bars[row] = message.data.value
            rows.add(row)
        if last in rows:
            stop.drain(10.0)

    with open_broker(f"sqlite:///{folder}/queue.db") as broker:
        chain = from_topic(
            broker, "quotes", group="bars", demand=Demand(500), committer=state, stop=stop
        ).pipe(
            ops.map(msgspec.json.Decoder(Quote).decode),
            ops.partition_by(lambda quote: quote.pair),
            ops.reduce(
                bar,
                initial=None,
                window=windows.Fixed("1min"),
                time=lambda quote: quote.at,
                state=state,
            ),
            ops.settle(store),
        )
        print(run(chain))
    return len(rows)


def main() -> None:
    """Send the quotes, make bars of them in two lives of a worker, and compare with numpy."""
    feed = quotes()
    at = np.array([quote.at for quote in feed])
    bid = np.array([quote.bid for quote in feed])
    first = int(at[0] // MINUTE * MINUTE)
    minutes, begins = np.unique((at - first) // MINUTE, return_index=True)
    closing = Quote(int(at[-1]) + 10 * MINUTE, "EURUSD", float(bid[-1]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_broker(f"sqlite:///{folder}/queue.db") as broker:
            broker.create_topic("quotes")
        shape = (int(minutes[-1]) + 1, 4)
        bars = sz.create_array(
            f"{folder}/bars.zarr", shape=shape, chunks=shape, dtype="f8", fill_value=np.nan
        )
        middle = len(feed) // 2
        send(folder, feed[:middle])
        open_minute = (at[middle - 1] - first) // MINUTE  # the later quotes of which are still to come
        half = work(folder, bars, first, int(minutes[minutes < open_minute][-1]))
        send(folder, [*feed[middle:], closing])
        rest = work(folder, bars, first, int(minutes[-1]))
        print(f"{half} bars in the first life of the worker, {rest} in the second")
        parts = np.split(bid, begins[1:])
        expected = np.array([(part[0], part.max(), part.min(), part[-1]) for part in parts])
        assert np.array_equal(bars[:][minutes], expected)
        print(f"{len(minutes)} bars of {len(feed)} quotes: each is numpy's")


if __name__ == "__main__":
    main()
