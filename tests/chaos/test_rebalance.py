"""Workers join and leave during a job: nothing is lost, and what runs twice writes identical bytes."""

import random

import numpy as np
import pytest

import streamzarr as sz
from tests.support.bench import tree_digest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def test_workers_join_and_leave_during_a_job(bench):
    data = np.random.default_rng(5).integers(0, 1000, 4000 * 1024).astype("i4")
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(1024,), compressors="blosc")
    assert bench.run("copy", "a.zarr", "undisturbed.zarr", compressors="zstd", timeout=300).complete
    rng = random.Random(3)
    with (
        bench.fleet(2) as fleet,
        bench.submit("copy", "a.zarr", "b.zarr", compressors="zstd", max_lag=400) as job,
    ):
        for size, moment in [(4, 300), (1, 900), (3, 1500), (2, 2100), (4, 2700), (1, 3300)]:
            assert job._tracker.wait_for(
                lambda at=moment: job._ledger.decided >= at + rng.randrange(100), 120
            )
            fleet.resize(size)
        # A second fleet of the same group, which leaves again before the end.
        with bench.fleet(1):
            assert job._tracker.wait_for(lambda: job._ledger.decided >= 3600, 120)
        report = job.wait(120)
    assert (report.state, report.written, report.dead) == ("done", 4000, 0)
    assert tree_digest(bench.url("b.zarr")) == tree_digest(bench.url("undisturbed.zarr"))
