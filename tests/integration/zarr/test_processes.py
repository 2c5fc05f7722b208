"""Threads begin only where they pay, and arrays work on in children that are forked or spawned after use."""

import multiprocessing
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import streamzarr as sz
from tests.support.chunk_functions import read_and_write

VALUES = np.arange(1 << 19, dtype="i8").reshape(1024, 512)  # 4 MiB: chunks of 1 MiB are read on threads


def run(code, folder):
    """Run a program in an interpreter of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


NAMES = (
    "import os, threading\ncount = lambda: (threading.active_count(), len(os.listdir('/proc/self/task')))\n"
)
"""Python's threads, and those that the system counts: of C libraries, too. numpy may have begun its own."""


def test_importing_starts_no_thread(tmp_path):
    code = NAMES + "import numpy; before = count(); import streamzarr as sz; print(count() == before)\n"
    code += "sz.open_array, sz.zarr, sz.stores, sz.data; print(count() == before)\n"
    assert run(code, tmp_path) == "True\nTrue"


@pytest.mark.parametrize("store", ["memory://", "a.zarr"])
def test_small_reads_and_writes_start_no_thread(tmp_path, store):
    code = (
        NAMES
        + f"""
import numpy as np, streamzarr as sz
before = count()
for compressors in (None, "zstd", "blosc", "gzip"):
    for layout in ({{}}, {{"shards": (64, 64)}}, {{"zarr_format": 2}}):
        z = sz.create_array({store!r}, data=np.arange(4096.0).reshape(64, 64), compressors=compressors,
                            chunks=(16, 16), overwrite=True, **layout)
        assert z[3:40, 5] .shape == (37,)
        z[10:20] = 7
        z.append(np.zeros((3, 64)))
        z.attrs["a"] = 1
        assert sum(block.data.size for block in z.stream_chunks()) == z.size
        sz.open_array(z.store)[:]
print(count() == before)
"""
    )
    assert run(code, tmp_path) == "True"


def made(kind, folder):
    """Return an array of 1 MiB chunks that has been used on threads, in a store of this kind."""
    place = "memory://" if kind == "memory" else folder / "z.zarr"
    z = sz.create_array(place, data=VALUES, chunks=(256, 512))
    if kind == "zip":
        zipped = folder / "z.zip"
        subprocess.run(
            [sys.executable, "-c", "import shutil; shutil.make_archive('z', 'zip', 'z.zarr')"],
            cwd=folder,
            check=True,
        )
        z = sz.open_array(f"zip://{zipped}")
    assert np.array_equal(z[:], VALUES)
    assert len(list(z.stream_chunks(concurrency=3))) == 4
    assert len(list(z.map_chunks(np.sum, concurrency=3))) == 4
    return z


def in_child(context, *arguments):
    child = context.Process(target=read_and_write, args=arguments)
    child.start()
    child.join(60)
    assert child.exitcode == 0


@pytest.mark.parametrize("kind", ["memory", "local", "zip"])
def test_a_fork_after_use_reads_and_writes(kind, tmp_path):
    z = made(kind, tmp_path)
    in_child(multiprocessing.get_context("fork"), z, VALUES, kind != "zip")
    # A child of memory has a copy; a file is one file.
    assert np.array_equal(z[0], VALUES[0] + (1 if kind == "local" else 0))
    assert np.array_equal(z[1:], VALUES[1:])


def test_a_fork_while_threads_are_reading_works(tmp_path):
    z = made("local", tmp_path)
    stream = iter(z.stream_chunks(concurrency=4, ordered=False))
    first = next(stream)
    in_child(multiprocessing.get_context("fork"), z, VALUES, False)
    assert sum(block.data.size for block in [first, *stream]) == VALUES.size


@pytest.mark.parametrize("kind", ["local", "zip"])
def test_a_spawned_process_after_use_reads_and_writes(kind, tmp_path):
    z = made(kind, tmp_path)
    in_child(multiprocessing.get_context("spawn"), z, VALUES, kind != "zip")
    assert np.array_equal(z[0], VALUES[0] + (1 if kind == "local" else 0))


def test_two_processes_that_write_one_sharded_array_by_shards_lose_nothing(tmp_path):
    """Each maps its half of the source; the halves meet between shards. Any other cut is refused."""
    sz.create_array(tmp_path / "source.zarr", data=VALUES, chunks=(64, 512))
    target = sz.create_array(
        tmp_path / "target.zarr", shape=VALUES.shape, dtype="i8", chunks=(16, 64), shards=(128, 256)
    )
    code = """
    import sys, numpy as np, streamzarr as sz
    source, target = sz.open_array("source.zarr"), sz.open_array("target.zarr", mode="r+")
    start, stop = map(int, sys.argv[1:] if len(sys.argv) > 1 else {rows})
    try:
        source.map_chunks(np.negative, region=slice(start, stop), concurrency=2).into(target)
        print("written")
    except sz.errors.ConfigError as error:
        print(error)
    """
    code = textwrap.dedent(code)
    both = [
        subprocess.Popen([sys.executable, "-c", code, *map(str, rows)], cwd=tmp_path, text=True,
                         stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        for rows in ((0, 512), (512, 1024))
    ]  # fmt: skip
    assert [process.communicate(timeout=120)[0].strip() for process in both] == ["written", "written"]
    assert np.array_equal(target[:], -VALUES)
    refused = run(code.replace("{rows}", "(0, 500)"), tmp_path)
    assert "cuts a shard" in refused
