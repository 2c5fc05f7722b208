"""Strings, bytes and records, both ways, with zarr-python and tensorstore."""

from __future__ import annotations

import numpy as np
import pytest
import tensorstore as ts
import zarr

import streamzarr.zarr as sz

pytestmark = pytest.mark.filterwarnings(
    "ignore::zarr.errors.ZarrUserWarning", "ignore::FutureWarning", "ignore::UserWarning"
)

RECORD = np.dtype([("a", "<i4"), ("b", "<f8"), ("s", "S3")])
CASES = {
    "string": (str, np.array(["a", "", "çé", "x" * 300], dtype=np.dtypes.StringDType()), "f"),
    "U4": ("U4", np.array(["a", "", "çé", "wxyz"]), "ff"),
    "S4": ("S4", np.array([b"a", b"", b"bc", b"wxyz"]), b"f"),
    "V3": ("V3", np.array([b"abc", b"\0\0\0", b"def", b"ghi"], dtype="V3"), np.void(b"123")),
    "struct": (
        RECORD,
        np.array([(1, 1.5, b"x"), (2, np.inf, b"yyy"), (0, 0, b""), (5, 6, b"z")], RECORD),
        None,
    ),
}


def test_metadata_is_written_as_zarr_python_writes_it(tmp_path):
    for name, (dtype, _, fill) in CASES.items():
        for zarr_format, document in ((2, ".zarray"), (3, "zarr.json")):
            options = {"shape": (6,), "chunks": (4,), "dtype": dtype, "zarr_format": zarr_format}
            options["fill_value"] = np.zeros((), RECORD)[()] if fill is None else fill
            ours, theirs = tmp_path / f"ours{name}{zarr_format}", tmp_path / f"theirs{name}{zarr_format}"
            sz.create_array(str(ours), **options)
            zarr.create_array(theirs, **options)
            assert (ours / document).read_text() == (theirs / document).read_text(), name


def test_bytes_of_any_length_both_ways(tmp_path):
    values = np.array([b"", b"ab", b"\0\1"], dtype=object)
    sz.create_array(str(tmp_path / "ours"), shape=(3,), dtype=bytes)[...] = values
    assert zarr.open_array(tmp_path / "ours", mode="r")[...].tolist() == values.tolist()
    theirs = zarr.create_array(tmp_path / "theirs", shape=(3,), dtype="variable_length_bytes")
    theirs[...] = values
    assert sz.open_array(str(tmp_path / "theirs"))[...].tolist() == values.tolist()


def test_tensorstore_reads_our_records(tmp_path):
    values = CASES["struct"][1]
    sz.create_array(str(tmp_path), data=values, zarr_format=2, compressors="zlib", chunks=3)
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": str(tmp_path)}, "field": "b"}
    assert ts.open(spec).result().read().result().tolist() == values["b"].tolist()
