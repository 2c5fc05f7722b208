"""Recorded markets and sensors replayed through a feed, both brokers: the target equals the files.

Gaps and missing values survive; xarray opens it with times, whoever stored them, and draws it.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

from streamzarr.feeds.check import check_feed
from streamzarr.feeds.produce import Piece, produce, read_file
from streamzarr.feeds.produce.moments import Moments
from tests.support.feeds import FeedBench
from tests.support.real_data import data_file

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # zarr-python on extensions of the format

CF_MILLISECONDS = {
    "dtype": "i8",
    "attributes": {"units": "milliseconds since 1970-01-01", "calendar": "proleptic_gregorian"},
}
"""A time as integers, as readers without a dtype for times want it."""


@dataclass
class Recorded:
    """A data set: its records, how they are told to a feed, and what is right."""

    pieces: list[Piece]
    columns: dict
    expected: pd.DataFrame
    plotted: str
    """The column that is drawn over ``time``."""
    decode: dict

    def __post_init__(self):
        assert list(self.expected) == list(self.columns)


def fx_ticks(folder):
    path = data_file("fx_quote_ticks.csv.gz", folder)
    names = ["time", "bid", "ask", "volume"]
    frame = pd.read_csv(path, names=names, dtype={"time": str})
    frame["time"] = pd.to_datetime(frame["time"], format="%Y%m%d %H%M%S%f")
    stamp = {"format": "%Y%m%d %H%M%S%f"}
    columns = {"time": {"dtype": "datetime64[ms]", **stamp, "sorted": True}}
    columns |= {"bid": "f8", "ask": "f8", "volume": "i8"}
    pieces = read_file(path, names=names, format="csv", moments=Moments("time", **stamp))
    return Recorded(list(pieces), columns, frame, "bid", {"format": "csv", "names": names})


def btc_bars(folder):
    path = data_file("btc_perp_1m.csv.gz", folder)
    frame = pd.read_csv(path, parse_dates=["timestamp"]).rename(columns={"timestamp": "time"})
    columns = {"time": {"dtype": "datetime64[us]", "from": "timestamp", "sorted": True}}
    columns |= dict.fromkeys(("open", "high", "low", "close", "volume"), "f8")
    pieces = read_file(path, moments=Moments("timestamp"))
    return Recorded(list(pieces), columns, frame, "close", {"format": "json"})


def btc_trades(folder):
    pytest.importorskip("pyarrow")
    path = data_file("btcusdt_trades.parquet", folder)
    frame = pd.read_parquet(path).rename(columns={"timestamp": "time"})
    frame["time"] = frame["time"].dt.tz_localize(None)
    frame["buyer_maker"] = frame["buyer_maker"] == "True"
    columns = {"time": {"dtype": "datetime64[ms]", "from": "timestamp", "sorted": True}, "trade_id": "i8"}
    columns |= {"price": "f8", "quantity": "f8", "buyer_maker": "?"}
    pieces = read_file(path, key="trade_id", moments=Moments("timestamp"))
    return Recorded(list(pieces), columns, frame[list(columns)], "price", {"format": "json"})


def order_book(folder):
    """Its times are numbers, so they are stored as CF has them; prices are exact."""
    path = data_file("btcusdt_depth_update.csv", folder)
    frame = pd.read_csv(path)
    frame["time"] = pd.to_datetime(frame["timestamp"], unit="ms")
    frame["price"], frame["qty"] = (frame["price"] * 100).round(), (frame["qty"] * 1000).round()
    columns = {
        "time": {**CF_MILLISECONDS, "from": "timestamp"},
        "last_update_id": "i8",
        "side": "string",
        "price": {"dtype": "i8", "decimals": 2},
        "qty": {"dtype": "i8", "decimals": 3},
    }
    pieces = read_file(path, key="symbol", moments=Moments("timestamp", unit="ms"))
    return Recorded(list(pieces), columns, frame[list(columns)], "price", {"format": "json"})


def buoy(folder):
    path = data_file("sea_surface_temperature.csv.gz", folder)
    frame = pd.read_csv(path).set_axis(["time", "temperature"], axis=1)
    frame["time"] = pd.to_datetime(frame["time"]).dt.tz_localize(None)
    assert (frame["time"].diff() > frame["time"].diff().min()).any(), "it has gaps"
    columns = {
        "time": {"dtype": "datetime64[s]", "from": "time (UTC)", "sorted": True},
        "temperature": {"dtype": "f8", "from": "temperature (celsius)"},
    }
    pieces = read_file(path, moments=Moments("time (UTC)"))
    return Recorded(list(pieces), columns, frame, "temperature", {"format": "json"})


SURFRAD = {"solar_down": 8, "solar_up": 10, "uvb": 28, "par": 30, "temperature": 38}
"""Column of each variable; its flag of quality is in the next one."""
STAMP = [0, 2, 3, 4, 5]
"""Columns of year, month, day, hour and minute."""
MISSING = -9999.9


def surfrad(folder):
    """Each variable beside its flag; none of them is -9999.9 in the array, and the flag says why."""
    path = data_file("surfrad_alamosa_20160101.dat", folder)
    table = np.genfromtxt(path, skip_header=2)
    stamps = ["{:04d}-{:02d}-{:02d}T{:02d}:{:02d}Z".format(*row) for row in table[:, STAMP].astype(int)]
    lines = path.read_text().splitlines()[2:]
    values = [",".join([stamp, *line.split()]).encode() for stamp, line in zip(stamps, lines, strict=True)]
    frame = pd.DataFrame({"time": pd.to_datetime(stamps).tz_localize(None)})
    columns = {"time": {"dtype": "datetime64[s]", "sorted": True}}
    for name, at in SURFRAD.items():
        frame[name] = np.where(table[:, at] == MISSING, np.nan, table[:, at])
        frame[f"{name}_flag"] = table[:, at + 1].astype("i1")
        columns[name] = {"dtype": "f4", "from": f"c{at}", "missing": [MISSING], "required": False}
        columns[f"{name}_flag"] = {"dtype": "i1", "from": f"c{at + 1}"}
    assert frame["uvb"].isna().any(), "it has missing values"
    names = ["time", *(f"c{number}" for number in range(48))]
    return Recorded(
        [Piece(values, None, None)], columns, frame, "temperature", {"format": "csv", "names": names}
    )


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def bench(request, tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    if request.param == "kafka":
        url = request.getfixturevalue("kafka_broker_url")
    bench = FeedBench(url, tmp_path, partitions=1)
    yield bench
    bench.broker.close()


@pytest.mark.parametrize(
    "make", [fx_ticks, btc_bars, btc_trades, order_book, buoy, surfrad], ids=lambda make: make.__name__
)
def test_the_target_is_the_file(bench, tmp_path, make: Callable[..., Recorded]):
    recorded = make(tmp_path)
    for _ in produce(bench.broker, bench.topic, recorded.pieces):
        pass
    bench.ingest(
        bench.feed(
            columns=recorded.columns,
            decode=recorded.decode,
            target={"chunk_rows": 4096, "commit": {"seconds": 0.5}},
        )
    )
    [found] = check_feed(bench.target, bench.broker)
    assert found.ok
    assert (found.rows, found.dead) == (len(recorded.expected), 0)
    with xr.open_zarr(f"{bench.target}/p00000", chunks=None) as opened:
        dataset = opened.set_coords("time").swap_dims(row="time")
        for name, column in recorded.expected.items():
            ours = bench.streams()["p00000"][name][:]
            right = column.to_numpy()
            if name == "time":
                assert dataset["time"].dtype.kind == "M"
                np.testing.assert_array_equal(dataset["time"].values, right)
                continue
            np.testing.assert_array_equal(dataset[name].values, ours)
            np.testing.assert_array_equal(ours, right.astype(ours.dtype), err_msg=name)
        drawn(dataset[recorded.plotted])


def drawn(series: xr.DataArray) -> None:
    """Draw a series over time: the line has its values, a break where they are missing."""
    figure = Figure()
    axis = figure.subplots()
    series.plot(ax=axis)
    [line] = axis.get_lines()
    np.testing.assert_array_equal(np.asarray(line.get_ydata(), series.dtype), series.values)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")
