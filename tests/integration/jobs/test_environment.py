"""What no task is to blame for makes no dead letters: workers wait, and go on when it is mended."""

import os
import shutil
import subprocess

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.queue.letters import DeadLetterQueue
from tests.support.told import Told

DATA = np.random.default_rng(0).integers(0, 255, (40, 65536)).astype("u1")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


@pytest.fixture
def small(embedded):
    """A file system of its own, of one megabyte."""
    folder = embedded.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def check(bench, report):
    assert (report.state, report.written, report.dead) == ("done", 40, 0)
    with bench.open() as broker:
        assert DeadLetterQueue(broker, bench.topics.dead).ls() == []


@as_root
def test_a_job_waits_while_the_disk_is_full(embedded, small):
    sz.create_array(embedded.url("a.zarr"), data=DATA, chunks=(1, 65536), compressors=None)
    told = Told()
    with embedded.submit("copy", "a.zarr", "small/b.zarr") as job, embedded.fleet(2, attempts=2, stderr=told):
        told.until("No space left on device")
        told.until("pauses at")
        remount(small, "size=16m")
        check(embedded, job.wait(120))
    np.testing.assert_array_equal(sz.open_array(str(small / "b.zarr"))[...], DATA)


@as_root
def test_a_job_waits_while_its_target_is_read_only(embedded, small):
    remount(small, "size=16m")
    sz.create_array(embedded.url("a.zarr"), data=DATA, chunks=(1, 65536), compressors=None)
    told = Told()
    with embedded.submit("copy", "a.zarr", "small/b.zarr") as job:
        embedded.until_emitted(1)
        remount(small, "ro")
        with embedded.fleet(2, attempts=2, stderr=told):
            told.until("pauses at")
            remount(small, "rw")
            check(embedded, job.wait(120))


def test_a_job_whose_source_is_away_as_a_whole_has_letters_that_say_so(embedded):
    sz.create_array(embedded.url("a.zarr"), data=DATA[:4], chunks=(1, 65536), compressors=None)
    with embedded.submit("copy", "a.zarr", "b.zarr") as job:
        embedded.until_emitted(1)
        shutil.rmtree(embedded.url("a.zarr"))
        with embedded.fleet(1):
            report = job.wait(60)
    assert (report.written, report.dead) == (0, 4)
