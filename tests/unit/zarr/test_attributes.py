"""Attributes: every change is stored, what others wrote may stay, what cannot be read is not written."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import LimitExceededError, MetadataError
from streamzarr.limits import Limits
from streamzarr.stores import MemoryStore

DOCUMENT = {2: ".zattrs", 3: "zarr.json"}


@pytest.fixture(params=[2, 3])
def zarr_format(request):
    return request.param


@pytest.fixture(params=["array", "group"])
def node(request, zarr_format):
    store = MemoryStore()
    if request.param == "group":
        return sz.create_group(store, zarr_format=zarr_format)
    return sz.create_array(store, shape=(4,), chunks=(2,), dtype="i4", zarr_format=zarr_format)


def stored(node):
    return sz.open(node.store).attrs.asdict()


def write_attributes(store, zarr_format, text, path=""):
    """Write the attributes of a node as `text`, as another program would."""
    key = f"{path}/{DOCUMENT[zarr_format]}".lstrip("/")
    if zarr_format == 2:
        store.put(key, text.encode())
        return
    document = json.loads(store.get(key)) | {"attributes": "HERE"}
    store.put(key, json.dumps(document).replace('"HERE"', text).encode())


PAIRS = [
    (1, True),
    (0, False),
    (1, 1.0),
    (True, 1.0),
    ([1], [True]),
    ({"a": {"b": [0]}}, {"a": {"b": [False]}}),
    (0.0, -0.0),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (2**53, float(2**53)),
    ([[], {}], [{}, []]),
]


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=str)
def test_a_value_that_compares_equal_but_is_another_is_stored(node, before, after):
    node.attrs["a"] = before
    node.attrs["a"] = after
    assert json.dumps(stored(node)) == json.dumps({"a": after})
    node.attrs.put({"a": before})
    node.attrs.update(a=after)
    assert json.dumps(stored(node)) == json.dumps(node.attrs.asdict()) == json.dumps({"a": after})


NUMPY = [
    (np.arange(3), [0, 1, 2]),
    (np.zeros((2, 2)), [[0.0, 0.0], [0.0, 0.0]]),
    (np.array([]), []),
    (np.array(7), 7),
    (np.float32(0.5), 0.5),
    (np.int8(-1), -1),
    (np.bool_(True), True),
    (np.str_("m"), "m"),
    (np.array(["a", "b"]), ["a", "b"]),
    (np.longdouble(1.5), 1.5),
    (np.array([0.5], np.longdouble), [0.5]),
    ({"deep": [np.arange(2), {"x": np.uint64(2**63)}]}, {"deep": [[0, 1], {"x": 2**63}]}),
    ((1, (2, 3)), [1, [2, 3]]),
]


@pytest.mark.parametrize(("value", "read"), NUMPY, ids=str)
def test_values_of_numpy_are_numbers_and_lists(node, value, read):
    node.attrs["a"] = value
    node.attrs["a"] = value  # comparing it is no longer ambiguous
    assert node.attrs["a"] == stored(node)["a"] == read
    assert type(node.attrs["a"]) is type(read)


@pytest.mark.parametrize(("value", "read"), NUMPY, ids=str)
def test_values_of_numpy_at_creation(zarr_format, value, read):
    store, given = MemoryStore(), {"attributes": {"a": value}}
    group = sz.create_group(store, zarr_format=zarr_format, **given)
    made = [group, group.create_group("g", **given), group.create_array("x", shape=3, dtype="i2", **given)]
    made += group.create_hierarchy({"h": given, "y": {"shape": 3, "dtype": "i2", **given}}).values()
    made += [sz.create_array("memory://", shape=3, dtype="i2", zarr_format=zarr_format, **given)]
    for each in made:
        assert each.attrs["a"] == read
        assert type(each.attrs["a"]) is type(read)


TIMES = [
    np.datetime64("2026-01-01"),
    np.datetime64("2026-01-01T00", "ns"),  # numpy itself makes an integer of it
    np.timedelta64(3, "s"),
    np.array(["2026-01-01", "NaT"], "M8[D]"),
]


@pytest.mark.parametrize("value", [*TIMES, {"deep": TIMES[:1]}], ids=str)
def test_times_of_numpy_are_refused_whatever_their_unit(node, value):
    node.attrs["a"] = "before"
    with pytest.raises(MetadataError, match="is not a JSON type; give text, or a number of units"):
        node.attrs["a"] = value
    assert stored(node) == {"a": "before"}


def test_nothing_is_written_where_nothing_changes(node):
    node.attrs["a"] = [1, {"b": 0.5}]
    etags = {key: node.store.head(key).etag for key in node.store.list()}
    node.attrs["a"] = (np.int64(1), {"b": np.float32(0.5)})
    assert {key: node.store.head(key).etag for key in node.store.list()} == etags


FOREIGN = '{"_FillValue": NaN, "range": [-Infinity, {"top": Infinity}, 1e999], "kept": 1}'


def same_floats(found):
    low, top, high = found["range"]
    return math.isnan(found["_FillValue"]) and (low, top["top"], high) == (-math.inf, math.inf, math.inf)


def test_what_another_library_wrote_may_stay(node, zarr_format):
    write_attributes(node.store, zarr_format, FOREIGN)
    found = sz.open(node.store, mode="r+")
    found.attrs["new"] = 2
    found.attrs.put(found.attrs.asdict() | {"more": 3})
    del found.attrs["kept"]
    assert same_floats(stored(found))
    assert (stored(found)["new"], stored(found)["more"], "kept" in found.attrs) == (2, 3, False)
    for new in (math.nan, np.array([1, np.inf]), {"a": (math.nan,)}, np.float32("nan")):
        with pytest.raises(MetadataError, match="not finite"):
            found.attrs["worse"] = new
    found.attrs["_FillValue"] = 0.0
    del found.attrs["range"]
    assert b"NaN" not in node.store.get(DOCUMENT[zarr_format])


def test_an_array_with_a_nan_among_its_attributes_is_changed_and_carried(zarr_format):
    store = MemoryStore()
    root = sz.create_group(store, zarr_format=zarr_format)
    root.create_array("x", data=np.arange(4.0), chunks=(2,))
    write_attributes(store, zarr_format, FOREIGN, "x")
    x = sz.open_array(store, path="x", mode="r+")
    x.append([4.0, 5.0])
    x.resize(5)
    assert same_floats(sz.open_array(store, path="x").attrs)
    assert same_floats(sz.consolidate_metadata(store)["x"].attrs)
    sz.open_group(store, mode="r+").create_array("y", shape=3, dtype="i2")
    assert same_floats(sz.open_group(store)["x"].attrs)
    for made in (
        sz.from_array("memory://", data=x),
        sz.from_array("memory://", data=x, zarr_format=5 - zarr_format),
        sz.copy(x, "memory://"),
        sz.convert(store, "memory://", zarr_format=zarr_format)["x"],
    ):
        assert made[:].tolist() == [0, 1, 2, 3, 4]
        assert made.attrs["range"][0] == -math.inf
    other = 5 - zarr_format
    assert sz.explain_conversion(x, other) == []
    converted = sz.convert(x, "memory://", zarr_format=other)
    assert converted.attrs["range"][0] == -math.inf


def nested(depth):
    value = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("depth", [56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 200, 5000])
def test_attributes_are_as_deep_as_can_be_read_again(node, depth):
    before = node.attrs.asdict()
    try:
        node.attrs["a"] = nested(depth)
    except (LimitExceededError, MetadataError):
        assert depth > 58
        assert stored(node) == node.attrs.asdict() == before
        with pytest.raises((LimitExceededError, MetadataError)):
            sz.create_group("memory://", zarr_format=node.zarr_format, attributes={"a": nested(depth)})
    else:
        assert stored(node) == {"a": nested(depth)}


@pytest.mark.parametrize("depth", range(50, 64))
def test_what_is_written_can_be_consolidated(zarr_format, depth):
    root = sz.create_group(MemoryStore(), zarr_format=zarr_format)
    child = root.create_array("g/x", shape=3, dtype="i2")
    try:
        child.attrs["a"] = nested(depth)
    except LimitExceededError:
        return
    assert sz.consolidate_metadata(root.store)["g/x"].attrs["a"] == nested(depth)
    assert sz.open_group(root.store)["g/x"].attrs["a"] == nested(depth)


def test_a_document_over_the_limit_is_not_written(zarr_format):
    limits = Limits(max_metadata_bytes=2000)
    store = MemoryStore()
    z = sz.create_array(store, shape=3, dtype="i2", zarr_format=zarr_format, limits=limits)
    for size in range(0, 3000, 50):
        try:
            z.attrs["a"] = "x" * size
        except LimitExceededError:
            break
    else:
        pytest.fail("all was written")
    assert sz.open_array(store, limits=limits).attrs["a"] == "x" * (size - 50)
    z.attrs["a"] = "small"
    new, large = MemoryStore(), {"a": "x" * 3000}
    with pytest.raises(LimitExceededError):
        sz.create_group(new, attributes=large, zarr_format=zarr_format, limits=limits)
    assert [*new.list()] == []


def test_a_circle_is_refused_at_once(node):
    circle = []
    circle += [circle, circle]
    with pytest.raises(MetadataError, match="cannot be written as JSON"):
        node.attrs["a"] = circle
