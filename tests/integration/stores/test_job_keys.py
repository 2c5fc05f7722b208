"""A job on S3 whose workers have the wrong keys: no chunk becomes a dead letter."""

import numpy as np
import pytest

import streamzarr as sz
from streamzarr import jobs
from streamzarr.queue.letters import DeadLetterQueue
from streamzarr.stores import join_url
from tests.support.told import Told

from .conftest import new_bucket, new_store, server

DATA = np.arange(64, dtype="i4").reshape(16, 4)


@pytest.fixture(scope="module")
def store(s3_keys):
    with server("versitygw") as endpoint:  # which, unlike the emulator, looks at keys
        yield new_store(endpoint, new_bucket(endpoint))


def test_workers_with_wrong_keys_wait_and_those_with_the_right_ones_do_it_all(embedded, store):
    source, target = (join_url(store.url, name) for name in ("a.zarr", "b.zarr"))
    wrong = {"AWS_SECRET_ACCESS_KEY": "none-of-yours"}
    sz.create_array(source, data=DATA, chunks=(1, 4))
    with jobs.submit("copy", source, target, broker=embedded.broker, prefix=embedded.prefix) as job:
        told = Told()
        with embedded.fleet(2, roots=[store.url], attempts=2, env=wrong, stderr=told):
            told.until("pauses at")
            assert job.progress().dead == 0
        assert "none-of-yours" not in told.getvalue()
        with embedded.open() as broker:
            assert DeadLetterQueue(broker, embedded.topics.dead).ls() == []
        with embedded.fleet(2, roots=[store.url]):
            report = job.wait(120)
    assert (report.state, report.written, report.dead) == ("done", 16, 0)
    np.testing.assert_array_equal(sz.open_array(target)[...], DATA)
