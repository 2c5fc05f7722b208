"""Groups of which one member cannot be read: it is named, and passed over where it must; all else opens."""

from __future__ import annotations

import json

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import LimitExceededError, MetadataError, NodeNotFoundError
from streamzarr.limits import Limits
from streamzarr.stores import MemoryStore

UNREADABLE = (MetadataError, LimitExceededError)


def array_with(zarr_format, **changes):
    """Return the document of an array that another library wrote, with something that is unknown to us."""
    z = sz.create_array("memory://", shape=(4,), chunks=(2,), dtype="i4", zarr_format=zarr_format)
    return json.dumps(z.metadata.to_json() | changes).encode()


HUGE = {"name": "regular", "configuration": {"chunk_shape": [2**40]}}
ODD = {
    2: {
        "type": (".zarray", array_with(2, dtype="<f32x")),
        "objects": (".zarray", array_with(2, dtype="|O", filters=[{"id": "nobody.knows"}])),
        "compressor": (".zarray", array_with(2, compressor={"id": "nobody.knows"})),
        "fill value": (".zarray", array_with(2, fill_value={"not": "a number"})),
        "rank": (".zarray", array_with(2, shape=[1] * 65, chunks=[1] * 65)),
        "format": (".zgroup", b'{"zarr_format": 7}'),
        "empty": (".zarray", b"{}"),
        "not JSON": (".zarray", b"{"),
        "a list": (".zgroup", b"[]"),
    },
    3: {
        "type": ("zarr.json", array_with(3, data_type="nobody.knows")),
        "type with a configuration": (
            "zarr.json",
            array_with(3, data_type={"name": "x", "configuration": {}}),
        ),
        "codec": ("zarr.json", array_with(3, codecs=["bytes", {"name": "nobody.knows"}])),
        "grid": ("zarr.json", array_with(3, chunk_grid={"name": "hexagonal"})),
        "names of chunks": ("zarr.json", array_with(3, chunk_key_encoding={"name": "nobody.knows"})),
        "key": ("zarr.json", array_with(3, nobody={"knows": 1})),
        "chunk": ("zarr.json", array_with(3, chunk_grid=HUGE)),
        "group": ("zarr.json", b'{"zarr_format": 3, "node_type": "group", "nobody": {"knows": 1}}'),
        "kind of node": ("zarr.json", b'{"zarr_format": 3, "node_type": "table"}'),
        "empty": ("zarr.json", b"{}"),
        "not JSON": ("zarr.json", b"\xff"),
        "a list": ("zarr.json", b"[]"),
    },
}
CASES = [(zarr_format, odd) for zarr_format, names in ODD.items() for odd in names]


@pytest.fixture(params=CASES, ids=str)
def root(request):
    zarr_format, odd = request.param
    root = sz.create_group(MemoryStore(), zarr_format=zarr_format)
    root.create_array("good", data=np.arange(4))
    root.create_array("g/x", data=np.arange(3))
    name, document = ODD[zarr_format][odd]
    for path in ("bad", "g/bad"):
        root.store.put(f"{path}/{name}", document)
        root.store.put(f"{path}/{'0' if zarr_format == 2 else 'c/0'}", b"chunk")
    return root


@pytest.fixture(params=[False, True], ids=["plain", "consolidated"])
def group(root, request):
    if request.param:
        consolidated(root)
    return sz.open_group(root.store, mode="r+", use_consolidated=request.param)


def consolidated(root):
    """Consolidate as another library would: every document that is JSON, and null for those that are not."""
    documents = {}
    for key in root.store.list():
        if key.endswith((".zarray", ".zgroup", ".zattrs", "zarr.json")):
            try:
                documents[key] = json.loads(root.store.get(key))
            except ValueError:
                documents[key] = None
    if root.zarr_format == 2:
        document = {"zarr_consolidated_format": 1, "metadata": documents}
        root.store.put(".zmetadata", json.dumps(document).encode())
    else:
        own = documents.pop("zarr.json")
        nodes = {key.removesuffix("/zarr.json"): each for key, each in documents.items()}
        own["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": nodes}
        root.store.put("zarr.json", json.dumps(own).encode())


def test_names_are_told_of_all(group):
    assert sorted(group.keys()) == sorted(group) == ["bad", "g", "good"]
    assert len(group) == 3
    assert "bad" in group
    assert "g/bad" in group
    assert "worse" not in group


def test_what_can_be_read_is_opened(group):
    assert group["good"][:].tolist() == [0, 1, 2, 3]
    assert group["g"]["x"][:].tolist() == [0, 1, 2]
    with pytest.raises(UNREADABLE):
        group["bad"]
    with pytest.raises(UNREADABLE):
        group["g"]["bad"]
    with pytest.raises(NodeNotFoundError):
        group["worse"]


def test_what_cannot_be_read_is_passed_over_by_name(group):
    with pytest.warns(UserWarning, match=r"'bad' is passed over") as warned:
        assert [path for path, _ in group.members()] == ["g", "good"]
    assert len(warned) == 1
    with pytest.warns(UserWarning, match="'g/bad' is passed over|'bad' is passed over") as warned:
        assert [path for path, _ in group.members(None)] == ["g", "g/x", "good"]
    assert len(warned) == 2
    with pytest.warns(UserWarning, match="passed over"):
        assert [*group.array_keys()] == ["good"]
    with pytest.warns(UserWarning, match="passed over"):
        assert [*group.group_keys()] == ["g"]
    with pytest.warns(UserWarning, match="passed over"):
        assert group.info_complete().no_members == 3
    with pytest.warns(UserWarning, match="passed over"):
        assert sz.load(group.store).keys() == {"good"}


def test_the_tree_says_why(group):
    lines = str(group.tree()).splitlines()
    assert [line for line in lines if "bad" in line and "cannot be read" in line] == [lines[1], lines[3]]
    assert len(lines) == 6
    assert "cannot be read" in group.tree()._repr_html_()


def test_it_is_deleted_and_replaced(group):
    del group["bad"]
    assert not [*group.store.list("bad")]
    assert sorted(group) == ["g", "good"]
    del group["g"]["bad"]
    group.create_array("bad", data=np.arange(2))
    assert sz.open_group(group.store)["bad"][:].tolist() == [0, 1]


@pytest.mark.parametrize(("zarr_format", "odd"), [(2, "type"), (2, "compressor"), (3, "type"), (3, "codec")])
def test_it_is_replaced(zarr_format, odd):
    root = sz.create_group(MemoryStore(), zarr_format=zarr_format)
    name, document = ODD[zarr_format][odd]
    root.store.put(f"bad/{name}", document)
    root.store.put(f"bad/{'1' if zarr_format == 2 else 'c/1'}", b"chunk")
    consolidated(root)
    group = sz.open_group(root.store, mode="r+")
    group["bad"] = np.arange(2)
    assert sz.open_group(root.store)["bad"][:].tolist() == [0, 1]


def test_all_else_changes(group):
    group["good"].append([4])
    group["g/x"].attrs["k"] = 1
    group.attrs["k"] = 2
    group.create_array("new", data=np.arange(2))
    group.require_group("h")
    found = sz.open_group(group.store)
    assert found["good"].shape == (5,)
    assert sorted(found) == ["bad", "g", "good", "h", "new"]
    with pytest.raises(UNREADABLE):
        group.require_array("bad", shape=4, dtype="i4")


@pytest.mark.filterwarnings("ignore:.*not consolidated")
def test_it_is_consolidated_as_it_is(root):
    before = json_document(root, "bad")
    found = sz.consolidate_metadata(root.store)
    assert sorted(found) == (["bad", "g", "good"] if before is not None else ["g", "good"])
    assert found["g/x"][:].tolist() == [0, 1, 2]
    with pytest.raises(UNREADABLE):
        found["bad"]
    kept = found.metadata.consolidated.get("bad" if root.zarr_format == 3 else f"bad/{before and before[0]}")
    assert before is None or kept == before[1]


def json_document(root, path):
    for key in root.store.list(path):
        try:
            document = json.loads(root.store.get(key))
        except ValueError:
            continue
        if isinstance(document, dict):
            return key.rpartition("/")[2], document
    return None


def test_converting_says_what_is_lost(group):
    other = 5 - group.zarr_format
    lost = sz.explain_conversion(group, other)
    assert [each for each in lost if "bad" in each] == lost
    assert len(lost) == 2
    with pytest.raises(MetadataError, match="bad"):
        sz.convert(group, "memory://", zarr_format=other)
    plain = sz.open_group(group.store, use_consolidated=False)
    converted = sz.convert(plain, "memory://", zarr_format=other, lossy=True)
    assert [path for path, _ in converted.members(None)] == ["g", "g/x", "good"]


def test_it_is_copied_as_it_is(group):
    copied = sz.copy(group, MemoryStore())
    assert sorted(copied) == sorted(group)
    assert copied["g/x"][:].tolist() == [0, 1, 2]
    for key in group.store.list("bad"):
        assert copied.store.get(key) == group.store.get(key)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_document_that_is_too_large_is_left_out_of_those_consolidated(zarr_format, monkeypatch):
    root = sz.create_group(MemoryStore(), zarr_format=zarr_format)
    root.create_array("good", data=np.arange(3))
    document = ".zarray" if zarr_format == 2 else "zarr.json"
    monkeypatch.setattr("streamzarr.zarr.nodes.hierarchy.DEFAULT_LIMITS", Limits(max_metadata_bytes=4096))
    root.store.put(f"bad/{document}", array_with(zarr_format, chunks=None, padding="x" * 5000))
    with pytest.warns(UserWarning, match="'bad' is not consolidated"):
        found = sz.consolidate_metadata(root.store)
    assert found["good"][:].tolist() == [0, 1, 2]
