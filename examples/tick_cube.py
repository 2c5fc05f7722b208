"""Trades as a cube of time x symbol x field, and its bars (OHLC, VWAP, volume), computed chunk by chunk.

python examples/tick_cube.py [trades.parquet]

Without a file the trades are made up: eight symbols on a random walk, for a trading day of 6.5 hours, in bars
of a minute. With one (columns timestamp, price, quantity; needs pyarrow) the cube has one symbol.
"""

import sys
import tempfile

import numpy as np

import streamzarr as sz

PER_BAR = 600
"""Slots of one bar: of 100 ms for a bar of a minute, of 5 ms for one of three seconds."""
FIELDS = ("open", "high", "low", "close", "vwap", "volume")


def made_up(bars: int = 390, symbols: int = 8) -> np.ndarray:
    """Return price and size of the trade in each slot, shape (slots, symbols, 2); NaN and 0 without one."""
    random = np.random.default_rng(3)
    slots = bars * PER_BAR
    price = (
        100 * np.exp(np.cumsum(random.normal(0, 4e-5, (slots, symbols)), axis=0)) * np.arange(1, symbols + 1)
    )
    size = random.geometric(0.02, (slots, symbols)) * 10.0
    quiet = random.random((slots, symbols)) < np.linspace(0.6, 0.999, symbols)
    return np.stack([np.where(quiet, np.nan, price.round(2)), np.where(quiet, 0, size)], axis=-1)


def recorded(path: str) -> np.ndarray:
    """Return the trades of a file in the same form; several in one slot become one, at their mean price."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    time = np.asarray(table["timestamp"]).astype("datetime64[ms]")
    price, size = (np.asarray(table[name]).astype("f8") for name in ("price", "quantity"))
    slot = ((time - time.min()) // np.timedelta64(5, "ms")).astype(int)
    slots = -(-(slot.max() + 1) // PER_BAR) * PER_BAR
    volume = np.bincount(slot, size, slots)
    with np.errstate(invalid="ignore"):
        return np.stack([np.bincount(slot, price * size, slots) / volume, volume], axis=-1)[:, np.newaxis]


def bars(ticks: np.ndarray) -> np.ndarray:
    """Return a bar for each 600 slots of ticks: (slots, symbols, 2) becomes (bars, symbols, 6)."""
    price, size = np.moveaxis(ticks.reshape(-1, PER_BAR, *ticks.shape[1:]), -1, 0)
    traded = ~np.isnan(price)
    first, last = traded.argmax(axis=1), PER_BAR - 1 - traded[:, ::-1].argmax(axis=1)
    volume = size.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.stack(
            [
                np.take_along_axis(price, first[:, np.newaxis], 1)[:, 0],
                np.fmax.reduce(price, axis=1),
                np.fmin.reduce(price, axis=1),
                np.take_along_axis(price, last[:, np.newaxis], 1)[:, 0],
                np.where(traded, price * size, 0).sum(axis=1) / volume,
                volume,
            ],
            axis=-1,
        )


def check(ticks: np.ndarray, result: np.ndarray) -> None:
    """Compare with the definition of a bar, trade by trade."""
    for bar, symbol in np.ndindex(result.shape[:2]):
        price, size = ticks[bar * PER_BAR : (bar + 1) * PER_BAR, symbol].T
        price, size = price[size > 0], size[size > 0]
        expected = [np.nan] * 5 + [0.0]
        if len(price):
            vwap = np.average(price, weights=size)
            expected = [price[0], price.max(), price.min(), price[-1], vwap, size.sum()]
        np.testing.assert_allclose(result[bar, symbol], expected, rtol=1e-12)


def main() -> None:
    """Make the cube, then its bars, in two processes."""
    trades = recorded(sys.argv[1]) if len(sys.argv) > 1 else made_up()
    slots, symbols, _ = trades.shape
    with tempfile.TemporaryDirectory() as folder:
        day = sz.create_group(f"{folder}/day.zarr")
        names = ("time", "symbol", "field")
        ticks = day.create_array(
            "ticks",
            data=trades,
            chunks=(10 * PER_BAR, symbols, 2),
            fill_value=np.nan,
            dimension_names=names,
            attributes={"fields": ["price", "size"]},
        )
        # As many chunks as the ticks have: a process reads a chunk of one and writes that of the other.
        cube = day.create_array(
            "bars",
            shape=(slots // PER_BAR, symbols, len(FIELDS)),
            chunks=(10, symbols, len(FIELDS)),
            dtype="f8",
            fill_value=np.nan,
            dimension_names=names,
            attributes={"fields": FIELDS},
        )
        ticks.map_chunks(bars, executor="processes", concurrency=2).into(cube)
        print(day.tree())
        print("".join(f"{name:>10}" for name in FIELDS))
        for bar in cube.isel(symbol=0, time=slice(0, 3)):
            print("".join(f"{value:>10.2f}" for value in bar))
        check(trades, cube[:])
        print(f"{np.count_nonzero(trades[..., 1])} trades, {cube.size // 6} bars: each is numpy's")


if __name__ == "__main__":
    main()
