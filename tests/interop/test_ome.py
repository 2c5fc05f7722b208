"""Pyramids as OME-Zarr images: 0.4 in Zarr v2 and 0.5 in v3, by the models of the OME-Zarr community."""

import numpy as np
import ome_zarr_models.v04
import ome_zarr_models.v05
import pytest
import zarr

import streamzarr as sz
from tests.support.inline import run_inline

IMAGES = {2: ome_zarr_models.v04.Image, 3: ome_zarr_models.v05.Image}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "names",
    [
        ("y", "x"),
        ("time", "lat", "lon"),
        ("t", "c", "z", "y", "x"),
        ("channel", "y", "x"),
        ("member", "z", "y", "x"),
        (None, None),
        (None, None, None, None),
        (None, "x"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["mean", "nearest"])
def test_pyramids_are_valid_images(tmp_path, zarr_format, names, method):
    data = np.arange(4 ** len(names), dtype="u2").reshape((4,) * len(names))
    sz.create_array(tmp_path / "a.zarr", data=data, chunks=4, dimension_names=names)
    how = {"levels": 3, "method": method, "zarr_format": zarr_format}
    assert not run_inline(tmp_path, "downsample", "a.zarr", "p.zarr", **how)
    group = zarr.open_group(tmp_path / "p.zarr", mode="r")
    image = IMAGES[zarr_format].from_zarr(group)
    multiscale = image.ome_attributes.multiscales[0] if zarr_format == 3 else image.attributes.multiscales[0]
    axes = [axis.name for axis in multiscale.axes]
    assert axes == [name or f"dim_{at}" for at, name in enumerate(names)]
    assert [dataset.path for dataset in multiscale.datasets] == ["0", "1", "2"]
    for name in "012":
        array = group[name]
        if zarr_format == 3:
            assert list(array.metadata.dimension_names) == axes
        else:
            assert array.metadata.dimension_separator == "/"
            assert array.attrs["_ARRAY_DIMENSIONS"] == axes


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("names", [("x",), ("y", "x", "c"), ("x", "x"), ("a", "b", "c", "d", "e", "f")])
def test_what_is_no_valid_image_does_not_say_that_it_is_one(tmp_path, zarr_format, names):
    data = np.zeros((2,) * len(names), "u1")
    sz.create_array(tmp_path / "a.zarr", data=data, chunks=2, dimension_names=names)
    assert not run_inline(tmp_path, "downsample", "a.zarr", "p.zarr", zarr_format=zarr_format)
    attributes = zarr.open_group(tmp_path / "p.zarr", mode="r").attrs.asdict()
    assert not attributes.keys() & {"ome", "multiscales"}
    assert attributes["streamzarr.levels"]["axes"] == list(names)
