"""Consolidating, copying, saving and loading."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import zarr

import streamzarr.zarr as sz
from streamzarr.errors import NodeExistsError, NodeNotFoundError, UnsupportedError
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import RecordingStore


def build(store, zarr_format):
    root = sz.create_group(store, zarr_format=zarr_format, attributes={"run": 7})
    root.create_array("a/b", data=np.arange(5), chunks=2, attributes={"u": "m"})
    root.create_group("a/g/h")
    root.create_array("c", data=np.ones((2, 2)))
    return root


NODES = ["a", "a/b", "a/g", "a/g/h", "c"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_is_read_by_zarr_python(tmp_path, zarr_format):
    build(str(tmp_path), zarr_format)
    found = sz.consolidate_metadata(str(tmp_path))
    assert [path for path, _ in found.members(None)] == NODES
    assert found.attrs.asdict() == {"run": 7}
    theirs = zarr.open_group(tmp_path, mode="r", use_consolidated=True)
    assert sorted(path for path, _ in theirs.members(max_depth=None)) == NODES
    assert theirs["a/b"][:].tolist() == [0, 1, 2, 3, 4]
    assert theirs["a/b"].attrs["u"] == "m"


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_with_consolidated_metadata_a_hierarchy_is_read_without_listing(zarr_format):
    store = RecordingStore(MemoryStore())
    build(store, zarr_format)
    sz.consolidate_metadata(store)
    root = sz.open_group(store)
    store.clear()
    assert root["a"]["g/h"].path == "a/g/h"
    assert [name for name, _ in root.members(None)] == NODES
    assert str(root.tree()).count("\n") == 5
    assert store.calls == []


def test_consolidating_again_takes_what_has_changed():
    store = MemoryStore()
    root = build(store, 3)
    sz.consolidate_metadata(store)
    sz.open_array(store, path="c", mode="r+").resize((4, 2))
    root.create_group("new")
    assert sz.open_group(store)["c"].shape == (2, 2)
    found = sz.consolidate_metadata(store)
    assert found["c"].shape == (4, 2)
    assert "new" in found


def test_the_shapes_of_a_stream_are_not_frozen():
    store = MemoryStore()
    root = build(store, 3)
    root.create_group("ticks", attributes={"streamzarr": {"rows": 3}})
    with pytest.raises(UnsupportedError, match="ticks is a stream"):
        sz.consolidate_metadata(store)
    assert "consolidated_metadata" not in json.loads(store.get("zarr.json"))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_copies_are_equal_byte_by_byte(tmp_path, zarr_format):
    store = MemoryStore()
    build(store, zarr_format)
    sz.consolidate_metadata(store)
    copied = sz.copy(store, str(tmp_path), path="x/y")
    assert [path for path, _ in copied.members(None)] == NODES
    for key in store.list():
        assert (tmp_path / "x/y" / key).read_bytes() == store.get(key)
    one = sz.copy(sz.open_array(store, path="a/b"), "memory://")
    assert one[...].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(NodeExistsError):
        sz.copy(store, str(tmp_path), path="x/y")
    with pytest.raises(NodeExistsError, match="itself"):
        sz.copy(store, store)
    assert sz.copy(one, str(tmp_path), path="x/y", overwrite=True).shape == (5,)
    with pytest.raises(NodeNotFoundError):
        sz.copy("memory://", "memory://")


def test_a_copy_that_is_cut_short_is_not_taken_for_a_whole_one():
    source, target = MemoryStore(), MemoryStore()
    build(source, 3)

    class Failing(MemoryStore):
        left = 4

        def put(self, key, data, **conditions):
            self.left -= 1
            if self.left < 0:
                raise OSError("full")
            return target.put(key, data, **conditions)

        def delete(self, key, **conditions):
            target.delete(key, **conditions)

    with pytest.raises(OSError, match="full"):
        sz.copy(source, Failing())
    assert list(target.list())
    with pytest.raises(NodeNotFoundError):
        sz.open(target)


def test_saving_and_loading(tmp_path):
    sz.save(str(tmp_path / "one"), np.arange(3))
    assert sz.load(str(tmp_path / "one")).tolist() == [0, 1, 2]
    sz.save(str(tmp_path / "many"), np.arange(3), [1.5], name=np.array(["a"]))
    loaded = sz.load(str(tmp_path / "many"))
    assert {name: values.tolist() for name, values in loaded.items()} == {
        "arr_0": [0, 1, 2],
        "arr_1": [1.5],
        "name": ["a"],
    }
    with pytest.raises(ValueError, match="at least one"):
        sz.save(str(tmp_path / "none"))
    with pytest.raises(NodeExistsError):
        sz.save(str(tmp_path / "one"), np.arange(3))


def test_chunks_are_copied_side_by_side():
    meeting = threading.Barrier(3, timeout=30)

    class Meeting(MemoryStore):
        def put(self, key, data, **conditions):
            if "/c/" in key:
                meeting.wait()  # three chunks must be on their way at once, or this fails
            return super().put(key, data, **conditions)

    source = sz.create_array("memory://", data=np.arange(1, 7), chunks=1)
    assert sz.copy(source, Meeting(), path="a", concurrency=3)[:].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_child_that_is_changed_behind_consolidated_metadata_is_seen_after_consolidating_again():
    """Trap T20: what is consolidated counts, until it is made again or not used."""
    for zarr_format in (2, 3):
        store = MemoryStore()
        build(store, zarr_format)
        sz.consolidate_metadata(store)
        sz.open_array(store, path="c", mode="r+").attrs["seen"] = True
        assert "seen" not in sz.open_group(store)["c"].attrs
        assert sz.open_group(store, use_consolidated=False)["c"].attrs["seen"]
        assert sz.open_array(store, path="c").attrs["seen"]
        assert sz.open_consolidated(store)["a/b"].shape == (5,)
        sz.consolidate_metadata(store)
        assert sz.open_group(store)["c"].attrs["seen"]
