"""Groups, their children, and opening by mode."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import (
    ConfigError,
    ContainsArrayError,
    ContainsGroupError,
    MetadataError,
    NodeExistsError,
    NodeNotFoundError,
    UnsupportedError,
)
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import WrappedStore


@pytest.fixture(params=[2, 3])
def root(request):
    return sz.create_group(MemoryStore(), zarr_format=request.param, attributes={"run": 7})


def consolidate(group):
    """Write consolidated metadata of all that is below `group`, as another program would."""
    store = group.store
    if group.zarr_format == 3:
        nodes = {path: node.metadata.to_json() for path, node in group.members(None)}
        document = json.loads(store.get("zarr.json"))
        document["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": nodes}
        store.put("zarr.json", json.dumps(document).encode())
    else:
        names = (".zarray", ".zgroup", ".zattrs")
        documents = {key: json.loads(store.get(key)) for key in store.list() if key.endswith(names)}
        document = {"zarr_consolidated_format": 1, "metadata": documents}
        store.put(".zmetadata", json.dumps(document).encode())
    return sz.open_group(store, mode="r+", use_consolidated=True)


def test_children(root):
    a = root.create_array("x/a", shape=(3,), dtype="i4")
    root.create_group("x/g", attributes={"k": 1})
    root["b"] = np.arange(3)
    assert sorted(root) == ["b", "x"]
    assert list(root.keys()) == ["b", "x"]
    assert len(root) == 2
    assert list(root.array_keys()) == ["b"]
    assert list(root.group_keys()) == ["x"]
    assert [name for name, _ in root.arrays()] == ["b"]
    assert [name for name, _ in root.groups()] == ["x"]
    assert [path for path, _ in root.members(max_depth=1)] == ["b", "x", "x/a", "x/g"]
    assert root["x"]["a"].url == a.url == root["/x/a/"].url
    assert root["x/g"].attrs["k"] == 1
    assert root["b"][...].tolist() == [0, 1, 2]
    assert root["b"].zarr_format == root.zarr_format
    assert "x/a" in root
    assert "x/b" not in root
    assert root.get("none", 5) == 5
    root["b"] = np.arange(2)
    assert root["b"].shape == (2,)
    with pytest.raises(KeyError, match="no Zarr"):
        root["none"]
    assert str(root.tree()) == "/\n├── b (2,) int64\n└── x\n    ├── a (3,) int32\n    └── g"
    assert str(root.tree(level=1)) == "/\n├── b (2,) int64\n└── x"
    assert root.tree()._repr_html_().startswith("<pre>/\n")


def test_deleting(root):
    root.create_array("x/a", data=np.arange(3))
    del root["x"]
    assert list(root) == []
    assert not list(root.store.list("x"))
    with pytest.raises(KeyError):
        del root["x"]
    with pytest.raises(UnsupportedError):
        del root[""]


def test_attributes_and_names(root):
    root.attrs["a"] = 1
    assert root.update_attributes({"b": 2}).attrs.asdict() == {"run": 7, "a": 1, "b": 2}
    assert sz.open_group(root.store).attrs.asdict() == {"run": 7, "a": 1, "b": 2}
    child = root.create_group("x/y")
    assert (child.path, child.name, child.basename) == ("x/y", "/x/y", "y")
    assert repr(child) == f"<Group {root.url}/x/y>"


def test_requiring(root):
    group = root.require_group("g")
    assert root.require_group("g").url == group.url
    array = root.require_array("a", shape=(3,), dtype="i4", chunks=(2,))
    assert root.require_array("a", shape=3, dtype="i2").url == array.url
    with pytest.raises(NodeExistsError):
        root.require_group("a")
    with pytest.raises(NodeExistsError):
        root.require_array("g", shape=(3,), dtype="i4")
    with pytest.raises(NodeExistsError):
        root.require_array("a", shape=(4,), dtype="i4")
    with pytest.raises(NodeExistsError):
        root.require_array("a", shape=(3,), dtype="i2", exact=True)
    with pytest.raises(NodeExistsError):
        root.require_array("a", shape=(3,), dtype="f8")


def test_existing_nodes_are_kept_unless_overwritten(root):
    root.create_array("a", data=np.arange(3))
    for create in (lambda: root.create_array("a", shape=(1,), dtype="i4"), lambda: root.create_group("a")):
        with pytest.raises(NodeExistsError):
            create()
    with pytest.raises(NodeExistsError, match="is an array"):
        root.create_group("a/b", overwrite=True)
    assert root["a"].shape == (3,)
    root.create_group("a", overwrite=True)
    assert not list(root.store.list("a/c"))


def test_read_only(root):
    reader = sz.open_group(root.store)
    for write in (
        lambda: reader.create_group("a"),
        lambda: reader.create_array("a", shape=(1,), dtype="i4"),
        lambda: reader.attrs.update(a=1),
        lambda: reader.__delitem__("a"),
    ):
        with pytest.raises(UnsupportedError, match="read-only"):
            write()


def test_consolidated_metadata_stays_true_when_children_come_and_go(root):
    root.create_array("x/a", data=np.arange(3))
    found = consolidate(root)
    found.create_array("y/b", data=np.arange(4))
    found.create_group("x/g")
    assert [path for path, _ in sz.open_group(root.store).members(None)] == ["x", "x/a", "x/g", "y", "y/b"]
    del found["x"]
    again = sz.open_group(root.store, use_consolidated=True)
    assert [path for path, _ in again.members(None)] == ["y", "y/b"]
    assert again["y"]["b"][...].tolist() == [0, 1, 2, 3]
    found.attrs["z"] = 1
    assert sz.open_group(root.store, use_consolidated=True).attrs.asdict() == {"run": 7, "z": 1}


def test_consolidated_metadata_can_be_required(root):
    with pytest.raises(MetadataError, match="no consolidated"):
        sz.open_group(root.store, use_consolidated=True)


@pytest.mark.parametrize(
    "document",
    [{"kind": "file", "metadata": {}}, {"kind": "inline"}, {"kind": "inline", "metadata": [1]}, 3],
    ids=str,
)
def test_consolidated_metadata_that_is_none(document):
    store = MemoryStore()
    sz.create_group(store)
    whole = json.loads(store.get("zarr.json")) | {"consolidated_metadata": document}
    store.put("zarr.json", json.dumps(whole).encode())
    check_broken(store)
    assert json.loads(store.get("zarr.json"))["consolidated_metadata"]["metadata"].keys() == {"x"}


@pytest.mark.parametrize(
    "document",
    [b"{", b"[]", b'{"zarr_consolidated_format": 2, "metadata": {}}', b'{"zarr_consolidated_format": 1}'],
    ids=str,
)
def test_consolidated_metadata_of_v2_that_are_none(document):
    store = MemoryStore()
    sz.create_group(store, zarr_format=2)
    store.put(".zmetadata", document)
    check_broken(store)


def check_broken(store):
    """A group whose consolidated metadata cannot be read says so, opens without, and can be mended."""
    for use_consolidated in (None, True):
        with pytest.raises(MetadataError, match=r"(consolidated_metadata|zmetadata).*use_consolidated=False"):
            sz.open_group(store, use_consolidated=use_consolidated)
    with pytest.raises(MetadataError, match="use_consolidated=False"):
        sz.open(store)
    plain = sz.open_group(store, mode="r+", use_consolidated=False)
    plain.create_array("x", data=np.arange(3)).append([3])
    plain.attrs["k"] = 1
    assert plain["x"].shape == (4,)
    with pytest.raises(MetadataError):
        sz.open_group(store)
    assert sz.consolidate_metadata(store)["x"].shape == (4,)
    assert sz.open_group(store, use_consolidated=True).attrs["k"] == 1


def test_modes(tmp_path):
    path = str(tmp_path / "a.zarr")
    for opening in (sz.open_array, sz.open_group, sz.open):
        for mode in ("r", "r+"):
            with pytest.raises(NodeNotFoundError, match="no array or group"):
                opening(path, mode=mode)
    options = {"shape": (3,), "dtype": "i4"}
    sz.open_array(path, mode="a", **options)[...] = 5
    assert sz.open_array(path, mode="a", shape=(9,), dtype="f8")[...].tolist() == [5, 5, 5]
    with pytest.raises(NodeExistsError):
        sz.open_array(path, mode="w-", **options)
    assert sz.open_array(path, mode="w", **options)[...].tolist() == [0, 0, 0]
    with pytest.raises(ConfigError, match="creates nothing"):
        sz.open_array(path, mode="r", **options)
    with pytest.raises(ConfigError, match="mode"):
        sz.open_array(path, mode="x")
    with pytest.raises(NodeNotFoundError, match="is an array"):
        sz.open_group(path)
    with pytest.raises(NodeNotFoundError, match="no Zarr v2"):
        sz.open_array(path, zarr_format=2)
    group = sz.open_group(str(tmp_path / "g.zarr"), mode="a", attributes={"x": 1})
    assert sz.open_group(group.url, mode="a").attrs["x"] == 1
    with pytest.raises(NodeNotFoundError, match="is a group"):
        sz.open_array(group.url)
    with pytest.raises(NodeExistsError, match="is a group"):
        sz.open_array(group.url, mode="a", **options)
    assert isinstance(sz.open(group.url), sz.Group)
    assert isinstance(sz.open(path), sz.Array)
    assert isinstance(sz.open(str(tmp_path / "n"), mode="w", **options), sz.Array)
    assert isinstance(sz.open(str(tmp_path / "m"), mode="a"), sz.Group)
    assert list(sz.open_group(group.url, mode="w")) == []
    with pytest.raises(ConfigError):
        sz.create_group("memory://", zarr_format=4)


def test_of_two_creators_one_wins():
    class Slow(MemoryStore):
        """Lets another process create the node between the look and the write."""

        def put(self, key, data, **conditions):
            if key == "a/zarr.json":
                super().put(key, b"{}")
            return super().put(key, data, **conditions)

    with pytest.raises(NodeExistsError, match="just created"):
        sz.create_array(Slow(), path="a", shape=(1,), dtype="i4")


def test_what_is_in_the_way_is_said_by_its_kind(root):
    """zarr-python's ContainsArrayError and ContainsGroupError."""
    root.create_array("a", data=np.arange(3))
    root.create_group("g")
    store = root.store
    for make in (
        lambda: root.create_array("a", shape=(1,), dtype="i4"),
        lambda: root.create_group("a"),
        lambda: sz.create_array(store, path="a", shape=(1,), dtype="i4", zarr_format=root.zarr_format),
    ):
        with pytest.raises(ContainsArrayError, match=r"an array is already at .*/a; pass overwrite=True"):
            make()
    for make in (
        lambda: root.create_array("g", shape=(1,), dtype="i4"),
        lambda: root.create_group("g"),
        lambda: sz.open_group(store, path="g", mode="w-", zarr_format=root.zarr_format),
    ):
        with pytest.raises(ContainsGroupError, match=r"a group is already at .*/g; pass overwrite=True"):
            make()
    for make in (
        lambda: root.create_array("a/b/c", shape=(1,), dtype="i4"),
        lambda: root.create_group("a/b"),
        lambda: root.require_group("a"),
        lambda: root.require_array("a", shape=(9,), dtype="i4"),
        lambda: sz.open_group(store, path="a", mode="a"),
    ):
        with pytest.raises(ContainsArrayError):
            make()
    for make in (
        lambda: root.require_array("g", shape=(1,), dtype="i4"),
        lambda: sz.open_array(store, path="g", mode="a", shape=(1,), dtype="i4"),
    ):
        with pytest.raises(ContainsGroupError):
            make()
    assert sorted(root) == ["a", "g"]
    assert issubclass(ContainsArrayError, NodeExistsError)
    assert issubclass(ContainsGroupError, FileExistsError)


def test_values_and_counts_of_children(root):
    root["x/a"] = np.arange(4)
    root["b"] = np.arange(3)
    assert [array.path for array in root.array_values()] == ["b"]
    assert [group.path for group in root.group_values()] == ["x"]
    assert (root.nmembers(), root.nmembers(max_depth=None)) == (2, 3)
    assert [group.path for group in root.require_groups("x", "y/z")] == ["x", "y/z"]
    assert root.require_group("w", attributes={"n": 1}).attrs["n"] == 1
    assert root.require_group("w", attributes={"n": 2}).attrs["n"] == 1
    assert root.require_group("w", attributes={"n": 2}, overwrite=True).attrs["n"] == 2
    for name in ("", "/"):
        with pytest.raises(ConfigError, match="needs a name"):
            root.create_group(name)


def test_descriptions(root):
    root["x/a"] = np.arange(4)
    info = root.info
    assert str(info).splitlines() == [
        "Name                  : /",
        "Type                  : Group",
        f"Zarr format           : {root.zarr_format}",
        "Read only             : False",
        "Store type            : MemoryStore",
        "Consolidated metadata : False",
    ]
    assert str(root.info_complete()).splitlines()[6:] == [
        "No. members           : 2",
        "No. arrays            : 1",
        "No. groups            : 1",
    ]
    array = root["x/a"]
    stored = sum(len(root.store.get(key)) for key in root.store.list("x/a"))
    assert array.nbytes_stored() == stored
    complete = array.info_complete()
    assert (complete.no_bytes, complete.no_bytes_stored, complete.chunks_initialized) == (32, stored, "1/1")
    assert complete.storage_ratio == round(32 / stored, 1)
    assert "Chunks initialized : 1/1" in str(complete)
    assert "stored" not in str(array.info)


def test_hostile_names_are_text_in_a_tree():
    store = MemoryStore()
    sz.create_group(store)
    for name in ("<img src=x onerror=alert(1)>", "&amp;", "two\nlines", "\x1b[2J", "\u202egnp.exe"):
        store.put(f"{name}/zarr.json", b'{"zarr_format": 3, "node_type": "group"}')
    tree = sz.open_group(store).tree()
    lines = str(tree).splitlines()
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)
    assert any(line.endswith("two\\nlines") for line in lines)
    shown = tree._repr_html_()
    assert "<img" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown
    assert "&amp;amp;" in shown


def test_attributes_keep_their_order_and_are_refused_before_anything_is_written(root):
    values = {"zeta": 1, "ünïcødé 🌡": "°C", "alpha": [None, {"b": 1, "a": 2}], "": ""}
    puts, store = [], root.store
    original = store.put

    def put(key, *data, **conditions):
        puts.append(key)
        return original(key, *data, **conditions)

    store.put = put
    root.attrs.put(values)
    root.attrs.update({"last": 1}, more=2)
    assert len(puts) == 2
    assert list(sz.open_group(store).attrs) == [*values, "last", "more"]
    assert sz.open_group(store).attrs["ünïcødé 🌡"] == "°C"
    for wrong in (float("nan"), float("inf"), {"deep": [1, float("-inf")]}):
        with pytest.raises(MetadataError, match="not finite"):
            root.attrs.update(a=wrong)
    with pytest.raises(MetadataError, match="cannot be written as JSON"):
        root.attrs["a"] = object()
    with pytest.raises(TypeError):
        root.attrs[3] = 1
    assert len(puts) == 2
    assert list(root.attrs) == [*values, "last", "more"]


def test_children_are_read_side_by_side_from_a_store_that_likes_it(root):
    for name in "abcdef":
        root.create_group(name)
    meeting = threading.Barrier(3, timeout=30)

    class Slow(WrappedStore):
        @property
        def capabilities(self):
            return replace(self.inner.capabilities, in_flight=3)

        def get(self, key, byte_range=None):
            if key in {f"{name}/{DOCUMENT[root.zarr_format]}" for name in "abcdef"}:
                meeting.wait()  # three readers must be here at once, or this fails
            return self.inner.get(key, byte_range)

    slow = sz.open_group(Slow(root.store))
    assert [name for name, _ in slow.members()] == list("abcdef")


DOCUMENT = {2: ".zgroup", 3: "zarr.json"}


def test_a_large_hierarchy_in_consolidated_metadata(root):
    spec = {"shape": (1,), "dtype": "i2"}
    root.create_hierarchy({f"g{a}/h{b}/x": spec for a in range(20) for b in range(20)})
    found = sz.consolidate_metadata(root.store)
    names = [path for path, _ in found.members(None)]
    assert len(names) == len(set(names)) == 20 + 400 + 400
    assert all(found[path].path == path for path in names)
    assert found["g3"]["h4"]["x"].path == "g3/h4/x"
    assert [path for path, _ in found["g3"].members(None)][:3] == ["h0", "h0/x", "h1"]
    assert found["g3"].get("h40") is None
