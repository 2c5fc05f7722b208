"""Windows give what a plain batch computation of pandas gives, on shuffled, late and duplicated input."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from streamzarr.flow import Demand, from_iterable, ops, run, windows

DATA = Path(os.environ.get("STREAMZARR_DATA", Path(__file__).parents[4] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the recorded data of {DATA}")
MINUTE = 60 * 10**9


def reduced(items, *, key, **options):
    """Return the results by key and window, the last of each, and how the run went."""
    seen = []
    chain = from_iterable(items, Demand(500)).pipe(
        ops.map_messages(lambda message: message.replace(key=key(message.data))),
        ops.reduce(**options),
        ops.settle(seen.extend),
    )
    report = run(chain)
    failed = [message for message in seen if message.failure is not None]
    results = [message.data for message in seen if message.failure is None]
    return results, failed, report


# -- made-up ticks -------------------------------------------------------------------------------------------


def ticks(seed, count=3000, span=600.0, disorder=20.0):
    """Ticks in an order that is off by `disorder` seconds, a tenth of them twice."""
    chance = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": np.arange(count),
            "at": (chance.uniform(0, span, count) * 1e9).astype("int64"),
            "symbol": chance.choice(["A", "B", "C"], count, p=[0.7, 0.25, 0.05]),
            "price": chance.normal(100, 5, count).round(3),
        }
    )
    frame = pd.concat([frame, frame.sample(count // 10, random_state=seed)])
    arrival = frame["at"].to_numpy() + (chance.uniform(0, disorder, len(frame)) * 1e9).astype("int64")
    return frame.iloc[np.argsort(arrival, kind="stable")]


def rows(frame):
    return list(frame.itertuples(index=False))


def fold(accumulator, tick):
    """Each tick counts once, however often it comes; the accumulator is all that is needed for OHLC."""
    seen, points = accumulator
    if tick.id not in seen:
        seen.add(tick.id)
        points.append((tick.at, tick.id, tick.price))
    return accumulator


def merge(one, other):
    return one[0] | other[0], one[1] + other[1]


def ohlc(accumulator):
    prices = [price for _, _, price in sorted(accumulator[1])]
    return prices[0], max(prices), min(prices), prices[-1], len(prices)


OPTIONS = {
    "key": lambda tick: tick.symbol,
    "fold": fold,
    "initial": lambda: (set(), []),
    "merge": merge,
    "result": ohlc,
    "time": lambda tick: int(tick.at),
}


def oracle(frame, starts):
    """OHLC by symbol and by the start of the window that `starts` gives for each row."""
    once = frame.assign(start=starts).drop_duplicates(["id", "start"]).sort_values(["at", "id"])
    bars = once.groupby(["symbol", "start"])["price"].agg(["first", "max", "min", "last", "count"])
    return {name: tuple(bar) for name, bar in zip(bars.index, bars.itertuples(index=False), strict=True)}


def by_name(results):
    return {(result.key, result.window.start): result.value for result in results}


@pytest.mark.parametrize("seed", range(5))
def test_fixed_windows(seed):
    frame = ticks(seed)
    results, failed, _ = reduced(rows(frame), window=windows.Fixed("1min"), disorder="20s", **OPTIONS)
    assert not failed
    assert all(result.firing == "final" for result in results)
    assert len(results) == len(by_name(results))
    assert by_name(results) == oracle(frame, frame["at"] // MINUTE * MINUTE)


@pytest.mark.parametrize("seed", range(5))
def test_late_messages_are_either_in_a_result_or_said_to_be_late(seed):
    frame = ticks(seed)
    items = rows(frame)
    results, failed, report = reduced(
        items, window=windows.Fixed("10s"), disorder="2s", lateness="3s", **OPTIONS
    )
    assert failed
    assert any(result.firing == "late" for result in results)
    assert report.ok + report.failed == len(frame)
    late = {id(message.data) for message in failed}
    taken = pd.DataFrame([tick for tick in items if id(tick) not in late])
    size = 10 * 10**9
    assert by_name(results) == oracle(taken, taken["at"] // size * size)


@pytest.mark.parametrize("seed", range(5))
def test_sliding_windows(seed):
    frame = ticks(seed)
    results, failed, _ = reduced(
        rows(frame), window=windows.Sliding("1min", "20s"), disorder="20s", **OPTIONS
    )
    step = 20 * 10**9
    copies = pd.concat([frame.assign(start=frame["at"] // step * step - n * step) for n in range(3)])
    assert not failed
    assert by_name(results) == oracle(copies, copies["start"])


@pytest.mark.parametrize("seed", range(5))
def test_sessions(seed):
    gap = 3 * 10**9
    frame = ticks(seed)
    results, failed, _ = reduced(rows(frame), window=windows.Session("3s"), disorder="20s", **OPTIONS)
    ordered = frame.sort_values(["symbol", "at"], kind="stable")
    new = ordered.groupby("symbol")["at"].diff().fillna(gap) >= gap
    starts = ordered["at"].where(new).ffill().astype("int64")
    assert not failed
    assert by_name(results) == oracle(ordered, starts)


@pytest.mark.parametrize("seed", range(3))
def test_count_windows(seed):
    frame = ticks(seed).drop_duplicates("id")
    results, _, _ = reduced(rows(frame), window=windows.Count(100), **OPTIONS)
    number = frame.groupby("symbol").cumcount() // 100
    expected = oracle(frame, number)
    found = {}
    for result in results:
        found.setdefault(result.key, []).append(result.value)
    assert {(key, n): bar for key, bars in found.items() for n, bar in enumerate(bars)} == expected


# -- recorded ticks ------------------------------------------------------------------------------------------


def bar(accumulator, tick):
    """Open, high, low, close, volume of ticks that come in order."""
    _, price, volume = tick
    if accumulator is None:
        return (price, price, price, price, volume)
    first, high, low, _, before = accumulator
    return (first, max(high, price), min(low, price), price, before + volume)


def bars_of(items, **options):
    results, failed, _ = reduced(
        items,
        key=lambda tick: "BTC",
        fold=bar,
        initial=None,
        window=windows.Fixed("1min"),
        time=lambda tick: tick[0],
        **options,
    )
    assert not failed
    return {result.window.start: result.value for result in results}


@needs_data
def test_ticks_of_bars_give_the_files_own_bars():
    """Each of the 45,031 recorded bars becomes four ticks, and they the same bar again."""
    with gzip.open(DATA / "btc_perp_1m.csv.gz", "rt") as file:
        recorded = pd.read_csv(file, parse_dates=["timestamp"])
    starts = recorded["timestamp"].astype("datetime64[ns]").astype("int64")
    items, expected = [], {}
    for start, (_, first, high, low, last, volume) in zip(
        starts, recorded.itertuples(index=False), strict=True
    ):
        expected[start] = (first, high, low, last)
        items += [
            (start + second * 10**9, price, volume if second == 0 else 0.0)
            for second, price in [(0, first), (20, low), (40, high), (59, last)]
        ]
    found = bars_of(items)
    assert len(found) == len(recorded)
    assert {start: value[:4] for start, value in found.items()} == expected
    assert [value[4] for value in found.values()] == list(recorded["volume"])


@needs_data
def test_recorded_trades_give_the_bars_of_pandas():
    trades = pd.read_parquet(DATA / "btcusdt_trades.parquet")
    at = trades["timestamp"].dt.tz_localize(None).astype("datetime64[ns]")
    items = list(zip(at.to_numpy(), trades["price"], trades["quantity"], strict=True))
    groups = trades.set_index(at).resample("1min")
    expected = groups["price"].ohlc()
    found = bars_of(items)
    assert [value[:4] for value in found.values()] == [tuple(row) for row in expected.to_numpy()]
    assert [value[4] for value in found.values()] == pytest.approx(list(groups["quantity"].sum()))


@needs_data
def test_recorded_quotes_give_the_bars_of_pandas_also_when_shuffled():
    with gzip.open(DATA / "fx_quote_ticks.csv.gz", "rt") as file:
        quotes = pd.read_csv(file, names=["at", "bid", "ask", "volume"], dtype={"at": str})
    quotes["at"] = pd.to_datetime(quotes["at"] + "000", format="%Y%m%d %H%M%S%f").astype("datetime64[ns]")
    quotes["id"] = np.arange(len(quotes))
    quotes = quotes.sort_values(["at", "id"])
    expected = quotes.set_index("at")["bid"].resample("1min").ohlc().dropna()
    shuffled = quotes.sample(frac=1.0, random_state=7).sort_values(
        "at", key=lambda at: at.dt.floor("30s"), kind="stable"
    )
    results, failed, _ = reduced(
        [(row.at, row.id, row.bid) for row in shuffled.itertuples()],
        key=lambda tick: "EURUSD",
        fold=lambda points, tick: [*points, tick],
        initial=list,
        result=lambda points: [point[2] for point in sorted(points)],
        window=windows.Fixed("1min"),
        disorder="30s",
        time=lambda tick: tick[0].to_datetime64(),
    )
    assert not failed
    found = [(prices[0], max(prices), min(prices), prices[-1]) for prices in (r.value for r in results)]
    assert found == [tuple(row) for row in expected.to_numpy()]
    assert [result.window.start for result in results] == list(
        expected.index.astype("datetime64[ns]").astype("int64")
    )
