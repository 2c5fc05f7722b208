"""A job on S3 through an intermediate array there."""

import numpy as np
import pytest

import streamzarr as sz
from streamzarr import jobs
from streamzarr.jobs.scratch import prepare
from streamzarr.stores import join_url, open_store

DATA = np.random.default_rng(3).normal(size=(64, 32, 32)).astype("f4")


@pytest.mark.parametrize("ending", ["done", "forgotten"])
def test_the_intermediate_array_of_a_job_on_s3_goes_away(embedded, s3_store, ending):
    source, target = (join_url(s3_store.url, name) for name in ("a.zarr", "b.zarr"))
    sz.create_array(source, data=DATA, chunks=(1, 32, 32))
    how = {"broker": embedded.broker, "prefix": embedded.prefix}
    job = jobs.submit("copy", source, target, chunks=(64, 4, 4), max_task_bytes=100_000, **how)
    with job:
        stages = job.plan.stages
        assert stages[0].scratch, "as many as requests are worth, which is measured"
        assert stages[0].target == join_url(s3_store.url, f"b.zarr.scratch/{job.id}/0")
        if ending == "done":
            with embedded.fleet(1, roots=[s3_store.url]):
                assert job.wait(120).state == "done"
            np.testing.assert_array_equal(sz.open_array(target)[...], DATA)
        else:
            job.cancel()
            prepare(job.id, stages, 0, begun=False)
            sz.open_array(stages[0].target, mode="r+")[0] = 1
            assert jobs.forget(job.id, **how) == [job.id]
    assert {key.partition("/")[0] for key in open_store(s3_store.url).list()} == {"a.zarr", "b.zarr"}
