"""Recorded data sets of ``../shared/data``, or stand-ins of the same shape where that is not there."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

DATA = Path(os.environ.get("STREAMZARR_DATA", Path(__file__).parents[3] / "shared" / "data"))


def data_file(name: str, folder: Path) -> Path:
    """The data set of this name; a stand-in is made in `folder`."""
    if (DATA / name).exists():
        return DATA / name
    path = folder / name
    STAND_INS[name](path)
    return path


def _gzipped(line: Callable[[int], str], header: str | None = None) -> Callable[[Path], None]:
    lines = [] if header is None else [header]
    return lambda path: path.write_bytes(
        gzip.compress("\n".join(lines + list(map(line, range(600)))).encode())
    )


def _time(step: str, at: int) -> str:
    return str(np.datetime64("2020-01-01T17:00:00", step) + at)


def _depth(path: Path) -> None:
    head = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu"
    rows = [
        f"BTCUSDT,{1667347199939 + n // 9},{2098041693435 + n},{2098041696700 + n},{'ab'[n % 2]},set,"
        f"{20472 + n / 10:.2f},{n % 5 / 1000:.3f},{2098041693400 + n}"
        for n in range(100)
    ]
    path.write_text("\n".join([head, *rows]))


def _trades(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = np.arange(500)
    columns = {
        "timestamp": pa.array(1610064000278 + 30 * count, pa.timestamp("ms", "UTC")),
        "trade_id": 553287559 + count,
        "price": 39432.48 + count / 100,
        "quantity": 0.000263 + count / 1e6,
        "buyer_maker": ["True", "False"] * 250,
    }
    pq.write_table(pa.table(columns), path)


def _surfrad(path: Path) -> None:
    rows = []
    for n in range(1440):
        values = [
            f"{-9999.9 if n % 7 == k % 7 else n / 10 + k:7.1f} {int(n % 7 == k % 7)}" for k in range(20)
        ]
        rows.append(
            f" 2016   1  1  1 {n // 60:2d} {n % 60:2d} {n / 60:6.3f} {91.65:6.2f} " + " ".join(values)
        )
    path.write_text("\n".join([" Alamosa", "   37.70  105.92 2317 m version 1", *rows]) + "\n")


STAND_INS: dict[str, Callable[[Path], object]] = {
    "fx_quote_ticks.csv.gz": _gzipped(
        lambda n: (
            f"20200101 17{n // 60:02d}{n % 60:02d}{n % 1000:03d},"
            f"{1.1212 + n / 1e5:.6f},{1.1217 + n / 1e5:.6f},0"
        )
    ),
    "btc_perp_1m.csv.gz": _gzipped(
        lambda n: (
            f"{_time('m', n).replace('T', ' ')}:00.000000,{n}.0,{n + 2}.0,{n - 1}.0,{n + 1}.5,{n * 7.25}"
        ),
        "timestamp,open,high,low,close,volume",
    ),
    "sea_surface_temperature.csv.gz": _gzipped(
        lambda n: f"{_time('h', n + n // 100 * 5)}:00:00Z,{4 + n / 1000:.3f}",
        "time (UTC),temperature (celsius)",
    ),
    "btcusdt_depth_update.csv": _depth,
    "btcusdt_trades.parquet": _trades,
    "surfrad_alamosa_20160101.dat": _surfrad,
}
