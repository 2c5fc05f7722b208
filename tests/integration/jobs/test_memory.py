"""What a worker holds at most: measured in a process of its own."""

import subprocess
import sys
import weakref

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.jobs.outcome import forget_frames

MIB = 1 << 20
CHUNK = 16 * MIB
SCRIPT = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor

import msgspec
import streamzarr.zarr as sz
from streamzarr.jobs.execute import TaskExecutor, layout_of
from streamzarr.jobs.heap import share_heap
from streamzarr.jobs.wire import Stage, Task, encode
from tests.support.inline import carry_out

share_heap()
folder, max_bytes = sys.argv[1], int(sys.argv[2])
target = sz.open_array(f"{folder}/b.zarr")
stage = msgspec.Raw(encode(Stage("copy", f"{folder}/a.zarr", f"{folder}/b.zarr", layout_of(target))))
execute = TaskExecutor([folder], max_bytes=max_bytes)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(6) as threads:
    list(threads.map(lambda number: carry_out(execute, Task(1, "job", number, (number,), stage)), range(12)))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_six_threads_hold_no_more_than_max_bytes(tmp_path):
    source = sz.create_array(tmp_path / "a.zarr", shape=(12 * CHUNK,), chunks=CHUNK, dtype="u1")
    block = np.random.default_rng(0).integers(0, 256, CHUNK, "u1")  # does not compress
    for number in range(12):
        source[number * CHUNK : (number + 1) * CHUNK] = block
    sz.create_array(tmp_path / "b.zarr", shape=(12 * CHUNK,), chunks=CHUNK, dtype="u1")
    max_bytes = 4 * CHUNK  # of one such task; six at once take more than three times that
    script = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(max_bytes)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert int(script.stdout) < max_bytes + 24 * MIB
    assert (sz.open_array(tmp_path / "b.zarr")[-CHUNK:] == block).all()


def test_a_failure_that_waits_to_be_settled_keeps_no_block():
    blocks = []

    def transform(block):
        blocks.append(weakref.ref(block))
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    def task():
        transform(np.zeros(1000))

    try:
        task()
    except ValueError as error:
        failure = error
    failure.__cause__.__cause__ = failure  # in a circle
    assert blocks[0]() is not None
    forget_frames(failure)
    assert blocks[0]() is None
