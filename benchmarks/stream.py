"""Streams against what else can append: rows and commits a second, cost over many commits, a reader's lag.

Every peer appends the same three fields in chunks of 4,096 rows, batch by batch, each visible when its call
has returned. Rounds are interleaved, because machines drift; nobody syncs but who says so, and files lie in
memory where the machine has a place for that. The processor's time is given beside the rate, for machines
that are busy. The S3 server runs here and takes its share of the cores: ratios say more than rates. A peer
that is not installed is left out with a line
(``pip install zarr zarrs tensorstore icechunk acquire-zarr obstore h5py pyarrow``).

    python benchmarks/stream.py [--seconds 1] [--rounds 3] [--server versitygw] [--peers ours,icechunk]
    python benchmarks/stream.py --commits 1000000      # what a commit costs after so many
    python benchmarks/stream.py --lag                  # how far a reader is behind
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from stream_peers import CHUNK_ROWS, PEERS, Append, Place, batch_of  # noqa: E402

import streamzarr as sz  # noqa: E402
from tests.support import s3_servers  # noqa: E402

BATCHES = (1, 100, 10_000)


class Racer:
    """One peer in one cell: goes on where its last round has ended."""

    def __init__(self, append: Append, rows: int) -> None:
        self._append, self._rows, self._start = append, rows, 0
        self.rates: list[float] = []
        self.costs: list[float] = []

    def run(self, seconds: float) -> None:
        """Append batches for so long, at least one."""
        count, begin, busy = 0, time.perf_counter(), time.process_time()
        while not count or time.perf_counter() - begin < seconds:
            self._append(batch_of(self._start, self._rows))
            self._start += self._rows
            count += 1
        self.rates.append(count / (time.perf_counter() - begin))
        self.costs.append((time.process_time() - busy) / count)


Cell = dict[str, tuple[float, float]]
"""Of each peer commits a second, and seconds of the processor a commit."""


def race(place: Place, rows: int, peers: list[str], seconds: float, rounds: int) -> Cell:
    """Return medians of the rounds after one to warm up."""
    racers = {}
    for name in peers:
        begin, on_s3, _ = PEERS[name]
        if place.is_local or on_s3:
            own = Place(f"{place.path}/{uuid.uuid4().hex[:8]}", place.bucket, place.endpoint)
            try:
                racers[name] = Racer(begin(own), rows)
                racers[name].run(0.0)
            except ImportError as error:
                print(f"  {name} is left out: {error}")
            except Exception as error:  # noqa: BLE001 - of another's library
                racers.pop(name, None)
                print(f"  {name} is left out: {type(error).__name__}: {str(error)[:100]}")
    for _ in range(rounds + 1):
        for racer in racers.values():
            racer.run(seconds)
    return {
        name: (statistics.median(racer.rates[2:]), statistics.median(racer.costs[2:]))
        for name, racer in racers.items()
    }


def show(title: str, rows: int, cell: Cell) -> None:
    """Print a table; ``x`` says how much more ours does in a second, and how much less it costs."""
    print(f"\n{title}, batches of {rows:,} rows")
    ours = cell.get("ours", (float("nan"), float("nan")))
    for name, (rate, cost) in cell.items():
        print(
            f"  {name:20}{rate * rows:12,.0f} rows/s{rate:9,.1f} commits/s ({ours[0] / rate:6.2f}x)"
            f"{cost * 1e3:8.2f} ms of CPU ({cost / ours[1]:6.2f}x)  {PEERS[name][2]}",
            flush=True,
        )


@contextlib.contextmanager
def bucket_of(server: str) -> Iterator[Place]:
    """Run an S3 server and give a place in it."""
    from tests.integration.stores.conftest import new_bucket

    os.environ |= {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": s3_servers.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": s3_servers.SECRET_KEY,
    }
    with s3_servers.running(server) as endpoint:
        yield Place("bench", new_bucket(endpoint), endpoint)


def many_commits(most: int) -> None:
    """What a commit costs after `most`, and after a thousand: processor time, laps of both in turn."""
    writers = {1000: begun(1000), most: begun(most)}
    laps: dict[int, list[float]] = {goal: [] for goal in writers}
    for _ in range(60):
        for goal, (writer, _) in writers.items():
            begin = time.process_time()
            for _ in range(20):
                commit_one(writer)
            laps[goal].append((time.process_time() - begin) / 20)
    for goal, (_, store) in writers.items():
        cost, size = statistics.median(laps[goal]), len(store.get("zarr.json"))
        ratio = cost / statistics.median(laps[1000])
        print(f"  after {goal:>10,} commits: {cost * 1e6:6.1f} us each ({ratio:.3f}), root of {size:,} bytes")


def begun(commits: int) -> tuple[sz.StreamWriter, sz.stores.Store]:
    """Return a writer that has made so many commits, and its store, in memory."""
    store = sz.stores.MemoryStore()
    schema = {"time": sz.stream.Field("i8", sorted=True), "price": "f8"}
    writer = sz.StreamWriter(store, schema=schema, chunk_rows=64)
    for _ in range(commits):
        commit_one(writer)
    return writer, store


def commit_one(writer: sz.StreamWriter) -> None:
    row = writer.rows
    writer.append({"time": [row], "price": [0.5]}, next_offset=row + 1)
    writer.commit()


def write_steadily(url: str, commits: int) -> None:
    """Commit a row each 20 ms, which is the time at which it was appended."""
    with sz.StreamWriter(url) as writer:
        for _ in range(commits):
            time.sleep(0.02)
            writer.append({"time": [time.time_ns()]})
            writer.commit()


def lag(commits: int) -> None:
    """How long after its append a row is in the hands of a reader of another process, the commit included."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"file://{folder}/lag"
        sz.StreamWriter(url, schema={"time": "i8"}, chunk_rows=CHUNK_ROWS).close()
        process = multiprocessing.get_context("spawn").Process(target=write_steadily, args=(url, commits))
        follow, lags = sz.open_stream(url).follow(poll=0.001, timeout=10), list[float]()
        process.start()
        for rows in follow:
            times = rows["time"][:]
            lags += ((time.time_ns() - times) / 1e6).tolist()
            if follow.row == commits:
                break
        process.join()
    p50, p99 = np.percentile(lags, [50, 99])
    print(f"  a reader that looks each ms has a row {p50:.2f} ms after its append (p50), {p99:.2f} ms (p99)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", default="versitygw", help="S3 server, or none")
    parser.add_argument("--folder", default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--commits", type=int, help="how many, instead of the race")
    parser.add_argument("--lag", action="store_true", help="a reader's, instead of the race")
    options = parser.parse_args()
    if options.commits:
        many_commits(options.commits)
        return
    if options.lag:
        lag(500)
        return
    peers = options.peers.split(",")
    for rows in BATCHES:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="streams_") as folder:
            show("local", rows, race(Place(folder), rows, peers, options.seconds, options.rounds))
    if options.server != "none":
        with bucket_of(options.server) as place:
            for rows in BATCHES:
                show(options.server, rows, race(place, rows, peers, options.seconds, options.rounds))


if __name__ == "__main__":
    main()
