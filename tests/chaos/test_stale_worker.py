"""A worker that was stopped between its look at the target and its write comes back after the next job."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import streamzarr as sz
from tests.support.bench import tree_digest


@pytest.mark.parametrize("fill", [False, True], ids=["other values", "all fill"])
def test_a_worker_that_was_stopped_does_not_touch_the_next_jobs_target(bench, fill):
    data = np.arange(1, 129, dtype="i4")
    sz.create_array(bench.url("a.zarr"), data=data, chunks=16, fill_value=0)
    other = np.zeros_like(data) if fill else data + 1000
    sz.create_array(bench.url("other.zarr"), data=other, chunks=16, fill_value=0)
    with bench.submit("copy", "a.zarr", "b.zarr", overwrite=True):
        bench.until_emitted(8)
    command = [sys.executable, "-m", "tests.support.stopping_worker", bench.broker, bench.prefix]
    worker = subprocess.Popen([*command, str(bench.folder)])
    try:
        _, status = os.waitpid(worker.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "the worker ended before its first write"
        report = bench.run("copy", "other.zarr", "b.zarr", overwrite=True)
        assert report.state == "done"
        before = tree_digest(bench.url("b.zarr"))
        worker.send_signal(signal.SIGCONT)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
    assert tree_digest(bench.url("b.zarr")) == before
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], other)
