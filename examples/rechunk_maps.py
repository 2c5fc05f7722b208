"""A year of daily maps, rechunked for reading time series: what it costs, what it gains, as a picture.

python examples/rechunk_maps.py [--rows 360] [--picture rechunk_maps.png]

The maps are made by a function: sea-surface temperature by latitude, with eddies and noise, on 360 x 720
cells. Its course through the year is a recorded one, of a buoy in the Gulf of Maine, from
``sea_surface_temperature.csv.gz`` in the folder STREAMZARR_DATA, by default ``../shared/data`` beside this
project; or a sine where that is not there.
"""

import argparse
import csv
import gzip
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import streamzarr as sz

DATA = Path(os.environ.get("STREAMZARR_DATA", Path(__file__).parents[2] / "shared" / "data"))
DAYS = 365
BUOY = (43.2, -70.4)
"""Latitude and longitude."""
READS = 5


def course() -> np.ndarray:
    """Return the course of the year in the northern hemisphere: daily, around 0, about within -2 and 2."""
    recorded = DATA / "sea_surface_temperature.csv.gz"
    if not recorded.exists():
        print("generated a stand-in for sea_surface_temperature.csv.gz")
        return -1.4 * np.cos((np.arange(DAYS) + 10) * (2 * np.pi / DAYS))
    print(f"read {recorded.name}")
    days: dict[str, list[float]] = {}
    with gzip.open(recorded, "rt") as file:
        for stamp, value in list(csv.reader(file))[1:]:
            days.setdefault(stamp[:10], []).append(float(value))
    dates = np.array(list(days), "M8[D]")
    means = [statistics.mean(values) for values in days.values()]
    # The buoy was silent for some days.
    daily = np.interp(np.arange(DAYS), (dates - dates[0]).astype(int), means)
    return (daily - daily.mean()) / daily.std()


def write_maps(url: str, rows: int) -> sz.Array:
    """Write the year, one map a chunk."""
    columns = 2 * rows
    maps = sz.create_array(
        url,
        shape=(DAYS, rows, columns),
        chunks=(1, rows, columns),
        dtype="f4",
        compressors="zstd",
        dimension_names=["day", "latitude", "longitude"],
    )
    latitude = np.radians(np.linspace(-90, 90, rows))[:, None]
    longitude = np.radians(np.linspace(-180, 180, columns))
    north = course()
    south = np.roll(north, DAYS // 2)  # their summer is our winter
    random = np.random.default_rng(7)
    mean, swing = 29 * np.cos(latitude) ** 2, 4 * np.sin(2 * latitude) ** 2
    for day in range(DAYS):
        season = np.where(latitude > 0, north[day], south[day])
        eddies = np.sin(9 * longitude - day / 12 + 3 * np.sin(5 * latitude)) * np.cos(latitude)
        noise = random.standard_normal((rows, columns), "f4") * np.float32(0.05)
        maps[day] = np.round(mean + swing * season + eddies + noise, 2)
    return maps


def seconds(read: Callable[[int], object], places: Sequence[int]) -> float:
    """Return the median time of reading at each of some places."""
    times = []
    for place in places:
        begun = time.perf_counter()
        read(place)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def draw(path: str, series: sz.Array, cell: tuple[int, int], times: dict[str, tuple[float, float]]) -> None:
    """Write a picture: a day's map, a year at one place, and how long either took to read."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no picture: matplotlib is not installed (pip install 'streamzarr[demo]')")
        return
    figure = Figure(figsize=(12, 7), layout="constrained")
    panels = figure.subplot_mosaic([["map", "map", "times"], ["year", "year", "times"]], height_ratios=[2, 1])
    image = panels["map"].imshow(
        series[180], origin="lower", extent=(-180, 180, -90, 90), cmap="turbo", aspect="auto"
    )
    panels["map"].plot(BUOY[1], BUOY[0], "o", color="white", markeredgecolor="black")
    panels["map"].set(title="day 180", xlabel="longitude, °", ylabel="latitude, °")
    figure.colorbar(image, ax=panels["map"], label="°C")
    panels["year"].plot(series[:, *cell], linewidth=1)
    panels["year"].set(title="the year at the white point", xlabel="day", ylabel="°C")
    for offset, (what, pair) in zip((-0.2, 0.2), times.items(), strict=True):
        bars = panels["times"].bar(
            [offset, 1 + offset], [1000 * each for each in pair], width=0.38, label=f"read {what}"
        )
        panels["times"].bar_label(bars, fmt="{:.1f} ms")
    panels["times"].set_xticks([0, 1], ["chunks of maps", "chunks of series"])
    panels["times"].set(yscale="log", ylabel="milliseconds", title="time to read")
    panels["times"].margins(y=0.2)
    panels["times"].legend(loc="upper center", ncols=2)
    figure.savefig(path, dpi=110)
    print(f"the picture is {path}")


def main() -> None:
    """Write maps, rechunk them, and read the same from both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=360, help="of a map; it has twice as many columns")
    parser.add_argument("--picture", default="rechunk_maps.png")
    options = parser.parse_args()
    rows = options.rows
    with tempfile.TemporaryDirectory() as folder:
        broker = f"sqlite:///{folder}/queue.db"
        maps = write_maps(f"{folder}/maps.zarr", rows)
        print(f"wrote {DAYS} maps of {rows} x {2 * rows}, {maps.nbytes / 1e6:.0f} MB")

        with sz.Fleet(broker, workers=2, roots=[folder]):
            begun = time.perf_counter()
            with sz.jobs.submit(
                "copy", maps.url, f"{folder}/series.zarr", broker=broker, chunks=(DAYS, 24, 24)
            ) as job:
                assert job.wait(progress=True).complete
            print(f"rechunked in {time.perf_counter() - begun:.1f} s")
        series = sz.open_array(f"{folder}/series.zarr")

        cell = int((BUOY[0] + 90) / 180 * rows), int((BUOY[1] + 180) / 360 * 2 * rows)
        days, columns = (np.linspace(0, n - 1, READS).astype(int).tolist() for n in (DAYS, 2 * rows))
        times = {
            "one map": tuple(seconds(lambda day, a=a: a[day], days) for a in (maps, series)),
            "one series": tuple(seconds(lambda x, a=a: a[:, cell[0], x], columns) for a in (maps, series)),
        }
        print(f"{'':12} {'chunks of maps':>16} {'chunks of series':>18}")
        for what, (before, after) in times.items():
            change = f"{before / after:.0f}x faster" if after < before else f"{after / before:.0f}x slower"
            print(f"{what:12} {1000 * before:13.1f} ms {1000 * after:15.1f} ms   {change}")

        assert all(np.array_equal(maps[day], series[day]) for day in days)
        assert np.array_equal(maps[:, *cell], series[:, *cell])
        print("both say the same")
        draw(options.picture, series, cell, times)


if __name__ == "__main__":
    main()
