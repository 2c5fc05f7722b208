"""Memory of a producer whose workers are stopped, and of the same producer while they work.

A job of many tiny tasks is submitted from a process of its own. With no worker there it must hold at
``max_lag``; then workers start and it goes on to the end. The figures are its resident memory.

    python benchmarks/backpressure.py [--broker kafka://127.0.0.1:9092] [--tasks 100000] [--max-lag 1000]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import psutil

import streamzarr as sz
from streamzarr.flow.demand.lag import group_lag
from streamzarr.jobs import JobTopics
from streamzarr.queue import open_broker

SUBMIT = """
import sys
from streamzarr import jobs
source, target, broker, prefix, max_lag = sys.argv[1:]
with jobs.submit("copy", source, target, broker=broker, prefix=prefix, max_lag=int(max_lag)) as job:
    print(job.id, flush=True)
    print(job.wait().state, flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--broker", help="default: an embedded broker in a temporary folder")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--max-lag", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = options.broker or f"sqlite:///{folder}/queue.db"
        prefix = f"bench-{uuid.uuid4().hex[:8]}"
        topics = JobTopics(prefix)
        source, target = str(folder / "a.zarr"), str(folder / "b.zarr")
        sz.create_array(source, shape=(options.tasks * 4,), chunks=(4,), dtype="i4")
        command = [sys.executable, "-c", SUBMIT, source, target, broker, prefix, str(options.max_lag)]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as producer,
            open_broker(broker) as opened,
        ):
            assert producer.stdout is not None
            producer.stdout.readline()
            memory = psutil.Process(producer.pid).memory_info

            def lag() -> int:
                return group_lag(opened.describe(topics.tasks), opened.committed(topics.group, topics.tasks))

            pause = threading.Event()
            held = []
            for _ in range(50):
                pause.wait(0.1)
                held.append((lag(), memory().rss / 1e6))
            print(f"no worker: {held[-1][0]} tasks queued, {held[-1][1]:.1f} MB", flush=True)
            longest, most, start = 0, 0.0, time.monotonic()
            with sz.Fleet(broker, options.workers, roots=[name], prefix=prefix):
                while producer.poll() is None:
                    pause.wait(0.1)
                    if producer.poll() is None:
                        longest, most = max(longest, lag()), max(most, memory().rss / 1e6)
            state = producer.stdout.readline().strip()
            seconds = time.monotonic() - start
            print(f"{options.workers} workers: {state}, {options.tasks} tasks in {seconds:.0f} s")
            print(f"  at most {longest} tasks queued, {most:.1f} MB")


if __name__ == "__main__":
    main()
