"""A stream is changed by its writer alone: the array layer refuses what would damage it."""

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import UnsupportedError
from streamzarr.stores import MemoryStore
from streamzarr.stream import check

DAMAGE = {
    "create_array": lambda store: sz.open_group(store, mode="r+").create_array("y", shape=(3,), dtype="i4"),
    "create_group": lambda store: sz.open_group(store, mode="r+").create_group("y"),
    "create_hierarchy": lambda store: sz.open_group(store, mode="r+").create_hierarchy({"y": {}}),
    "require_group": lambda store: sz.open_group(store, mode="r+").require_group("y"),
    "set an array": lambda store: sz.open_group(store, mode="r+").__setitem__("y", np.ones(3)),
    "delete": lambda store: sz.open_group(store, mode="r+").__delitem__("x"),
    "resize": lambda store: sz.open_group(store, mode="r+")["x"].resize(9),
    "append": lambda store: sz.open_group(store, mode="r+")["x"].append([1]),
    "resize a field": lambda store: sz.open_array(store, path="x", mode="r+").resize(9),
    "append to a field": lambda store: sz.open_array(store, path="x", mode="r+").append([1]),
    "consolidate": sz.consolidate_metadata,
    "a stream below": lambda store: sz.StreamWriter(store, "y", schema={"n": "i4"}),
    "a stream further below": lambda store: sz.StreamWriter(store, "y/z", schema={"n": "i4"}),
    "an array by its path": lambda store: sz.create_array(store, path="y", shape=(3,), dtype="i4"),
    "an array further below": lambda store: sz.create_array(store, path="y/z", shape=(3,), dtype="i4"),
    "a group by its path": lambda store: sz.open_group(store, path="y", mode="a"),
    "a field made anew": lambda store: sz.create_array(
        store, path="x", shape=(3,), dtype="i4", overwrite=True
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_would_damage_a_stream_is_refused(damage):
    store = MemoryStore()
    writer = sz.StreamWriter(store, schema={"x": "i4"}, chunk_rows=2)
    writer.append({"x": [1, 2, 3]})
    writer.commit()
    content = {key: store.get(key) for key in store.list()}
    with pytest.raises(UnsupportedError, match=r"is a stream, .*use sz\.StreamWriter"):
        DAMAGE[damage](store)
    assert {key: store.get(key) for key in store.list()} == content
    writer.append({"x": [4]})
    writer.close()
    assert sz.open_stream(store)["x"][:].tolist() == [1, 2, 3, 4]
    assert check(store).findings == ()


def test_attributes_of_a_stream_and_of_its_fields_may_be_changed():
    store = MemoryStore()
    writer = sz.StreamWriter(store, schema={"x": "i4"})
    group = sz.open_group(store, mode="r+")
    group.attrs["place"] = "roof"
    group["x"].attrs["unit"] = "V"
    writer.append({"x": [1]})
    writer.close()
    assert sz.open_stream(store)["x"].attributes["unit"] == "V"
    assert sz.open_group(store).attrs["place"] == "roof"


def test_arrays_beside_a_stream_are_free():
    store = MemoryStore()
    root = sz.create_group(store)
    sz.StreamWriter(store, "log", schema={"x": "i4"}).close()
    other = root.create_array("other", shape=(3,), dtype="i4")
    other.resize(5)
    other.append([1])
    assert len(other) == 6
    del root["log"]
    assert "log" not in root
