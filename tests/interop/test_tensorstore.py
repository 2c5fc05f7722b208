"""Bytes on disk, both ways, between streamzarr and tensorstore."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorstore as ts

import streamzarr.zarr as sz

DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES += ["float16", "float32", "float64", "complex64", "complex128"]

CODECS = {
    "none": [],
    "gzip": [{"name": "gzip", "configuration": {"level": 5}}],
    "zstd": [{"name": "zstd", "configuration": {"level": 1}}],
    "blosc": [
        {
            "name": "blosc",
            "configuration": {
                "cname": "lz4",
                "clevel": 5,
                "shuffle": "shuffle",
                "typesize": 4,
                "blocksize": 0,
            },
        }
    ],
    "gzip crc32c": [{"name": "gzip", "configuration": {"level": 5}}, {"name": "crc32c"}],
}


def spec(path, driver: str, **metadata):
    return {
        "driver": driver,
        "kvstore": {"driver": "file", "path": str(path)},
        **({"metadata": metadata} if metadata else {}),
    }


def sample(dtype: str, shape=(7, 5)) -> np.ndarray:
    values = np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)
    if values.dtype.kind in "fc":
        values[0, :4] = [np.nan, np.inf, -np.inf, -0.0]
    return values


@pytest.mark.parametrize(
    ("dtype", "codec"),
    [(d, "blosc") for d in DTYPES] + [(d, c) for d in ("float16", "uint64") for c in CODECS],
)
def test_v3_both_ways(tmp_path, dtype, codec):
    values = sample(dtype)
    ours = sz.create_array(
        str(tmp_path / "ours"), shape=values.shape, chunks=(3, 2), dtype=dtype, compressors=CODECS[codec]
    )
    ours[...] = values
    read = ts.open(spec(tmp_path / "ours", "zarr3")).result().read().result()
    assert read.tobytes() == values.tobytes()
    assert read.dtype == values.dtype

    bytes_codec = {"name": "bytes", "configuration": {"endian": "big" if codec == "gzip" else "little"}}
    theirs = ts.open(
        spec(
            tmp_path / "theirs",
            "zarr3",
            shape=values.shape,
            data_type=dtype,
            chunk_grid={"name": "regular", "configuration": {"chunk_shape": [3, 2]}},
            codecs=[{"name": "transpose", "configuration": {"order": [1, 0]}}, bytes_codec, *CODECS[codec]],
        ),
        create=True,
    ).result()
    theirs.write(values).result()
    assert sz.open_array(str(tmp_path / "theirs"))[...].tobytes() == values.tobytes()


@pytest.mark.parametrize(("order", "separator"), list(itertools.product("CF", "./")))
@pytest.mark.parametrize("dtype", ["|b1", ">i4", "<f8", "<c16"])
def test_v2_both_ways(tmp_path, dtype, order, separator):
    values = sample(np.dtype(dtype).name).astype(dtype)
    ours = sz.create_array(
        str(tmp_path / "ours"),
        shape=values.shape,
        chunks=(3, 2),
        dtype=dtype,
        order=order,
        zarr_format=2,
        compressors="zlib",
        chunk_key_encoding=separator,
    )
    ours[...] = values
    read = ts.open(spec(tmp_path / "ours", "zarr")).result().read().result()
    assert np.asarray(read).astype(dtype).tobytes() == values.tobytes()

    theirs = ts.open(
        spec(
            tmp_path / "theirs",
            "zarr",
            shape=values.shape,
            chunks=[3, 2],
            dtype=dtype,
            order=order,
            dimension_separator=separator,
            compressor={"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": -1},
            fill_value=None,
        ),
        create=True,
    ).result()
    theirs.write(values.astype(values.dtype.newbyteorder("="))).result()
    assert sz.open_array(str(tmp_path / "theirs"))[...].tobytes() == values.tobytes()


@pytest.mark.parametrize("fill", [0.5, float("nan"), float("inf"), float("-inf")])
def test_fill_values_both_ways(tmp_path, fill):
    sz.create_array(str(tmp_path / "ours"), shape=(4,), chunks=(2,), dtype="f4", fill_value=fill)
    read = ts.open(spec(tmp_path / "ours", "zarr3")).result().read().result()
    assert np.array_equal(read, np.full(4, fill, "f4"), equal_nan=True)


def test_a_payload_nan_is_read(tmp_path):
    ts.open(
        spec(tmp_path, "zarr3", shape=[4], data_type="float32", fill_value="0x7fc00001"), create=True
    ).result()
    assert sz.open_array(str(tmp_path))[...].view("u4").tolist() == [0x7FC00001] * 4


def test_arrays_without_dimensions_both_ways(tmp_path):
    sz.create_array(str(tmp_path / "ours"), data=np.float64(3.5))
    assert ts.open(spec(tmp_path / "ours", "zarr3")).result().read().result() == 3.5
    theirs = ts.open(spec(tmp_path / "theirs", "zarr3", shape=[], data_type="float64"), create=True).result()
    theirs.write(4.5).result()
    assert sz.open_array(str(tmp_path / "theirs"))[...] == 4.5
