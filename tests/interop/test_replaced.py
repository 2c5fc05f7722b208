"""Arrays that have replaced others, and those left half replaced, as other implementations read them."""

import json

import numpy as np
import pytest
import tensorstore as ts
import zarr

import streamzarr.zarr as sz
from streamzarr.errors import StoreError
from streamzarr.stores import LocalStore
from streamzarr.testing.faults import Fault, FaultyStore

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

VALUES = np.arange(1, 25, dtype="i4").reshape(4, 6)
LAYOUTS = {
    "v2": {"zarr_format": 2},
    "v3": {},
    "shards": {"shards": (4, 6)},
    "transposed": {"filters": [{"name": "transpose", "configuration": {"order": [1, 0]}}]},
    "named": {"dimension_names": ("y", "x"), "attributes": {"units": "m"}},
}


def by_tensorstore(place, zarr_format):
    driver = {2: "zarr", 3: "zarr3"}[zarr_format]
    return ts.open({"driver": driver, "kvstore": {"driver": "file", "path": str(place)}}).result()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_document_with_blanks_at_its_end_is_read_by_all(layout, tmp_path):
    made = [
        sz.create_array(tmp_path, data=VALUES * factor, chunks=(2, 3), overwrite=True, **LAYOUTS[layout])
        for factor in (1, 2)
    ]
    name = ".zarray" if layout == "v2" else "zarr.json"
    document = (tmp_path / name).read_bytes()
    assert document != document.rstrip()
    assert json.loads(document)["shape"] == [4, 6]
    assert np.array_equal(zarr.open_array(tmp_path, mode="r")[:], VALUES * 2)
    assert np.array_equal(by_tensorstore(tmp_path, made[1].zarr_format).read().result(), VALUES * 2)
    if layout != "v2":
        with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
            assert np.array_equal(zarr.open_array(tmp_path, mode="r")[:], VALUES * 2)
    zarr.open_array(tmp_path, mode="r+").attrs["by"] = "zarr-python"
    assert sz.open_array(tmp_path).attrs["by"] == "zarr-python"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_half_replaced_is_an_empty_array_to_all(layout, tmp_path):
    sz.create_array(tmp_path, data=VALUES, chunks=(2, 3), **LAYOUTS[layout])
    failing = FaultyStore(LocalStore(tmp_path), [Fault("delete", times=None)])
    with pytest.raises(StoreError):
        sz.create_array(failing, shape=(4, 6), dtype="f8", chunks=(4, 3), overwrite=True)
    half = sz.open_array(tmp_path)
    assert (half.shape, half.dtype) == ((0, 0), np.dtype("i4"))
    assert zarr.open_array(tmp_path, mode="r")[:].shape == (0, 0)
    assert by_tensorstore(tmp_path, half.zarr_format).shape == (0, 0)
