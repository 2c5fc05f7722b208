"""Replacing a node: nothing foreign is removed, and at no moment is anything read that was not written."""

import hashlib
import os
from contextlib import suppress

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import NodeExistsError, StoreError, StreamzarrError
from streamzarr.stores import LocalStore, MemoryStore, StoredObject
from streamzarr.testing.faults import Fault, FaultyStore, RecordingStore

VALUES = np.arange(1, 25, dtype="i4").reshape(4, 6)


def array(store, path, **options):
    return sz.create_array(store, path=path, **{"data": VALUES, "chunks": (2, 3)} | options)


def group(store, path, **options):
    made = sz.create_group(store, path=path, attributes={"kind": "group"}, **options)
    made.create_array("c", data=[1, 2], chunks=1, chunk_key_encoding="." if made.zarr_format == 3 else None)
    made.create_array("deep/er", data=VALUES, chunks=(4, 3))
    made.create_array("0", data=5)
    return made


def consolidated(store, path, **options):
    group(store, path, **options)
    return sz.consolidate_metadata(store, path)


MAKERS = {
    "array": array,
    "array of v2": lambda *place, **o: array(*place, **o, zarr_format=2),
    "nested v2": lambda *place, **o: array(*place, **o, zarr_format=2, chunk_key_encoding="/"),
    "dots": lambda *place, **o: array(*place, **o, chunk_key_encoding="."),
    "shards": lambda *place, **o: array(*place, **o, shards=(4, 6)),
    "rectilinear": lambda *place, **o: array(*place, **o, chunks=[[1, 3], [2, 4]]),
    "no dimensions": lambda *place, **o: array(*place, **o, data=7, chunks="auto"),
    "no dimensions in v2": lambda *place, **o: array(*place, **o, data=7, chunks="auto", zarr_format=2),
    "without data": lambda *place, **o: array(*place, **o, data=None, shape=(3,), dtype="f4", chunks=2),
    "group": group,
    "group of v2": lambda *place, **o: group(*place, **o, zarr_format=2),
    "consolidated": consolidated,
    "consolidated v2": lambda *place, **o: consolidated(*place, **o, zarr_format=2),
}


def contents(store):
    return {key: store.get(key) for key in store.list()}


def below(store, start):
    """Return what lies below a node, without blanks at the ends."""
    return {key[len(start) :]: data.strip() for key, data in contents(store).items() if key.startswith(start)}


def replacement(kind, store, path="a"):
    """Make the node of `kind` in place of what is there, without its children and data."""
    zarr_format = 2 if "v2" in kind else 3
    if "group" in kind or "consolidated" in kind:
        return sz.create_group(store, path=path, zarr_format=zarr_format, overwrite=True)
    keys = "." if kind == "dots" else None
    return sz.create_array(
        store, path=path, shape=(4, 6), dtype="f8", chunks=(2, 3), fill_value=-1, overwrite=True,
        zarr_format=zarr_format, chunk_key_encoding=keys,
    )  # fmt: skip


NEW = ["array", "dots", "array of v2", "group", "group of v2"]


@pytest.mark.parametrize("new", NEW)
@pytest.mark.parametrize("old", MAKERS)
def test_only_the_new_node_is_left(old, new, tmp_path):
    for store in (MemoryStore(), LocalStore(tmp_path, fsync=False)):
        MAKERS[old](store, "a")
        replacement(new, store)
        fresh = MemoryStore()
        replacement(new, fresh)
        assert below(store, "a") == below(fresh, "a")
    assert sorted(entry.name for entry in (tmp_path / "a").iterdir()) == sorted(below(fresh, "a/"))


def what_is_read(store):
    """Return the values of every array below, of all that a reader can see at "a"."""
    node = sz.open(store, path="a")
    if isinstance(node, sz.Array):
        return {"": node[...].tolist()}
    return {path: each[...].tolist() for path, each in node.members(None) if isinstance(each, sz.Array)}


def is_change(call):
    return call.operation in ("put", "delete", "delete_prefix")


@pytest.mark.filterwarnings("ignore:.*holds both")
@pytest.mark.parametrize("new", NEW)
@pytest.mark.parametrize("old", MAKERS)
def test_wherever_it_stops_nothing_is_invented_and_it_can_be_done_again(old, new):
    whole = MemoryStore()
    MAKERS[old](whole, "a")
    before, replaced = what_is_read(whole), MemoryStore()
    replacement(new, replaced)
    after, keys = what_is_read(replaced), {key for key in replaced.list() if key.startswith("a")}
    for step in range(1, 1000):
        store = MemoryStore()
        store.put_many(contents(whole).items())
        failing = FaultyStore(
            store, [Fault(predicate=is_change, nth=step, times=None, error=KeyboardInterrupt)]
        )
        try:
            replacement(new, failing)
        except KeyboardInterrupt:
            read = what_is_read(store)
            if step == 1:
                assert read == before
            elif read != after:
                # Each array is what it was, or without elements, or gone.
                assert all(each == before.get(path) or np.size(each) == 0 for path, each in read.items())
            replacement(new, store)
        assert {key for key in store.list() if key.startswith("a")} == keys
        if not failing.struck:
            break
    assert step > 1


FOREIGN = {
    "array": ["notes.txt", "c/notes.txt", "c/0/0.bak", "c/0/00", "c/0", "0.0", "x/y", "c/0/0/0", "x/c/0/0"],
    "array of v2": ["notes.txt", "0", "0.0.0", "0/0", "c/0/0", "0.00"],
    "dots": ["c.0", "c/0/0", "c.0.0.0"],
    "group": ["notes.txt", "c/0/0", "c/1", "deep/c/0", "deep/er/x", "queue.db", "deep/notes.txt"],
}


@pytest.mark.parametrize("new", ["array", "group of v2"])
@pytest.mark.parametrize(("old", "name"), [(old, name) for old in FOREIGN for name in FOREIGN[old]])
def test_a_foreign_file_is_named_and_nothing_changes(old, name, new, tmp_path):
    for store in (MemoryStore(), LocalStore(tmp_path, fsync=False)):
        MAKERS[old](store, "x/a")
        with suppress(StoreError):  # a file system has no file where a directory is
            store.put(f"x/a/{name}", b"mine")
        if not store.exists(f"x/a/{name}"):
            assert name in ("c/0", "c/0/0/0")
            continue
        before = contents(store)
        with pytest.raises(
            NodeExistsError, match=rf"x/a.* holds 'x/a/{name}', which is part of no Zarr array"
        ):
            replacement(new, store, "x/a")
        with pytest.raises(NodeExistsError, match=f"'x/a/{name}'"):
            sz.open_group(store, path="x", mode="r+").create_hierarchy({"a": {}, "b": {}}, overwrite=True)
        with pytest.raises(NodeExistsError, match=f"'x/a/{name}'"):
            sz.open_group(store, path="x/a", mode="w")
        assert contents(store) == before


def test_a_root_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    for create in (sz.create_group, lambda *a, **o: sz.create_array(*a, **o, data=[1])):
        with pytest.raises(NodeExistsError, match=r"'holiday\.jpg'"):
            create(str(tmp_path), overwrite=True)
    assert os.listdir(tmp_path) == ["holiday.jpg"]


def test_a_plain_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for place, path in ((tmp_path, "file"), (tmp_path, "file/below"), (tmp_path / "file", "")):
        with pytest.raises((NodeExistsError, StoreError), match="file"):
            sz.create_array(str(place), path=path, data=[1], overwrite=True)
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"x"


def test_links_and_what_is_no_value_are_not_passed_over(tmp_path):
    """A link to a directory would show old chunks as new ones."""
    store = LocalStore(tmp_path / "s")
    array(store, "a")
    os.rename(tmp_path / "s/a/c", tmp_path / "s/elsewhere")
    place = tmp_path / "s/a"
    for name, make in (
        ("c", lambda path: path.symlink_to(tmp_path / "s/elsewhere")),
        ("out", lambda path: path.symlink_to(tmp_path)),
        ("dangling", lambda path: path.symlink_to(tmp_path / "nothing")),
        ("pipe", os.mkfifo),
        ("back\\slash", lambda path: path.write_bytes(b"x")),
    ):
        make(place / name)
        assert list(store.list_strange("a")) == [f"a/{name}"]
        with pytest.raises(NodeExistsError, match="which is part of no Zarr array"):
            replacement("array", store)
        (place / name).unlink()
    os.rename(tmp_path / "s/elsewhere", tmp_path / "s/a/c")
    os.rename(tmp_path / "s/a/c/0/0", tmp_path / "kept")
    (tmp_path / "s/a/c/0/0").symlink_to(tmp_path / "kept")  # a link out of the store is not ours
    with pytest.raises(NodeExistsError, match="'a/c/0/0'"):
        replacement("array", store)


def test_what_killed_writers_left_is_not_foreign(tmp_path):
    store = LocalStore(tmp_path)
    array(store, "a")
    (tmp_path / "a/.streamzarr-tmp-killed").write_bytes(b"half")
    (tmp_path / "a/c/0/.streamzarr-tmp-killed").write_bytes(b"half")
    store.put("a/c/7/9", b"of an append that was killed")
    replacement("array", LocalStore(tmp_path))
    assert os.listdir(tmp_path / "a") == ["zarr.json"]


def test_arrays_that_cannot_be_read_can_be_replaced():
    store = MemoryStore()
    array(store, "a")
    document = store.get("a/zarr.json")
    store.put("a/zarr.json", document.replace(b'"zstd"', b'"of the future"').replace(b"0,", b"NaN,", 1))
    with pytest.raises(StreamzarrError):
        sz.open_array(store, path="a")
    replacement("array", store)
    array(store, "b")
    store.put("b/zarr.json", b"broken")
    with pytest.raises(NodeExistsError, match="'b/c/0/0'"):  # nobody can tell whose it is
        replacement("array", store, "b")
    store.delete_prefix("b/c")
    replacement("array", store, "b")
    assert sorted(store.list()) == ["a/zarr.json", "b/zarr.json", "zarr.json"]


def test_what_cannot_be_made_changes_nothing():
    store = MemoryStore()
    group(store, "a")
    array(store, "b")
    before = contents(store)
    over = {"store": store, "overwrite": True}
    for make, error in (
        (lambda: sz.create_array(path="a", data=VALUES, chunks=(0, 1), **over), StreamzarrError),
        (lambda: sz.create_array(path="a", data=VALUES, filters="none such", **over), StreamzarrError),
        (lambda: sz.create_group(path="a", attributes={"x": {1}}, **over), StreamzarrError),
        (lambda: sz.create_group(path="b/x/y", **over), NodeExistsError),
        (lambda: sz.create_group(path="b/c", **over), NodeExistsError),
        (lambda: sz.create_group(path="a/deep/er/x/y", zarr_format=2, **over), NodeExistsError),
    ):
        with pytest.raises(error):
            make()
        assert contents(store) == before


@pytest.mark.parametrize("kind", ["array", "array of v2", "group", "consolidated"])
def test_one_listing(kind):
    store = RecordingStore(MemoryStore())
    MAKERS[kind](store, "a")
    store.clear()
    replacement("array", store)
    calls = [call.operation for call in store.calls]
    assert (calls.count("list"), calls.count("list_dir"), calls.count("delete_prefix")) == (1, 0, 0)


class HashStore(MemoryStore):
    """Etags are hashes of the content, as in S3."""

    def put(self, key, data, *, if_match=None, if_none_match=False):
        if if_match is not None:
            assert self.head(key).etag == if_match
        super().put(key, data, if_none_match=if_none_match)
        return self.head(key).etag

    def fetch(self, key):
        data = super().fetch(key).data
        return StoredObject(data, hashlib.md5(data).hexdigest())


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", ["array", "group"])
def test_what_replaces_a_node_has_another_etag_though_it_is_the_same(kind, zarr_format):
    store = HashStore()
    name = {"array": ".zarray", "group": ".zgroup"}[kind] if zarr_format == 2 else "zarr.json"

    def create(overwrite=True):
        if kind == "group":
            return sz.create_group(store, path="a", zarr_format=zarr_format, overwrite=overwrite)
        return array(store, "a", zarr_format=zarr_format, overwrite=overwrite)

    create(overwrite=False)
    document, etags = store.get(f"a/{name}"), [store.head(f"a/{name}").etag]
    assert document == document.strip()
    for _ in range(3):
        etags.append((create(), store.head(f"a/{name}").etag)[1])
        assert store.get(f"a/{name}").strip() == document
    node = sz.open(store, path="a", mode="r+")
    node.attrs["x"] = 1
    del node.attrs["x"]
    etags.append(store.head(f"a/{name}").etag)
    assert len(set(etags[:4])) == 4
    assert etags[4] not in etags[:3]  # nor does a change of attributes bring an old one back
    sz.open_group(store, mode="r+").create_hierarchy({"a": node.metadata}, overwrite=True)
    sz.copy(sz.copy(node, HashStore()), store, path="a", overwrite=True)
    etags.append(store.head(f"a/{name}").etag)
    assert etags[-1] not in etags[:-1]
    del sz.open_group(store, mode="r+")["a"]
    create()
    assert store.head(f"a/{name}").etag not in etags  # nor a removal in between
    below = []
    for _ in range(2):  # nor is a node below like the one that was removed with the old node
        sz.open_group(store, mode="r+").create_hierarchy({"a": {}, "a/x": node.metadata}, overwrite=True)
        below.append(store.head(f"a/x/{name}").etag)
    assert below[0] != below[1]


def test_of_two_that_replace_a_node_one_is_refused():
    class Racing(MemoryStore):
        def delete_many(self, keys):
            if not Racing.raced:
                Racing.raced = True
                replacement("dots", self)
            super().delete_many(keys)

        raced = False

    store = Racing()
    array(store, "a")
    with pytest.raises(NodeExistsError, match="another process has just created"):
        replacement("array", store)
    assert sz.open_array(store, path="a").metadata.chunk_keys.separator == "."


def test_a_node_that_is_changed_meanwhile_is_not_replaced():
    class Racing(MemoryStore):
        def list(self, prefix=""):
            found = [*super().list(prefix)]
            yield from found
            if prefix == "a" and not Racing.raced:
                Racing.raced = True

        def fetch_limited(self, key, limit):
            found = super().fetch_limited(key, limit)
            if Racing.raced and key == "a/zarr.json":
                Racing.raced = False
                self.put(key, found.data + b" ")
            return found

        raced = False

    store = Racing()
    array(store, "a")
    with pytest.raises(NodeExistsError, match="another process has changed"):
        replacement("array", store)
    assert np.array_equal(sz.open_array(store, path="a")[...], VALUES)


def test_a_copy_that_was_cut_short_can_be_made_again():
    for kind in ("array", "array of v2", "no dimensions", "rectilinear", "group", "consolidated v2"):
        source = MemoryStore()
        MAKERS[kind](source, "a")
        node = sz.open(source, path="a")
        done = False
        for step in range(1, 100):
            target = MemoryStore()
            failing = FaultyStore(target, [Fault("put", nth=step, times=None, error=KeyboardInterrupt)])
            try:
                sz.copy(node, failing, path="b")
                done = True
            except KeyboardInterrupt:
                sz.copy(node, target, path="b", overwrite=True)
            copied = sz.open(target, path="b")
            ours = {key[2:]: data.strip() for key, data in contents(target).items() if key.startswith("b/")}
            assert ours == {
                key[2:]: data.strip() for key, data in contents(source).items() if key[:2] == "a/"
            }
            assert copied.metadata == node.metadata
            if done:
                break
        assert done


def test_nothing_is_copied_or_converted_onto_what_it_is_made_of(tmp_path):
    place = tmp_path / "s"
    group(str(place), "a")
    (tmp_path / "link").symlink_to(place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    for source, target, path in (
        ("a", tmp_path / "link", "a"),
        ("a", f"FILE://{tmp_path}/./link/", "a"),
        ("a", place, ""),
        ("a/deep", tmp_path / "link", "a"),
        ("a", place / "a" / "deep" / ".." / "new", ""),
    ):
        for make in (
            lambda node, *to, **o: sz.copy(node, *to, **o),
            lambda node, *to, **o: sz.convert(node, *to, **o, zarr_format=2),
        ):
            with pytest.raises(NodeExistsError, match="onto itself"):
                make(sz.open(place, path=source), str(target), path=path, overwrite=True)
    with pytest.raises(NodeExistsError, match="onto itself"):
        sz.copy(sz.open(place, path="a"), str(place), path="a/new")
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_an_array_is_not_overwritten_with_itself(tmp_path):
    root = sz.create_group(str(tmp_path / "s"))
    root["a"] = VALUES
    root["g/x"] = VALUES
    (tmp_path / "link").symlink_to(tmp_path / "s")
    linked = sz.open_group(str(tmp_path / "link"), mode="r+")
    for make in (
        lambda: linked.create_array("a", data=root["a"], overwrite=True),
        lambda: linked.__setitem__("a", root["a"]),
        lambda: linked.__setitem__("g", root["g/x"]),
        lambda: sz.create_array(str(tmp_path / "link"), data=root["a"], overwrite=True),
        lambda: sz.from_array(str(tmp_path / "link" / "a"), data=root["a"], overwrite=True),
        lambda: linked.create_hierarchy({"g": {}, "b": {"data": root["g/x"]}}, overwrite=True),
    ):
        with pytest.raises(NodeExistsError, match="onto itself"):
            make()
    assert np.array_equal(root["a"][...], VALUES)
    assert np.array_equal(root["g/x"][...], VALUES)
    assert "b" not in root
    root["b"] = root["a"]
    root["a"] = root["b"]
    assert np.array_equal(root["a"][...], VALUES)
