"""A buoy's readings arrive on a topic, and a dashboard of them is drawn anew while they come.

python examples/buoy_dashboard.py [--picture buoy.png]

The readings are those of a year, ``sea_surface_temperature.csv.gz`` in the folder STREAMZARR_DATA, by
default ``../shared/data`` beside this project, or made up where that is not there. They are sent as fast as
the broker takes them; ``streamzarr produce FILE --time 'time (UTC)' --speed 1000`` sends them as they came.

The dashboard reads nothing but the store: any other reader of Zarr can do the same, on another machine.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

import streamzarr as sz
from streamzarr.feeds.produce import Piece, produce, read_file

DATA = Path(os.environ.get("STREAMZARR_DATA", Path(__file__).parents[2] / "shared" / "data"))
STEP = np.timedelta64(30, "m")
"""Between two readings."""
DAY = 48
"""Readings of a day."""
FIELDS = ("time (UTC)", "temperature (celsius)")


def readings() -> list[Piece]:
    """Return the readings as records."""
    path = DATA / "sea_surface_temperature.csv.gz"
    if path.exists():
        print(f"read {path.name}")
        return list(read_file(path))
    print(f"generated a stand-in for {path.name}")
    chance = np.random.default_rng(5)
    lines = []
    for at in range(4000):
        if at % 700 < 650:  # it is out of order now and then
            time = np.datetime64("2016-02-15T00:00", "s") + at * STEP
            value = 9 - 5 * np.cos(at / 4000 * 2 * np.pi) + np.sin(at / DAY * 2 * np.pi) / 4
            lines.append(b'{"%s": "%sZ", "%s": %.3f}' % (
                FIELDS[0].encode(), str(time).encode(), FIELDS[1].encode(), value + chance.normal(0, 0.05)
            ))  # fmt: skip
    return [Piece(lines, None, None)]


def feed(broker: str, target: str) -> dict:
    """Return what the feed is told; the attributes are CF's, for readers that know them."""
    return {
        "source": {"broker": broker, "topics": ["buoy.b01"]},
        "decode": {"format": "json"},
        "columns": {
            "time": {
                "dtype": "datetime64[s]",
                "from": FIELDS[0],
                "sorted": True,
                "attributes": {"standard_name": "time"},
            },
            "temperature": {
                "dtype": "f4",
                "from": FIELDS[1],
                "required": False,
                "attributes": {"standard_name": "sea_surface_temperature", "units": "degree_Celsius"},
            },
        },
        "target": {"url": target, "chunk_rows": 4096, "commit": {"seconds": 0.2}},
    }


class Dashboard:
    """The picture, and what it is drawn from: everything that was committed so far."""

    def __init__(self, url: str, picture: str) -> None:
        self._url, self._picture = url, picture
        self.drawn = 0

    def draw(self) -> str:
        """Draw what is there now; return what it says in a line."""
        from matplotlib.figure import Figure

        data = sz.open_stream(self._url, "p00000").to_xarray()
        time, values = data["time"].values, data["temperature"].values
        shown, line = with_gaps(time, values)
        figure = Figure(figsize=(10, 6), layout="constrained")
        above, below = figure.subplots(2, height_ratios=[3, 1])
        above.plot(shown, line, linewidth=0.5, label="each half hour")
        above.plot(time[DAY - 1 :], running_mean(values, DAY), linewidth=1.5, label="mean of the day before")
        above.set(ylabel=data["temperature"].attrs["units"], title=data["temperature"].attrs["standard_name"])
        above.legend()
        below.hist(values[~np.isnan(values)], bins=40)
        below.set(xlabel=data["temperature"].attrs["units"], ylabel="readings")
        unfinished = f"{self._picture}.part"
        figure.savefig(unfinished, format="png", dpi=80)
        Path(unfinished).replace(self._picture)  # whoever looks at it meanwhile sees it whole
        self.drawn += 1
        gaps = int((np.diff(time) > STEP).sum())
        low, high = np.nanmin(values), np.nanmax(values)
        return f"{len(time)} readings, {gaps} gaps, {low:.2f} to {high:.2f} degrees"


def with_gaps(time: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the series with a NaN in each gap, so that no line is drawn across it."""
    gaps = np.flatnonzero(np.diff(time) > STEP) + 1
    return np.insert(time, gaps, time[gaps] - STEP), np.insert(values, gaps, np.nan)


def running_mean(values: np.ndarray, count: int) -> np.ndarray:
    """Return the mean of each `count` values in a row."""
    return np.convolve(values, np.full(count, 1 / count), mode="valid")


def main() -> None:
    """Ingest, and draw meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", default="buoy.png")
    arguments = parser.parse_args()
    pieces = readings()
    count = sum(map(len, pieces))
    with tempfile.TemporaryDirectory() as folder:
        broker, target = f"sqlite:///{folder}/queue.db", f"{folder}/buoy.zarr"
        with sz.open_broker(broker) as opened:
            opened.create_topic("buoy.b01")
            dashboard = Dashboard(target, arguments.picture)
            with sz.FeedFleet(feed(broker, target)) as fleet:
                for _ in produce(opened, "buoy.b01", pieces[:1]):
                    pass
                fleet.wait_caught_up(timeout=120)
                print(dashboard.draw())
                for _ in produce(opened, "buoy.b01", pieces[1:]):
                    pass
                for rows in sz.open_stream(target, "p00000").follow(timeout=60):
                    print(dashboard.draw())
                    if rows.stop == count:
                        break
            assert all(each.ok for each in sz.feeds.check_feed(target, opened))
    print(f"{count} readings, each is there once; {arguments.picture} was drawn {dashboard.drawn} times")


if __name__ == "__main__":
    main()
