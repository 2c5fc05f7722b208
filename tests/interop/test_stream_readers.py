"""Readers of other implementations open a stream while it grows, and see committed rows only.

Who opens the group sees all fields at one length; who opens a field directly may lag by a commit. 1,000 opens
each take STREAMZARR_TEST_STREAM_OPENS=1000.
"""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorstore as ts
import xarray as xr
import zarr

import streamzarr as sz
from tests.support.growing_stream import SCHEMA, expected

OPENS = int(os.environ.get("STREAMZARR_TEST_STREAM_OPENS", "12"))

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def zarr_group(path):
    group = zarr.open_group(path, mode="r")
    return {name: group[name][...] for name in SCHEMA}


def zarr_arrays(path):
    return {name: zarr.open_array(path / name, mode="r")[...] for name in SCHEMA}


def zarrs_group(path):
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return zarr_group(path)


def xarray_dataset(path):
    with xr.open_zarr(path, chunks=None, mask_and_scale=False) as found:
        return {name: found[name].values for name in SCHEMA}


def tensorstore_arrays(path):
    specs = {
        name: {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path / name)}} for name in SCHEMA
    }
    return {name: ts.open(spec).result().read().result() for name, spec in specs.items()}


def ours(path):
    return sz.open_stream(path).to_numpy()


@contextlib.contextmanager
def growing(path):
    """Yield a function that lets the stream at `path` grow on, while its caller goes on as well."""
    command = [sys.executable, "-m", "tests.support.growing_stream", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def grow():
            assert process.stdout.readline() == "ready\n"  # no further behind than one turn
            process.stdin.write("\n")
            process.stdin.flush()

        try:
            yield grow
        finally:
            process.stdin.close()
            code = process.wait(60)
    assert code == 0


@pytest.mark.parametrize(
    "read", [zarr_group, zarr_arrays, zarrs_group, xarray_dataset, tensorstore_arrays, ours]
)
def test_a_growing_stream_shows_committed_rows_only(tmp_path, read):
    opens_group = read not in (zarr_arrays, tensorstore_arrays)
    lengths = dict.fromkeys(SCHEMA, 0)
    with growing(tmp_path) as grow:
        for _ in range(OPENS):
            grow()
            before = sz.open_stream(tmp_path).rows
            found = read(tmp_path)
            after = sz.open_stream(tmp_path).rows
            right = expected(after)
            for name, values in found.items():
                assert lengths[name] <= len(values) <= after
                assert len(values) >= before or not opens_group
                np.testing.assert_array_equal(values, right[name][: len(values)], name)
                lengths[name] = len(values)
            assert len(set(lengths.values())) == 1 or not opens_group
    assert {name: len(values) for name, values in read(tmp_path).items()} == dict.fromkeys(
        SCHEMA, sz.open_stream(tmp_path).rows
    )
    assert lengths["value"] > 0
