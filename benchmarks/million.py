"""A job of a million tasks: is memory flat, is the progress line alive, and what does a task cost?

The smallest tasks there are, one byte each, from a sparse array to chunks of one cell, on the embedded
broker. Memory is that of each process (submitter, workers) at every tenth of the job; the gap is the longest
time between two reports to whoever waits.

    python benchmarks/million.py [--tasks 1000000] [--workers 2] [--threads 4] [--folder DIR] [--json]
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
BLOCK = 1000
"""Cells of a chunk of the source."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Where the job and the processes are."""

    seconds: float
    written: int
    submitter_mb: float
    workers_mb: list[float]


class Watch:
    """Takes a sample at every tenth of the job, and the longest time between two reports."""

    def __init__(self, tasks: int, workers: list[psutil.Process]) -> None:
        self.samples: list[Sample] = []
        self.gap = 0.0
        self._step = max(1, tasks // PARTS)
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


def run(folder: Path, tasks: int, workers: int, threads: int, broker: str) -> Watch:
    source = sz.create_array(str(folder / "a.zarr"), shape=(tasks,), chunks=(BLOCK,), dtype="i1")
    for start in range(0, tasks, BLOCK * 1000):
        source[start : start + BLOCK * 1000] = np.int8(1)
    prefix = f"million-{os.getpid()}"
    with Fleet(broker, workers, roots=[str(folder)], prefix=prefix, threads=threads) as fleet:
        watch = Watch(tasks, [psutil.Process(status.pid) for status in fleet.status()])
        with jobs.submit(
            "copy",
            str(folder / "a.zarr"),
            str(folder / "b.zarr"),
            broker=broker,
            prefix=prefix,
            chunks=1,
            compressors=None,
        ) as job:
            report = job.wait(progress=watch)
        assert report.complete, report
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4, help="of each worker: a chunk waits for the disk")
    parser.add_argument("--folder", help="where the arrays are; a temporary one is made in it")
    parser.add_argument("--broker", help="an embedded one in a temporary folder without it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="million-", dir=options.folder) as name:
        folder = Path(name)
        broker = options.broker or f"sqlite:///{folder}/queue.db"
        watch = run(folder, options.tasks, options.workers, options.threads, broker)
    if options.json:
        print(json.dumps({"gap": watch.gap, "samples": [asdict(sample) for sample in watch.samples]}))
        return
    print(f"{'written':>10} {'s':>7} {'tasks/s':>8} {'submitter MB':>13}  workers MB")
    for sample in watch.samples:
        rate = sample.written / sample.seconds
        workers = "  ".join(f"{size:.1f}" for size in sample.workers_mb)
        print(
            f"{sample.written:10,} {sample.seconds:7.1f} {rate:8.0f} {sample.submitter_mb:13.1f}  {workers}"
        )
    print(f"longest time between two reports: {watch.gap:.2f} s")


if __name__ == "__main__":
    main()
