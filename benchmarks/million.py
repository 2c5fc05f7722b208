"""A job of a million chunks: is memory flat, is the progress line alive, and what does a chunk cost?

Without ``--chunk-kib`` the chunks are the smallest there are, one byte each, neither compressed nor read one
by one: what is left is the cost of counting, queueing and writing a file. With ``--chunk-kib 16`` they are
16 KiB of float32, a smooth field with noise that zstd makes a quarter of: 16 GB are read from shards, chunk
by chunk, decoded, encoded and written to files of their own. A million of these take 8 GB of disk.

Time is from ``submit`` to the last result, without the making of the source. Memory is that of each process
(submitter, workers) at every tenth of the job; the gap is the longest time between two reports to whoever
waits. At the end samples of the target are compared with the source.

    python benchmarks/million.py [--chunks 1000000] [--chunk-kib 16] [--workers 2] [--folder DIR] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

import streamzarr as sz
from streamzarr import jobs
from streamzarr.fleet import Fleet
from streamzarr.jobs import JobReport

PARTS = 10
BATCH = 1000
"""Chunks of the target in a chunk of the source, or in a shard."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Where the job and the processes are."""

    seconds: float
    written: int
    submitter_mb: float
    workers_mb: list[float]


class Watch:
    """Takes a sample at every tenth of the job, and the longest time between two reports."""

    def __init__(self, chunks: int, workers: list[psutil.Process]) -> None:
        self.samples: list[Sample] = []
        self.gap = 0.0
        self._step = max(1, chunks // PARTS)
        self._workers = workers
        self._start = self._last = time.perf_counter()

    def __call__(self, report: JobReport) -> None:
        now = time.perf_counter()
        self.gap, self._last = max(self.gap, now - self._last), now
        if report.written >= self._step * (len(self.samples) + 1) or (
            report.complete and len(self.samples) < PARTS
        ):
            self.samples.append(
                Sample(
                    now - self._start,
                    report.written,
                    psutil.Process().memory_info().rss / 1e6,
                    [process.memory_info().rss / 1e6 for process in self._workers],
                )
            )


def make_bytes(url: str, chunks: int) -> None:
    """Write an array of ones, one byte for each chunk of the target."""
    array = sz.create_array(url, shape=(chunks,), chunks=(BATCH,), dtype="i1")
    for start in range(0, chunks, BATCH * 1000):
        array[start : start + BATCH * 1000] = np.int8(1)


def make_field(url: str, chunks: int, cells: int) -> None:
    """Write a smooth field with noise, whose chunks are those of the target, in shards."""
    array = sz.create_array(
        url,
        shape=(chunks * cells,),
        chunks=(cells,),
        shards=(BATCH * cells,),
        dtype="f4",
        compressors="zstd",
    )
    at = np.arange(BATCH * cells)
    wave = (
        20 * np.sin(at / 500) + 100 * np.sin(at / 37_000) + np.random.default_rng(0).normal(0, 0.05, at.size)
    )
    for start in range(0, chunks * cells, at.size):
        level = 50 * np.sin(start / 1e9)
        array[start : start + at.size] = np.round(wave[: chunks * cells - start] + level, 1).astype("f4")


def check(source: str, target: str, cells: int) -> None:
    """Compare parts of the target with the source: at its beginning, in its middle, at its end."""
    a, b = sz.open_array(source), sz.open_array(target)
    size, length = a.shape[0], BATCH * cells
    for start in (0, size // 2, max(0, size - length)):
        assert np.array_equal(a[start : start + length], b[start : start + length]), start


def run(folder: Path, chunks: int, cells: int, workers: int, threads: int, broker: str) -> Watch:
    source, target = str(folder / "a.zarr"), str(folder / "b.zarr")
    if cells == 1:
        make_bytes(source, chunks)
    else:
        make_field(source, chunks, cells)
    prefix = f"million-{os.getpid()}"
    with Fleet(broker, workers, roots=[str(folder)], prefix=prefix, threads=threads) as fleet:
        watch = Watch(chunks, [psutil.Process(status.pid) for status in fleet.status()])
        with jobs.submit(
            "copy",
            source,
            target,
            broker=broker,
            prefix=prefix,
            chunks=cells,
            compressors=None if cells == 1 else "zstd",
        ) as job:
            report = job.wait(progress=watch)
        assert report.complete, report
    check(source, target, cells)
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--chunk-kib", type=int, help="of a decoded chunk; one byte without it")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4, help="of each worker: a chunk waits for the disk")
    parser.add_argument("--folder", help="where the arrays are; a temporary one is made in it")
    parser.add_argument("--broker", help="an embedded one in a temporary folder without it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cells = options.chunk_kib * 256 if options.chunk_kib else 1
    with tempfile.TemporaryDirectory(prefix="million-", dir=options.folder) as name:
        folder = Path(name)
        broker = options.broker or f"sqlite:///{folder}/queue.db"
        watch = run(folder, options.chunks, cells, options.workers, options.threads, broker)
    if options.json:
        print(json.dumps({"gap": watch.gap, "samples": [asdict(sample) for sample in watch.samples]}))
        return
    print(f"{'written':>10} {'s':>7} {'chunks/s':>8} {'MB/s':>6} {'submitter MB':>13}  workers MB")
    for sample in watch.samples:
        rate = sample.written / sample.seconds
        workers = "  ".join(f"{size:.1f}" for size in sample.workers_mb)
        print(
            f"{sample.written:10,} {sample.seconds:7.1f} {rate:8.0f} "
            f"{rate * (options.chunk_kib or 0) * 1024 / 1e6:6.0f} {sample.submitter_mb:13.1f}  {workers}"
        )
    print(f"longest time between two reports: {watch.gap:.2f} s")


if __name__ == "__main__":
    main()
