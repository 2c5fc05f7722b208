"""The producer emits only what the workers' lag allows, and its memory does not grow with the job."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import psutil

import streamzarr as sz

TASKS = 20_000
MAX_LAG = 1000

SUBMIT = f"""
import sys
from streamzarr import jobs
source, target, broker, prefix = sys.argv[1:]
job = jobs.submit(
    "copy", source, target, broker=broker, prefix=prefix, compressors="zstd", max_lag={MAX_LAG},
    max_task_bytes=1,  # so that each task is one chunk
)
print(job.id, flush=True)
print(job.wait().state, flush=True)
"""


def held_at(bench, lag, timeout=60):
    """Wait until `lag` tasks are queued; then make sure that there are no more for a second."""
    deadline = time.monotonic() + timeout
    with bench.open() as broker:
        while (queued := bench.queued(broker)) < lag:
            assert time.monotonic() < deadline, f"{queued} tasks queued, expected {lag}"
            threading.Event().wait(0.05)
        threading.Event().wait(1.0)
        return bench.queued(broker)


def test_the_producer_holds_at_max_lag_and_its_memory_is_flat(bench, record_property):
    # All but a few chunks are fill value, so that workers are quick and the producer is what is measured.
    array = sz.create_array(bench.url("a.zarr"), shape=(TASKS * 4,), chunks=(4,), dtype="i4", fill_value=0)
    array[:40] = np.arange(1, 41)
    arguments = [bench.url("a.zarr"), bench.url("b.zarr"), bench.broker, bench.prefix]
    submitter = subprocess.Popen(
        [sys.executable, "-c", SUBMIT, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        submitter.stdout.readline()
        assert held_at(bench, MAX_LAG) == MAX_LAG
        memory = psutil.Process(submitter.pid)
        before = memory.memory_info().rss
        most = longest = 0
        over = threading.Event()

        def sample():
            nonlocal most, longest
            with bench.open() as broker:
                while not over.wait(0.1):
                    most = max(most, memory.memory_info().rss)
                    longest = max(longest, bench.queued(broker))

        sampler = threading.Thread(target=sample)
        sampler.start()
        with bench.fleet():
            assert submitter.stdout.readline().strip() == "done"
        over.set()
        sampler.join()
        record_property("producer_mb", (before / 1e6, most / 1e6))
        assert longest <= MAX_LAG
        assert most - before < 16e6
    finally:
        submitter.kill()
        submitter.wait()
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], array[...])


def test_a_slow_transform_holds_the_producer_too(embedded, transforms):
    data = np.arange(3000, dtype="i4")
    sz.create_array(embedded.url("a.zarr"), data=data, chunks=(1,))
    gate = embedded.url("gate")
    os.mkfifo(gate)
    with (
        embedded.fleet(2, transforms=transforms),
        embedded.submit(
            "map", "a.zarr", "b.zarr", transform="gated", params={"gate": gate}, max_lag=300, max_task_bytes=1
        ) as job,
    ):
        assert held_at(embedded, 300) == 300
        with open(gate, "w") as fifo:
            fifo.write("x" * 30_000)
            fifo.flush()
            assert job.wait(120).complete
    np.testing.assert_array_equal(sz.open_array(embedded.url("b.zarr"))[...], data + 1)
