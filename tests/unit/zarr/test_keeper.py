"""Consolidated metadata stay true through a group, whatever of it is changed, and through which handle."""

from __future__ import annotations

import pickle  # noqa: TID251 - handles are sent to workers
import threading

import numpy as np
import pytest
import zarr

import streamzarr.zarr as sz
from streamzarr.errors import NodeNotFoundError, StoreError, UnsupportedError
from streamzarr.stores import MemoryStore, open_store
from streamzarr.testing.faults import Fault, FaultyStore, RecordingStore


@pytest.fixture(params=[2, 3])
def zarr_format(request):
    return request.param


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else open_store(str(tmp_path / "root.zarr"), mode="r+")


@pytest.fixture
def root(store, zarr_format):
    root = sz.create_group(store, zarr_format=zarr_format)
    root.create_array("x", data=np.arange(4), chunks=2)
    root.create_array("a/b/y", data=np.arange(4), chunks=2)
    sz.consolidate_metadata(store)
    return sz.open_group(store, mode="r+", use_consolidated=True)


def true(root):
    """Tell whether what the group's consolidated metadata say is what the documents below say."""
    kept = {path: node.metadata for path, node in sz.open_group(root.store, path=root.path).members(None)}
    group = sz.open_group(root.store, path=root.path, use_consolidated=False)
    found = {path: node.metadata for path, node in group.members(None)}
    assert kept.keys() == found.keys()
    for path, node in found.items():
        assert bare(kept[path]) == bare(node), path
    held = {path: bare(node.metadata) for path, node in root.members(None)}
    assert held == {path: bare(node) for path, node in found.items()}
    return True


def bare(metadata):
    documents = {name: dict(document) for name, document in metadata.documents().items()}
    documents.pop(".zmetadata", None)
    for document in documents.values():
        document.pop("consolidated_metadata", None)
    return documents


def grow(x):
    x.append([7, 8])


CHANGES = {
    "append": grow,
    "shrink": lambda x: x.resize(1),
    "grow": lambda x: x.resize((9,)),
    "attribute": lambda x: x.attrs.__setitem__("u", "m"),
    "attributes": lambda x: x.update_attributes({"u": np.arange(2)}),
    "no attributes": lambda x: x.attrs.put({}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("path", ["x", "a/b/y"])
def test_an_array_changed_through_a_group(root, path, change):
    change(root[path])
    assert true(root)
    change(sz.open_group(root.store, mode="r+")[path])  # again, after reopening
    root = sz.open_group(root.store, mode="r+")
    assert true(root)


def test_through_handles_of_groups_between(root):
    root["a"]["b"]["y"].append([1])
    between = root["a/b"]
    between["y"].append([2])
    between.attrs["k"] = 1
    assert between["y"].shape == (6,)
    assert true(root)
    between.create_array("z", shape=3, dtype="i2").attrs["n"] = 1
    between.create_group("g").create_group("h").attrs["deep"] = True
    between["w"] = np.arange(3)
    between.create_hierarchy({"m/x": {"data": np.arange(2)}, "m/g": {}})["m/x"].append([3])
    assert true(root)
    del between["y"]
    del root["a/b/g/h"]
    assert "y" not in root["a/b"]
    assert true(root)
    assert true(sz.open_group(root.store))


def test_groups_between_that_are_consolidated_themselves(root):
    sz.consolidate_metadata(root.store, "a")
    root = sz.open_group(root.store, mode="r+")
    root["a/b/y"].append([1])
    root["a"].create_array("z", shape=3, dtype="i2")
    assert true(root)
    assert true(sz.open_group(root.store, path="a"))


def test_through_a_group_that_reads_the_children_themselves(root):
    plain = sz.open_group(root.store, mode="r+", use_consolidated=False)
    plain["a/b/y"].append([1])
    plain["a"].attrs["k"] = 1
    assert true(sz.open_group(root.store))


def test_what_require_and_members_return(root):
    root.require_array("x", shape=(4,), dtype=int).append([1])
    root.require_group("a").attrs["k"] = 1
    for _, node in root.members(None):
        node.attrs["seen"] = True
    assert true(root)


def test_handles_sent_to_another_process(tmp_path, zarr_format):
    root = sz.create_group(str(tmp_path), zarr_format=zarr_format)
    root.create_array("a/x", data=np.arange(4), chunks=2)
    root = sz.consolidate_metadata(str(tmp_path))
    pickle.loads(pickle.dumps(root["a/x"])).append([1])
    again = sz.open_group(str(tmp_path), mode="r+")
    assert again["a/x"].shape == (5,)
    pickle.loads(pickle.dumps(again))["a"]["x"].append([2])
    assert sz.open_group(str(tmp_path))["a/x"].shape == (6,)
    assert true(sz.open_group(str(tmp_path)))


def test_the_attributes_of_a_consolidated_group_are_those_that_zarr_python_sees(tmp_path, zarr_format):
    root = sz.create_group(str(tmp_path), zarr_format=zarr_format)
    root.create_array("x", data=np.arange(4), chunks=2)
    root = sz.consolidate_metadata(str(tmp_path))
    root.attrs["k"] = 1
    root["x"].append([4])
    theirs = zarr.open_group(tmp_path, mode="r", use_consolidated=True)
    assert theirs.attrs["k"] == 1
    assert theirs["x"][:].tolist() == [0, 1, 2, 3, 4]


def test_threads_that_change_arrays_of_one_group(zarr_format):
    root = sz.create_group(MemoryStore(), zarr_format=zarr_format)
    for name in "abcdef":
        root.create_array(name, data=np.arange(4), chunks=2)
    sz.consolidate_metadata(root.store)
    start = threading.Barrier(6)

    def work(name):
        start.wait()
        array = sz.open_group(root.store, mode="r+")[name]
        for _ in range(5):
            array.append([1])

    threads = [threading.Thread(target=work, args=name) for name in "abcdef"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = sz.open_group(root.store)
    assert {array.shape for _, array in found.arrays()} == {(9,)}
    assert true(found)


def test_without_consolidated_metadata_groups_are_read_and_nothing_more(zarr_format):
    store = RecordingStore(MemoryStore())
    root = sz.create_group(store, zarr_format=zarr_format)
    x = root.create_array("a/x", data=np.arange(4), chunks=2)
    store.clear()
    x.attrs["k"] = 1
    above = [call for call in store.calls if not call.key.startswith("a/x/")]
    assert [call.operation for call in above] == [{2: "head", 3: "fetch"}[zarr_format]] * 2
    assert store.count("put") == 1


def test_handles_that_were_opened_before_the_group_was_consolidated(zarr_format):
    root = sz.create_group(MemoryStore(), zarr_format=zarr_format)
    x = root.create_array("a/x", data=np.arange(4), chunks=2)
    a = root["a"]
    sz.consolidate_metadata(root.store)
    x.append([1])
    root["a/x"].attrs["k"] = 1
    a.attrs["k"] = 2
    a.create_array("y", data=np.arange(3))
    root.create_group("b")
    assert true(sz.open_group(root.store))
    del root["a/x"]
    assert true(sz.open_group(root.store))
    assert sorted(sz.open_group(root.store)["a"]) == ["y"]


def test_a_group_in_between_that_cannot_be_read_is_left_alone(zarr_format):
    root = sz.create_group(MemoryStore(), zarr_format=zarr_format)
    root.create_array("a/x", data=np.arange(4), chunks=2)
    root = sz.consolidate_metadata(root.store)
    root.store.put({2: "a/.zgroup", 3: "a/zarr.json"}[zarr_format], b"{}")
    root["a/x"].append([1])
    assert sz.open_group(root.store)["a/x"].shape == (5,)


@pytest.mark.parametrize("clear", [False, True])
def test_a_stale_handle_that_shrinks_leaves_no_chunks_that_come_back(zarr_format, clear):
    store = MemoryStore()
    stale = sz.create_array(store, data=np.arange(4), chunks=2, zarr_format=zarr_format)
    fresh = sz.open_array(store, mode="r+")
    fresh.append(np.arange(4, 12))
    stale.resize(2, clear=clear)
    fresh.refresh().resize(12)
    assert fresh[:].tolist() == [0, 1, *[0] * 10]
    assert stale.refresh().shape == (12,)


def test_a_stale_handle_in_two_dimensions(zarr_format):
    store = MemoryStore()
    stale = sz.create_array(store, data=np.ones((4, 4)), chunks=(2, 2), zarr_format=zarr_format)
    fresh = sz.open_array(store, mode="r+")
    fresh.resize((4, 8))
    fresh[...] = 5
    stale.resize((2, 2))
    stale.resize((8, 8))
    assert stale[:].sum() == 20


def test_a_stale_handle_that_appends_writes_nothing(zarr_format):
    store = RecordingStore(MemoryStore())
    stale = sz.create_array(store, data=np.arange(4), chunks=2, zarr_format=zarr_format)
    sz.open_array(store, mode="r+").append([4, 5])
    store.clear()
    with pytest.raises(UnsupportedError, match=r"another writer.*refresh"):
        stale.append([-1, -2])
    assert store.count("put") == 0
    assert stale.refresh()[:].tolist() == [0, 1, 2, 3, 4, 5]
    assert stale.append([6]) == (7,)


def test_an_append_asks_no_more_of_the_store_than_it_must():
    store = RecordingStore(MemoryStore())
    z = sz.create_array(store, data=np.arange(4), chunks=2)
    store.clear()
    z.append([4, 5])
    assert sorted(call.operation for call in store.calls) == ["fetch", "put", "put"]


def test_an_append_keeps_the_attributes_that_another_has_set(zarr_format):
    store = MemoryStore()
    z = sz.create_array(store, data=np.arange(4), chunks=2, zarr_format=zarr_format)
    sz.open_array(store, mode="r+").attrs["k"] = 1
    z.append([4])
    assert sz.open_array(store).attrs["k"] == z.attrs["k"] == 1


def test_an_array_whose_metadata_is_stale_in_the_group_is_refreshed(root):
    sz.open_array(root.store, path="x", mode="r+").append([4])  # not through the group
    stale = sz.open_group(root.store, mode="r+")["x"]
    with pytest.raises(UnsupportedError, match="refresh"):
        stale.append([5])
    stale.refresh().append([5])
    assert sz.open_group(root.store)["x"][:].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_killed_note_is_made_up_for_by_the_next_change(zarr_format):
    inner = MemoryStore()
    root = sz.create_group(inner, zarr_format=zarr_format)
    root.create_array("x", data=np.arange(4), chunks=2)
    sz.consolidate_metadata(inner)
    document = {2: ".zmetadata", 3: "zarr.json"}[zarr_format]
    x = sz.open_group(FaultyStore(inner, [Fault(operation="put", key=document)]), mode="r+")["x"]
    with pytest.raises(StoreError):
        x.append([4])
    assert sz.open_group(inner)["x"].shape == (4,)
    sz.open_group(inner, mode="r+")["x"].refresh().append([5])
    assert sz.open_group(inner)["x"][:].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_deleted_array_is_not_changed(root):
    x = root["x"]
    del root["x"]
    with pytest.raises(NodeNotFoundError):
        x.attrs["k"] = 1
    with pytest.raises(NodeNotFoundError):
        x.append([1])
    assert true(root)
