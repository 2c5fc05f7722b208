"""Chunk jobs against a plain loop: what do queue, acknowledgements and supervision cost?

Two worker processes carry out a map job; two bare processes do the same read, decode, transform, encode and
durable write of the same chunks in a loop, chunk by chunk, without a queue. Rounds are interleaved, because
machines drift. The ratios are the loop's time to the job's: by the clock, from ``submit`` to the last
result, and by processor time of ours, the fair one where a broker's JVM shares the cores. Each target is
new, so that nobody's removal of an old one is counted. The last line is the producer's cost a chunk, of
chunks of one byte.

    python benchmarks/jobs.py [--broker kafka://127.0.0.1:9092] [--rounds 5] [--kib 16 256] [--json]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

import numpy as np
import psutil

import streamzarr as sz
from streamzarr import jobs
from streamzarr.fleet import Fleet
from streamzarr.jobs import JobTopics
from streamzarr.queue import open_broker

HERE = Path(__file__).parent
PROCESSES = 2
CODECS = ("zstd", "blosc")
SIDES = {16: 64, 256: 256, 1024: 512}
"""Values along each axis of a chunk, by the KiB of a decoded one."""
WIDTH = 4096
"""Values along the second axis: a multiple of each side."""


@sz.transform
def bench_affine(block):
    return block * np.float32(2) + np.float32(1)


def make_source(folder: Path, codec: str, kib: int, megabytes: int) -> str:
    """A smooth field with noise in float32, which compresses about as real measurements do."""
    side, rows = SIDES[kib], megabytes * (1 << 18) // WIDTH
    rng = np.random.default_rng(0)
    wave = np.sin(np.linspace(0, 40, WIDTH, dtype="f4"))
    url = str(folder / f"source-{codec}-{kib}.zarr")
    array = sz.create_array(url, shape=(rows, WIDTH), chunks=(side, side), dtype="f4", compressors=codec)
    for start in range(0, rows, side):
        amplitude = 1 + np.arange(start, start + side)[:, np.newaxis] / side % 7
        noise = rng.normal(0, 0.05, (side, WIDTH))
        array[start : start + side] = np.round(wave * amplitude + noise, 2).astype("f4")
    return url


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that something took."""

    wall: float
    cpu: float


def loop(source: str, target: str, part: int, ready, go, spent) -> None:
    a, b = sz.open_array(source), sz.open_array(target, mode="r+")
    ready.release()
    go.wait()
    begun = time.process_time()
    for chunk in islice(np.ndindex(a.grid.shape), part, None, PROCESSES):
        b.write_chunk(chunk, bench_affine(a.read_chunk(chunk)))
    spent.put(time.process_time() - begun)


def time_loop(source: str, target: str) -> Cost:
    like = sz.open_array(source)
    sz.create_array(
        target, shape=like.shape, chunks=like.chunks, dtype=like.dtype, compressors=like.compressors
    )
    context = multiprocessing.get_context("spawn")
    ready, go, spent = context.Semaphore(0), context.Event(), context.Queue()
    processes = [
        context.Process(target=loop, args=(source, target, part, ready, go, spent))
        for part in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    start = time.perf_counter()
    go.set()
    cpu = sum(spent.get() for _ in processes)
    wall = time.perf_counter() - start
    for process in processes:
        process.join()
    shutil.rmtree(target)
    return Cost(wall, cpu)


def time_job(broker: str, prefix: str, source: str, target: str, fleet: Fleet) -> Cost:
    workers = [psutil.Process(status.pid) for status in fleet.status()]

    def cpu() -> float:
        return time.process_time() + sum(sum(worker.cpu_times()[:2]) for worker in workers)

    before, start = cpu(), time.perf_counter()
    with jobs.submit("map", source, target, broker=broker, prefix=prefix, transform="bench_affine") as job:
        report = job.wait(600)
    cost = Cost(time.perf_counter() - start, cpu() - before)
    assert report.complete, report
    shutil.rmtree(target)
    return cost


def throughput(
    broker: str, folder: Path, rounds: int, sizes: Sequence[int], megabytes: int, threads: int
) -> list[dict[str, object]]:
    rows = []
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    with Fleet(
        broker, PROCESSES, roots=[str(folder)], transforms=["jobs"], prefix=prefix, threads=threads
    ) as fleet:
        warm = make_source(folder, "gzip", 256, 8)
        time_job(broker, prefix, warm, str(folder / "warm.zarr"), fleet)
        for codec, kib in product(CODECS, sizes):
            source = make_source(folder, codec, kib, megabytes)
            pairs = [
                (
                    time_job(broker, prefix, source, str(folder / "j.zarr"), fleet),
                    time_loop(source, str(folder / "l.zarr")),
                )
                for _ in range(rounds)
            ]
            shutil.rmtree(source)
            ratios = sorted(plain.wall / job.wall for job, plain in pairs)
            rows.append(
                {
                    "codec": codec,
                    "chunk_kib": kib,
                    "job_mb_s": megabytes * 1.048576 / statistics.median(job.wall for job, _ in pairs),
                    "loop_mb_s": megabytes * 1.048576 / statistics.median(plain.wall for _, plain in pairs),
                    "ratio": statistics.median(ratios),
                    "ratio_min": ratios[0],
                    "ratio_max": ratios[-1],
                    "cpu_ratio": statistics.median(plain.cpu / job.cpu for job, plain in pairs),
                }
            )
        fleet.stop()
    return rows


def producer_cost(broker: str, folder: Path, chunks: int) -> dict[str, object]:
    """Emit a job with no worker there; count time and processor time until all is durable."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    source = str(folder / "tiny.zarr")
    sz.create_array(source, shape=(chunks,), chunks=(1,), dtype="u1", overwrite=True)
    topics = JobTopics(prefix)
    with open_broker(broker) as opened:
        topics.ensure(opened)
        cpu, start = time.process_time(), time.perf_counter()
        with jobs.submit(
            "copy",
            source,
            str(folder / "t.zarr"),
            broker=opened,
            prefix=prefix,
            max_lag=10 * chunks,
            overwrite=True,
        ) as job:
            while job.progress().emitted < chunks:
                job.wait(0.01)
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"chunks": chunks, "us_wall": wall / chunks * 1e6, "us_cpu": cpu / chunks * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--broker", help="default: an embedded broker in the benchmark's folder")
    parser.add_argument("--folder", help="where arrays are written; default: a temporary folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--kib", type=int, nargs="+", choices=SIDES, default=list(SIDES), help="sizes of a decoded chunk"
    )
    parser.add_argument("--megabytes", type=int, default=256, help="size of each array, MiB; a multiple of 8")
    parser.add_argument("--threads", type=int, default=1, help="codec threads of each worker")
    parser.add_argument("--chunks", type=int, default=50_000, help="chunks of the producer's measurement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(HERE)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        broker = options.broker or f"sqlite:///{folder}/queue.db"
        rows = throughput(broker, folder, options.rounds, options.kib, options.megabytes, options.threads)
        cost = producer_cost(broker, folder, options.chunks)
    if options.json:
        print(json.dumps({"broker": broker, "throughput": rows, "producer": cost}, indent=2))
        return
    columns = f"{'codec':6} {'KiB':>5} {'job MB/s':>9} {'loop MB/s':>9} {'by cpu':>6} {'ratio':>6}"
    print(f"{columns}  (min-max of {options.rounds} rounds)")
    for row in rows:
        print(
            f"{row['codec']:6} {row['chunk_kib']:5} {row['job_mb_s']:9.0f} {row['loop_mb_s']:9.0f} "
            f"{row['cpu_ratio']:6.2f} {row['ratio']:6.2f}  ({row['ratio_min']:.2f}-{row['ratio_max']:.2f})"
        )
    print(f"producer: {cost['us_wall']:.1f} µs wall, {cost['us_cpu']:.1f} µs processor time a chunk")


if __name__ == "__main__":
    main()
