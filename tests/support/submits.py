"""A folder that jobs are submitted in, and what their register says."""

import numpy as np

import streamzarr as sz
from streamzarr import jobs

DATA = np.arange(64, dtype="f4")


def prepared(bench, monkeypatch):
    """Go to the folder of `bench`, with a source there, and a target that is there already."""
    monkeypatch.chdir(bench.folder)
    sz.create_array("a.zarr", data=DATA, chunks=(8,), attributes={"units": "kelvin"})
    sz.create_array("old.zarr", data=DATA + 1, chunks=(16,))
    return bench


def states(bench):
    with bench.open() as broker:
        return {job: entry.cancelled for job, entry in jobs.read_register(broker, bench.topics).items()}
