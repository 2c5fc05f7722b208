"""An instrument writes frames into a stream, and a reader in another process draws them as they come.

python examples/instrument.py [--frames 60] [--rate 30] [--picture instrument.png]

The instrument is made up: a camera that sees a spot on its way, with noise. Its stream is an ordinary Zarr
group, and the reader asks for nothing but what is stored; it could as well be on another machine. So either
can be started alone, and again, with the stream in a place of its own, a folder or ``s3://bucket/prefix``:

python examples/instrument.py instrument --store camera.zarr
python examples/instrument.py viewer --store camera.zarr

Ctrl-C ends both in order, and what was recorded is committed.
"""

import argparse
import multiprocessing
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import streamzarr as sz
from streamzarr.errors import NodeNotFoundError
from streamzarr.stream import CommitPolicy, Field, Rows

HEIGHT, WIDTH = 48, 64
PATIENCE = 20.0
"""Seconds for which the viewer waits for a frame."""


def spot(number: int) -> tuple[float, float]:
    """Return where the spot is in a frame, in rows and columns."""
    return HEIGHT * (0.5 + 0.3 * np.sin(number / 9)), WIDTH * (0.5 + 0.35 * np.cos(number / 13))


def frame(number: int) -> np.ndarray:
    """Return what the camera sees."""
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    row, column = spot(number)
    light = 3000 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 18)
    return np.random.default_rng(number).poisson(light + 40).astype("u2")


def record(url: str, frames: int, rate: float) -> None:
    """Be the instrument: append frames as they are taken, until there are so many or we are told to stop."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    seconds_of_rows = max(1, round(2 * rate))
    schema = {
        "time": Field("M8[ns]", sorted=True),
        "frame": Field("u2", (HEIGHT, WIDTH), dimension_names=("y", "x"), compressors="zstd"),
    }
    policy = CommitPolicy(seconds=0.1)
    with sz.StreamWriter(url, schema=schema, chunk_rows=seconds_of_rows, commit=policy) as writer:
        newest = sz.open_stream(url)["time"][-1:].max(initial=np.datetime64(0, "ns"))
        due = time.monotonic()
        while writer.rows < frames:
            newest = max(newest, np.datetime64(time.time_ns(), "ns"))  # clocks are set back now and then
            writer.append({"time": [newest], "frame": frame(writer.rows)[np.newaxis]})
            due += 1 / rate
            if stop.wait(max(0.0, due - time.monotonic())):
                break


def opened(url: str) -> sz.stream.Snapshot:
    """Return the stream as soon as the instrument has made it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return sz.open_stream(url)
        except NodeNotFoundError:
            if time.monotonic() > deadline:
                sys.exit(f"no instrument has made a stream at {url}")
            time.sleep(0.05)


def blank() -> Any:
    """Return a figure to draw on; None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    return Figure(figsize=(10, 4), layout="constrained")


def draw(figure: Any, path: str, rows: Rows, delays: list[float]) -> None:
    """Write a picture of the last frame, the way of the spot and how late frames were seen."""
    figure.clear()
    seen, lag = figure.subplots(1, 2, width_ratios=[2, 1])
    seen.imshow(rows["frame"][-1], cmap="magma", vmin=0, vmax=3000)
    way = np.array([spot(number) for number in range(max(0, rows.stop - 60), rows.stop)])
    seen.plot(way[:, 1], way[:, 0], color="white", linewidth=0.8, alpha=0.6)
    seen.set(title=f"frame {rows.stop - 1}", xlabel="x", ylabel="y")
    lag.plot(1000 * np.array(delays))
    lag.set(title="taken to seen", xlabel="frame", ylabel="milliseconds", ylim=(0, None))
    unfinished = f"{path}.part"
    figure.savefig(unfinished, format="png", dpi=100)
    Path(unfinished).replace(path)  # whoever looks at the picture meanwhile sees it whole


def view(url: str, frames: int, picture: str) -> int:
    """Be the reader: follow the stream and draw what comes, until it has seen so many; return how many."""
    delays: list[float] = []
    drawn = 0.0
    figure = blank()
    if figure is None:
        print("no picture: matplotlib is not installed (pip install 'streamzarr[demo]')")
    for rows in opened(url).follow(poll=0.02, timeout=PATIENCE):
        delays += ((time.time_ns() - rows["time"][:].astype("i8")) / 1e9).tolist()
        for number, found in enumerate(rows["frame"][:], rows.start):
            assert np.array_equal(found, frame(number)), f"frame {number} is not what the camera saw"
        done = rows.stop >= frames
        if figure is not None and (done or time.monotonic() > drawn + 0.5):
            draw(figure, picture, rows, delays)
            if not drawn:
                print(f"drawing {picture} anew with what comes", flush=True)
            drawn = time.monotonic()
        if done:
            print(f"a frame was seen {1000 * np.median(delays):.0f} ms after it was taken (median)")
            break
    return len(delays)


def both(url: str, frames: int, rate: float, picture: str) -> int:
    """Let the instrument run in a process of its own, and look on from this one."""
    camera = multiprocessing.get_context("spawn").Process(target=record, args=(url, frames, rate))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which it inherits: it hears of Ctrl-C from us
    camera.start()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return view(url, frames, picture)
    finally:
        camera.terminate()
        camera.join()


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("role", choices=["both", "instrument", "viewer"], nargs="?", default="both")
    parser.add_argument("--store", help="where the stream is (default: a folder that is removed in the end)")
    parser.add_argument("--frames", type=int, default=60, help="in the stream, when all is done")
    parser.add_argument("--rate", type=float, default=30.0, help="frames per second")
    parser.add_argument("--picture", default="instrument.png")
    options = parser.parse_args()
    if options.store is None and options.role != "both":
        parser.error("--store is needed where instrument and viewer are started alone")
    with tempfile.TemporaryDirectory() as folder:
        url = options.store or f"{folder}/camera.zarr"
        try:
            if options.role == "instrument":
                record(url, options.frames, options.rate)
                print(f"{sz.open_stream(url).rows} frames are in the stream")
                return
            if options.role == "viewer":
                count = view(url, options.frames, options.picture)
            else:
                count = both(url, options.frames, options.rate, options.picture)
            print(f"{count} frames, each as the camera saw it")
        except KeyboardInterrupt:
            print("stopped; what was recorded is committed")


if __name__ == "__main__":
    main()
