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


BLOCKS = """
import sys
from pathlib import Path

import msgspec
import streamzarr.zarr as sz
from streamzarr.jobs.block import Box
from streamzarr.jobs.budget import bytes_of_box, held_by
from streamzarr.jobs.execute import TaskExecutor, layout_of
from streamzarr.jobs.heap import share_heap
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.wire import Stage, Task, encode
from tests.support.inline import carry_out

def peak():
    status = Path("/proc/self/status").read_text()  # ru_maxrss is at least that of the process that forked
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


share_heap()
folder, block = sys.argv[1], tuple(map(int, sys.argv[2:]))
source, target = sz.open_array(f"{folder}/a.zarr"), sz.open_array(f"{folder}/b.zarr")
stage = Stage("copy", f"{folder}/a.zarr", f"{folder}/b.zarr", layout_of(target), block=block)
numbering, execute, most = Numbering.of([stage]), TaskExecutor([folder]), 0
before = peak()
for run in numbering.runs([range(numbering.tasks)]):
    box = Box.of((number, numbering.chunk(number)) for number in run)
    most = max(most, bytes_of_box(held_by(stage, source, target), stage, source, box))
    chunk, raw = numbering.chunk(run.start), msgspec.Raw(encode(stage))
    carry_out(execute, Task(1, "job", run.start, chunk, raw, len(run)))
print(peak() - before, most)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("chunks", [(32, 64, 512), (32, 16, 64)])
def test_a_task_of_many_chunks_holds_its_box_and_little_more(tmp_path, chunks):
    """Neither copies of all its chunks, nor the box of the task before."""
    shape = (32, 512, 1024)  # 64 MiB; a task owns half of it
    source = sz.create_array(tmp_path / "a.zarr", shape=shape, chunks=(1, 512, 1024), dtype="f4")
    values = np.random.default_rng(0).random(shape[1:], "f4")
    for index in range(32):
        source[index] = values + np.float32(index)
    sz.create_array(tmp_path / "b.zarr", shape=shape, chunks=chunks, dtype="f4")
    block = [1, 512 // chunks[1], 1024 // chunks[2] // 2]
    script = subprocess.run(
        [sys.executable, "-c", BLOCKS, str(tmp_path), *map(str, block)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    grown, charged = map(int, script.stdout.split())
    assert 32 * MIB <= charged <= 80 * MIB
    assert grown < charged + 24 * MIB
    assert (sz.open_array(tmp_path / "b.zarr")[31] == values + np.float32(31)).all()


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
