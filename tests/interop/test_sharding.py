"""Shards, both ways, with zarr-python, its zarrs pipeline, and tensorstore; and zarrs on plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
import tensorstore as ts
import zarr

import streamzarr.zarr as sz
from streamzarr.zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(params=["zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs.ZarrsCodecPipeline"])
def pipeline(request):
    with zarr.config.set({"codec_pipeline.path": request.param}):
        yield request.param


VALUES = np.arange(11 * 9, dtype="i4").reshape(11, 9)


def theirs_of(path):
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    return ts.open(spec).result().read().result()


@pytest.mark.parametrize("location", ["start", "end"])
def test_ours_is_read(tmp_path, pipeline, location):
    codec = ShardingCodec((2, 2), (BytesCodec(), ZstdCodec(), Crc32cCodec()), index_location=location)
    z = sz.create_array(
        str(tmp_path),
        shape=(11, 9),
        chunks=(6, 4),
        dtype="i4",
        serializer=codec,
        compressors=None,
        fill_value=7,
    )
    z[...] = VALUES
    z[1:4, 3:] = 7
    expected = VALUES.copy()
    expected[1:4, 3:] = 7
    theirs = zarr.open_array(tmp_path, mode="r")
    assert np.array_equal(theirs[...], expected)
    assert np.array_equal(theirs[3:8, 5], expected[3:8, 5])
    assert np.array_equal(theirs_of(tmp_path), expected)


@pytest.mark.parametrize("location", ["start", "end"])
def test_we_read_theirs(tmp_path, pipeline, location):
    codec = zarr.codecs.ShardingCodec(chunk_shape=(2, 2), index_location=location)
    theirs = zarr.create_array(
        tmp_path,
        shape=(11, 9),
        chunks=(6, 4),
        dtype="i4",
        serializer=codec,
        compressors=None,
        filters=None,
        fill_value=7,
    )
    theirs[...] = VALUES
    theirs[1:4, 3:] = 7
    ours = sz.open_array(str(tmp_path), mode="r+")
    assert np.array_equal(ours[...], theirs[...])
    assert np.array_equal(ours[::3, 1::2], theirs[...][::3, 1::2])
    ours[5:, :2] = -1
    expected = VALUES.copy()
    expected[1:4, 3:] = 7
    expected[5:, :2] = -1
    assert np.array_equal(zarr.open_array(tmp_path, mode="r")[...], expected)


def test_metadata_is_written_as_zarr_python_writes_it(tmp_path):
    options = {
        "shape": (8, 8),
        "chunks": (2, 2),
        "shards": (4, 4),
        "dtype": "i2",
        "compressors": [zarr.codecs.BloscCodec(), zarr.codecs.Crc32cCodec()],
        "filters": [zarr.codecs.TransposeCodec(order=(1, 0))],
        "dimension_names": ["a", None],
    }
    sz.create_array(str(tmp_path / "ours"), **options)
    zarr.create_array(tmp_path / "theirs", **options)
    assert (tmp_path / "ours/zarr.json").read_text() == (tmp_path / "theirs/zarr.json").read_text()
