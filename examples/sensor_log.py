"""A logger of this machine: its load, memory, disk and network, a row a second, in a stream.

python examples/sensor_log.py [sensors.zarr] [--every 1.0] [--seconds 60]

The stream can be read while it grows, from any process and with any Zarr library:

streamzarr stream tail --follow sensors.zarr

Without --seconds the logger runs until Ctrl-C. When it is started again it goes on behind the last row; one
that still runs ends then, since a stream has one writer.
"""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil

import streamzarr as sz
from streamzarr.errors import FencedError
from streamzarr.stream import Field

SCHEMA = {
    "time": Field("M8[ms]", sorted=True),
    "cpu": Field("f4", attributes={"unit": "percent"}),
    "load": Field("f4", attributes={"long_name": "processes that run or wait, mean of a minute"}),
    "memory": Field("i8", attributes={"unit": "bytes", "long_name": "in use"}),
    "disk_read": Field("f8", fill_value=np.nan, attributes={"unit": "bytes/s"}),
    "disk_written": Field("f8", fill_value=np.nan, attributes={"unit": "bytes/s"}),
    "received": Field("f8", fill_value=np.nan, attributes={"unit": "bytes/s"}),
    "sent": Field("f8", fill_value=np.nan, attributes={"unit": "bytes/s"}),
}
CHUNK_ROWS = 512
"""Of eight bytes: a chunk is one block of a disk, so that putting it anew each second costs no more."""


def counters() -> np.ndarray:
    """Return bytes read, written, received, sent since the machine was started; NaN where it does not say."""
    disk, net = psutil.disk_io_counters(), psutil.net_io_counters()
    return np.array(
        [
            *((disk.read_bytes, disk.write_bytes) if disk else (np.nan, np.nan)),
            *((net.bytes_recv, net.bytes_sent) if net else (np.nan, np.nan)),
        ]
    )


def samples(every: float, stop: threading.Event) -> Iterator[dict[str, Any]]:
    """Yield a row each time `every` seconds are over, until `stop` is set."""
    before, then = counters(), time.monotonic()
    psutil.cpu_percent()  # begins to count
    due = then + every
    while not stop.wait(max(0.0, due - time.monotonic())):
        now, at = counters(), time.monotonic()
        rates = (now - before) / (at - then)
        before, then = now, at
        due = max(due + every, at)
        yield {
            "time": np.datetime64(time.time_ns() // 1_000_000, "ms"),
            "cpu": psutil.cpu_percent(),
            "load": psutil.getloadavg()[0],
            "memory": psutil.virtual_memory().used,
            **dict(zip(("disk_read", "disk_written", "received", "sent"), rates, strict=True)),
        }


def log(url: str, every: float, seconds: float | None) -> int:
    """Append and commit samples; return how many."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    end = None if seconds is None else time.monotonic() + seconds
    count = 0
    with sz.StreamWriter(url, schema=SCHEMA, chunk_rows=CHUNK_ROWS) as writer:
        print(f"{url}: {writer.rows} rows so far; Ctrl-C ends it", flush=True)
        newest = sz.open_stream(url)["time"][-1:].max(initial=np.datetime64(0, "ms"))
        for sample in samples(every, stop):
            newest = sample["time"] = max(newest, sample["time"])  # clocks are set back now and then
            writer.append({name: [value] for name, value in sample.items()})
            writer.commit()
            count += 1
            if end is not None and time.monotonic() >= end:
                break
    return count


def main() -> None:
    """Log, and say in the end what the last minute was like."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", nargs="?", default="sensors.zarr", help="where the stream is")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between rows")
    parser.add_argument("--seconds", type=float, help="how long (default: until Ctrl-C)")
    options = parser.parse_args()
    try:
        count = log(options.store, options.every, options.seconds)
    except FencedError as error:
        sys.exit(str(error))
    stream = sz.open_stream(options.store)
    print(f"{count} rows more, {stream.rows} in all")
    if stream.rows:
        minute = stream.sel(time=slice(stream["time"][-1] - np.timedelta64(1, "m"), None))
        for name in minute.names[1:]:
            values = minute[name][:]
            unit = SCHEMA[name].attributes.get("unit", "")
            print(f"  {name:<13} {values.mean():16.1f} mean {values.max():16.1f} most {unit}".rstrip())


if __name__ == "__main__":
    main()
