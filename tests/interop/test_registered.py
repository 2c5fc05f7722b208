"""The extensions of the registry that a peer has, both ways; what the peers here lack was tried by hand.

zarr-python has ``cast_value``, ``scale_offset`` and ``struct`` in versions for Python 3.12 and later. The
types of ``ml_dtypes`` are tensorstore's, in v2 under the same names. zarrs comes to Python without them.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr

import streamzarr.zarr as sz
from streamzarr.zarr.dtypes.small import small_dtype

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

NOT_IN_TENSORSTORE = {"uint2", "uint4", "float8_e4m3", "float6_e2m3fn", "float6_e3m2fn"}
SMALL = [
    *("bfloat16", "int2", "int4", "float8_e3m4", "float8_e4m3fn", "float8_e4m3fnuz"),
    *("float8_e4m3b11fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn"),
]


def open_tensorstore(path: Any, zarr_format: int, **more: Any) -> Any:
    driver = "zarr" if zarr_format == 2 else "zarr3"
    return ts.open({"driver": driver, "kvstore": {"driver": "file", "path": str(path)}, **more}).result()


def elements(name: str) -> np.ndarray:
    """All there are, in shape (n, 4)."""
    dtype = small_dtype(name)
    bits = {"int2": 2, "int4": 4, "float4_e2m1fn": 4}.get(name, 8 * dtype.itemsize)
    return np.arange(1 << bits, dtype=f"u{dtype.itemsize}").view(dtype).reshape(-1, 4)


def same(left: Any, right: Any) -> bool:
    """Bit for bit; a comparison of long bytes would be explained for minutes."""
    return bool(np.asarray(left).tobytes() == np.asarray(right).tobytes())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("compressors", [None, "gzip"])
def test_small_types_to_tensorstore_and_back(tmp_path, name, zarr_format, compressors):
    if (name, zarr_format) == ("float4_e2m1fn", 2):
        pytest.skip("in v2 tensorstore takes this type for raw bytes, and wants its fill value as base64")
    values = elements(name)
    options = {"chunks": (len(values) // 2 + 1, 3), "zarr_format": zarr_format, "compressors": compressors}
    z = sz.create_array(tmp_path / "a", shape=values.shape, dtype=name, **options)
    z[...] = values
    theirs = open_tensorstore(tmp_path / "a", zarr_format)
    assert theirs.dtype.numpy_dtype == values.dtype
    assert same(theirs.read().result(), values)
    theirs.write(values[::-1]).result()
    assert same(sz.open_array(tmp_path / "a")[...], values[::-1])
    z.resize((len(values) + 3, 4))
    grown = open_tensorstore(tmp_path / "a", zarr_format).read().result()
    assert same(grown, sz.open_array(tmp_path / "a")[...])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_small_types_that_tensorstore_made(tmp_path, name, zarr_format):
    values = elements(name)
    domain = {"shape": list(values.shape)}
    schema = {
        "dtype": name,
        "domain": domain,
        "chunk_layout": {"chunk": {"shape": [-(-len(values) // 4), 4]}},
    }
    theirs = open_tensorstore(tmp_path / "a", zarr_format, schema=schema, create=True)
    half = -(-len(values) // 4) * 2 if len(values) > 1 else 0
    theirs[half:].write(values[half:]).result()
    z = sz.open_array(tmp_path / "a", mode="r+")
    assert z.dtype == values.dtype
    assert same(z[half:], values[half:])
    assert same(z[...], theirs.read().result())
    z.attrs["more"] = 1
    assert same(open_tensorstore(tmp_path / "a", zarr_format).read().result(), z[...])


@pytest.mark.parametrize("name", sorted(NOT_IN_TENSORSTORE))
def test_what_tensorstore_lacks_it_still_lacks(tmp_path, name):
    """When this fails, the table in docs/codecs.md is out of date."""
    with pytest.raises(ValueError, match=name):
        open_tensorstore(tmp_path / "a", 3, metadata={"data_type": name, "shape": [1]}, create=True)


@pytest.mark.parametrize("fill", ["NaN", "0x7fc1", 1.5, "-Infinity", -0.0])
def test_fill_values_of_bfloat16(tmp_path, fill):
    metadata = {"data_type": "bfloat16", "shape": [3], "fill_value": fill}
    theirs = open_tensorstore(tmp_path / "a", 3, metadata=metadata, create=True).read().result()
    z = sz.open_array(tmp_path / "a", mode="r+")
    assert same(z[...], theirs)
    z.resize(4)
    assert same(open_tensorstore(tmp_path / "a", 3).read().result(), z[...])


STRUCT = [{"name": "a", "data_type": "int32"}, {"name": "b", "data_type": "float64"}]


@pytest.mark.parametrize(
    "data_type",
    [
        {"name": "struct", "configuration": {"fields": STRUCT}},
        {"name": "structured", "configuration": {"fields": [[f["name"], f["data_type"]] for f in STRUCT]}},
    ],
    ids=lambda each: each["name"],
)
def test_records_to_tensorstore_field_by_field(tmp_path, data_type):
    values = np.array([(1, 1.5), (-2, np.inf), (3, -0.0)], [("a", "<i4"), ("b", "<f8")])
    z = sz.create_array(tmp_path / "a", shape=3, dtype=data_type, chunks=2)
    z[...] = values
    for field in ("a", "b"):
        theirs = open_tensorstore(tmp_path / "a", 3, field=field)
        assert same(theirs.read().result(), values[field])
        theirs.write(values[field][::-1]).result()
    assert same(sz.open_array(tmp_path / "a")[...], values[::-1])


LATER = pytest.mark.skipif(not find_spec("zarr.codecs.cast_value"), reason="later zarr-pythons have it")


@LATER
def test_struct_to_zarr_python_and_back(tmp_path):
    values = np.array([(1, 1.5), (-2, np.inf), (3, -0.0)], [("a", "<i4"), ("b", "<f8")])
    data_type = {"name": "struct", "configuration": {"fields": STRUCT}}
    z = sz.create_array(tmp_path / "a", shape=5, dtype=data_type, chunks=2, fill_value=(7, 0.5))
    z[:3] = values
    theirs = zarr.open_array(tmp_path / "a", mode="r+")
    assert theirs[...].tolist() == z[...].tolist()
    theirs[3] = np.array((9, 2.5), values.dtype)
    assert sz.open_array(tmp_path / "a")[...].tolist() == theirs[...].tolist()
    made = zarr.create_array(tmp_path / "b", shape=5, dtype=values.dtype, chunks=2, fill_value=(7, 0.5))
    made[:3] = values
    ours = sz.open_array(tmp_path / "b", mode="r+")
    assert ours[...].tolist() == made[...].tolist()
    ours.resize(6)
    assert zarr.open_array(tmp_path / "b", mode="r")[...].tolist() == ours[...].tolist()


CAST = {"name": "cast_value", "configuration": {"data_type": "uint8", "out_of_range": "clamp"}}
MAP = {"encode": [["NaN", 0]], "decode": [[0, "NaN"]]}


@LATER
@pytest.mark.skipif(find_spec("cast_value_rs") is None, reason="zarr-python casts with cast-value-rs")
@pytest.mark.parametrize(
    ("dtype", "fill", "filters"),
    [
        ("u2", 1000, [{"name": "scale_offset", "configuration": {"offset": 1000}}, CAST]),
        ("i8", 0, [CAST]),
        ("f4", 0, [{"name": "scale_offset", "configuration": {"offset": 5, "scale": 0.1}}]),
        (
            *("f8", np.nan),
            [
                {"name": "scale_offset", "configuration": {"offset": -10, "scale": 0.1}},
                {"name": "cast_value", "configuration": {"data_type": "uint8", "scalar_map": MAP}},
            ],
        ),
    ],
)
def test_numbers_stored_as_others_to_zarr_python_and_back(tmp_path, dtype, fill, filters):
    values = np.arange(1000, 1020).astype(dtype) if dtype != "i8" else np.arange(-5, 300, 16)
    z = sz.create_array(tmp_path / "a", shape=30, dtype=dtype, chunks=7, filters=filters, fill_value=fill)
    z[: len(values)] = values
    theirs = zarr.open_array(tmp_path / "a", mode="r+")
    assert same(theirs[...], z[...])
    theirs[5:25] = values[:20]
    assert same(sz.open_array(tmp_path / "a")[...], theirs[...])
