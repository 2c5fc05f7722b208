"""Real records through a broker, both brokers, and decoded: equal to the files they came from."""

import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.produce import Piece, produce, read_file
from streamzarr.feeds.produce.moments import Moments
from streamzarr.queue.open import open_broker
from tests.support.decoding import specs
from tests.support.real_data import data_file

COUNT = 3000
"""Records of each file."""


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def through(request, tmp_path):
    """Send pieces to a new topic, and read the values back in their order."""
    url = (
        f"sqlite:///{tmp_path}/queue.db"
        if request.param == "sqlite"
        else request.getfixturevalue("kafka_broker_url")
    )
    topic = f"decode-{uuid.uuid4().hex[:8]}"

    def send(pieces) -> list[bytes]:
        with open_broker(url) as broker:
            broker.create_topic(topic)
            try:
                *_, done = produce(broker, topic, pieces, count=COUNT)
                values: list[bytes] = []
                with broker.reader(topic) as reader:
                    while len(values) < done.records:
                        values += [
                            value for run in reader.poll_columns(1000, timeout=10.0) for value in run.values
                        ]
            finally:
                broker.delete_topic(topic)
        return values

    return send


def decode(values, form="json", *, columns, **options):
    """Decode in batches as a feed would; no message is bad."""
    decoder = open_decoder(form, columns, **options)
    parts = [decoder(values[first : first + 700]) for first in range(0, len(values), 700)]
    assert not any(part.bad for part in parts)
    return {name: np.concatenate([part.columns[name] for part in parts]) for name in columns}


def assert_equal(columns, frame):
    for name, column in columns.items():
        np.testing.assert_array_equal(
            column, frame[name].to_numpy()[:COUNT].astype(column.dtype), err_msg=name
        )


@pytest.mark.parametrize("form", ["json", "csv", "msgpack"])
def test_fx_ticks(through, tmp_path, form):
    path = data_file("fx_quote_ticks.csv.gz", tmp_path)
    names = ["time", "bid", "ask", "volume"]
    stamp = {"format": "%Y%m%d %H%M%S%f"}
    values = through(read_file(path, names=names, format=form, moments=Moments("time", **stamp)))
    columns = specs(time=("M8[ms]", stamp), bid="f8", ask="f8", volume="i8")
    frame = pd.read_csv(path, names=names, dtype={"time": str})
    frame["time"] = pd.to_datetime(frame["time"], format="%Y%m%d %H%M%S%f")
    assert_equal(decode(values, form, columns=columns, **({"names": names} if form == "csv" else {})), frame)
    if form == "json":
        ticks = decode(values, columns=specs(bid=("i8", {"decimals": 6})))
        assert_equal(ticks, pd.DataFrame({"bid": (frame["bid"] * 1e6).round()}))


def test_btc_bars(through, tmp_path):
    path = data_file("btc_perp_1m.csv.gz", tmp_path)
    values = through(read_file(path, moments=Moments("timestamp")))
    columns = specs(timestamp="M8[us]", open="f8", high="f8", low="f8", close="f8", volume="f8")
    frame = pd.read_csv(path, parse_dates=["timestamp"])
    assert_equal(decode(values, columns=columns), frame)


def test_btc_trades(through, tmp_path):
    pytest.importorskip("pyarrow")
    path = data_file("btcusdt_trades.parquet", tmp_path)
    values = through(read_file(path, key="trade_id", moments=Moments("timestamp")))
    columns = specs(timestamp="M8[ms]", trade_id="i8", price="f8", quantity="f8", buyer_maker="?")
    frame = pd.read_parquet(path)
    frame["timestamp"] = frame["timestamp"].dt.tz_localize(None)
    frame["buyer_maker"] = frame["buyer_maker"] == "True"
    assert_equal(decode(values, columns=columns), frame)


def test_order_book_updates(through, tmp_path):
    path = data_file("btcusdt_depth_update.csv", tmp_path)
    values = through(read_file(path, key="symbol", moments=Moments("timestamp", unit="ms")))
    columns = specs(
        timestamp=("M8[ms]", {"unit": "ms"}),
        last_update_id="i8",
        side="S1",
        price=("i8", {"decimals": 2}),
        qty=("i8", {"decimals": 3}),
    )
    frame = pd.read_csv(path)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="ms")
    frame["price"], frame["qty"] = (frame["price"] * 100).round(), (frame["qty"] * 1000).round()
    assert_equal(decode(values, columns=columns), frame)


def test_a_buoy(through, tmp_path):
    path = data_file("sea_surface_temperature.csv.gz", tmp_path)
    values = through(read_file(path, moments=Moments("time (UTC)")))
    columns = specs(
        time=("M8[s]", {"source": "time (UTC)"}), temperature=("f4", {"source": "temperature (celsius)"})
    )
    frame = pd.read_csv(path)
    frame.columns = ["time", "temperature"]
    frame["time"] = pd.to_datetime(frame["time"]).dt.tz_localize(None)
    assert_equal(decode(values, columns=columns), frame)


def test_surfrad(through, tmp_path):
    """One line a minute, blanks between the fields; -9999.9 stands for none, and is not in the array."""
    path: Path = data_file("surfrad_alamosa_20160101.dat", tmp_path)
    lines = [b",".join(line.split()) for line in path.read_bytes().splitlines()[2:]]
    values = through([Piece(lines, None, None)])
    sensor = {"missing": (-9999.9,), "required": False}
    names = [f"c{number}" for number in range(48)]
    hour, minute = ("i1", {"source": "c4"}), ("i1", {"source": "c5"})
    down, uvb, par = (("f4", {"source": f"c{number}"} | sensor) for number in (8, 28, 30))
    wanted = {"hour": hour, "minute": minute, "down": down, "uvb": uvb, "par": par}
    columns = decode(values, "csv", columns=specs(**wanted), names=names)
    table = np.genfromtxt(path, skip_header=2)
    for name, column in (("hour", 4), ("minute", 5), ("down", 8), ("uvb", 28), ("par", 30)):
        expected = np.where(table[:, column] == -9999.9, np.nan, table[:, column])
        np.testing.assert_array_equal(columns[name], expected.astype(columns[name].dtype))
    assert np.isnan(columns["uvb"]).any()
