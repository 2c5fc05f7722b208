"""A queue file that is deleted under a worker: it ends with one sentence, and works on no unlinked file."""

import os
import subprocess
import sys

import numpy as np
import pytest

import streamzarr as sz


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_a_worker_ends_with_one_sentence(embedded, replaced):
    sz.create_array(embedded.url("a.zarr"), data=np.arange(64), chunks=16)
    command = [sys.executable, "-m", "streamzarr", "worker", "--processes", "1", "--broker", embedded.broker]
    worker = subprocess.Popen(
        [*command, "--root", str(embedded.folder), "--prefix", embedded.prefix],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with embedded.submit("copy", "a.zarr", "b.zarr") as job:
            assert job.wait(60).state == "done"
        for name in ("queue.db", "queue.db-wal", "queue.db-shm"):
            if (embedded.folder / name).exists():
                os.unlink(embedded.folder / name)
        if replaced:
            with embedded.open() as broker:
                embedded.topics.ensure(broker)
        _, said = worker.communicate(timeout=120)
    finally:
        worker.kill()
        worker.wait()
    assert worker.returncode == 2, said
    assert "was deleted or replaced while it was in use" in said
    assert "Traceback" not in said.splitlines()[-1]
