"""Making a whole hierarchy in one go."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import zarr

import streamzarr as sz
from streamzarr.errors import (
    ConfigError,
    ContainsArrayError,
    ContainsGroupError,
    MetadataError,
    UnsupportedError,
)
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import Fault, FaultyStore
from streamzarr.zarr import GroupMetadataV3

SPECS = {
    "run/air/temperature": {"shape": (4, 6), "dtype": "f4", "chunks": (2, 3), "attributes": {"units": "K"}},
    "run/air/wind": {"data": np.arange(5), "chunks": 2},
    "run/notes": {"attributes": {"by": "me"}},
    "/empty/": {},
}
NODES = ["empty", "run", "run/air", "run/air/temperature", "run/air/wind", "run/notes"]


@pytest.fixture(params=[2, 3])
def root(request, tmp_path):
    return sz.create_group(str(tmp_path), zarr_format=request.param)


def test_every_node_and_the_groups_in_between_are_made(root, tmp_path):
    made = root.create_hierarchy(SPECS)
    assert sorted(made) == NODES == [path for path, _ in root.members(max_depth=None)]
    assert made["run/air/wind"][:].tolist() == [0, 1, 2, 3, 4]
    assert made["run/air/temperature"].attrs["units"] == "K"
    assert made["run/notes"].attrs["by"] == "me"
    assert isinstance(made["run"], sz.Group)
    theirs = zarr.open_group(tmp_path, mode="r")
    assert sorted(path for path, _ in theirs.members(max_depth=None)) == NODES
    assert theirs["run/air/wind"][:].tolist() == [0, 1, 2, 3, 4]
    assert {each.zarr_format for each in made.values()} == {root.zarr_format}


def test_metadata_is_a_specification_too(root):
    made = root.create_hierarchy(SPECS)
    again = root.create_hierarchy({f"copy/{path}": node.metadata for path, node in made.items()})
    assert sorted(again) == ["copy", *(f"copy/{path}" for path in NODES)]
    assert again["copy/run/air/wind"].metadata == made["run/air/wind"].metadata


def test_groups_that_are_there_stay_as_they_are(root):
    root.create_group("run", attributes={"kept": 1})
    root.create_array("run/other", data=[1])
    made = root.create_hierarchy(SPECS)
    assert "run" not in made
    assert root["run"].attrs["kept"] == 1
    assert "run/other" in root


def test_consolidated_metadata_stays_true(root):
    root.create_array("run/other", data=[1])
    root.create_group("run/kept", attributes={"a": 1})
    found = sz.consolidate_metadata(root.store, root.path)
    found.create_hierarchy(SPECS)
    again = sz.zarr.open_consolidated(root.store)
    assert [path for path, _ in again.members(None)] == sorted([*NODES, "run/kept", "run/other"])
    assert again["run/kept"].attrs["a"] == 1


def test_overwriting_deletes_what_is_there_and_nothing_else(root):
    root.create_array("run/air/deep/old", data=[1])
    root.create_array("run/other", data=[1])
    with pytest.raises(ContainsGroupError, match=r"a group is already at .*run/air; pass overwrite=True"):
        root.create_hierarchy({"run/air": {}, "new": {}})
    assert "new" not in root
    made = root.create_hierarchy({"run/air": {}, "run/air/below/x": {"data": [2]}}, overwrite=True)
    assert sorted(made) == ["run/air", "run/air/below", "run/air/below/x"]
    assert [path for path, _ in root.members(None)] == [
        *("run", "run/air", "run/air/below", "run/air/below/x", "run/other")
    ]
    root.create_hierarchy({"run": {"data": [3]}}, overwrite=True)
    assert [path for path, _ in root.members(None)] == ["run"]


@pytest.mark.parametrize(
    ("nodes", "error", "message"),
    [
        ({"new": {}, "old": {}}, ContainsArrayError, r"an array is already at .*old"),
        ({"new": {}, "old/below": {}}, ContainsArrayError, "nothing can be created below it"),
        ({"new": {"data": [1]}, "new/below": {}}, ContainsArrayError, "'new' is to be an array"),
        ({"new": {}, "/new/": {}}, ConfigError, "given twice"),
        ({"new": {}, "__x": {}}, ConfigError, "reserved"),
        ({"new": {}, "a/../b": {}}, ConfigError, r"\.\."),
        ({"new": {}, "": {}}, ConfigError, "needs a name"),
        ({"new": {}, "x": {"shape": (3,), "dtype": "no such"}}, Exception, "no such"),
        ({"new": {}, "x": {"shape": (3,)}}, ConfigError, "expected shape and dtype"),
        ({"new": {}, "x": {"shape": (3,), "dtype": "i4", "colour": 1}}, ConfigError, "'x'.*colour"),
        ({"new": {}, "x": {"colour": 1}}, ConfigError, "'x': a group has attributes alone"),
        ({"new": {}, "x": {"attributes": {"a": float("nan")}}}, MetadataError, "nan is not finite"),
    ],
    ids=str,
)
def test_nothing_is_written_when_anything_is_wrong(root, nodes, error, message):
    root.create_array("old", data=[1])
    with pytest.raises(error, match=message):
        root.create_hierarchy(nodes)
    assert list(root) == ["old"]


def test_of_another_format():
    root = sz.create_group("memory://", zarr_format=2)
    with pytest.raises(ConfigError, match="'x': metadata of Zarr v3, expected v2"):
        root.create_hierarchy({"x": GroupMetadataV3()})


def test_requests_run_side_by_side():
    meeting = threading.Barrier(4, timeout=30)

    class Meeting(MemoryStore):
        def put(self, key, data, **conditions):
            if key.startswith("x"):
                meeting.wait()  # four writers must be here at once, or this fails
            return super().put(key, data, **conditions)

    root = sz.create_group(Meeting())
    made = root.create_hierarchy({f"x{n}": {} for n in range(8)}, concurrency=4)
    assert len(made) == 8
    with pytest.raises(ConfigError, match="at least 1"):
        root.create_hierarchy({"y": {}}, concurrency=0)


def test_an_error_of_the_store_is_raised():
    root = sz.create_group(FaultyStore(MemoryStore(), [Fault("put", nth=3, error=lambda: OSError("full"))]))
    with pytest.raises(OSError, match="full"):
        root.create_hierarchy({f"x{n}": {} for n in range(8)})


def test_the_function_makes_the_root_too(tmp_path):
    made = sz.create_hierarchy(str(tmp_path / "a.zarr"), SPECS, path="deep/er")
    assert sorted(made) == NODES
    assert sorted(sz.open_group(str(tmp_path / "a.zarr"))["deep/er"]) == ["empty", "run"]
    with pytest.raises(UnsupportedError, match="read-only"):
        sz.open_group(str(tmp_path / "a.zarr")).create_hierarchy({"x": {}})
