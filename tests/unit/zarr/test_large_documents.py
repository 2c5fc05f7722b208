"""Documents of thousands of nodes or chunks: what is done to them does not grow with what stays the same."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamzarr.zarr as sz
from streamzarr.errors import LimitExceededError
from streamzarr.limits import Limits
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import RecordingStore
from streamzarr.zarr.grids.rectilinear import RectilinearChunks, RunAxis
from streamzarr.zarr.metadata.document import dump_document, parse_document, same_document


def test_small_documents_are_indented_and_large_ones_are_not():
    small, large = {"a": [1, {"b": "ü"}]}, {str(n): [n] * 100 for n in range(300)}
    assert dump_document(small, "x") == json.dumps(small, indent=2).encode()
    assert dump_document(large, "x").count(b"\n") == 0
    for document in (small, large):
        assert parse_document(dump_document(document, "x"), "x") == document


@pytest.mark.parametrize("filler", [0, 100_000])
def test_what_is_too_deep_is_found_in_either_form(filler):
    document = {"filler": "x" * filler}
    for depth in range(9):
        document = {"inside": [document] if depth % 2 else (document,)}
    dump_document(document, "x", Limits(max_metadata_depth=19))
    with pytest.raises(LimitExceededError, match="deeper than 18"):
        dump_document(document, "x", Limits(max_metadata_depth=18))


def test_what_is_the_very_same_is_not_looked_into():
    never_written = object()
    one, other = {"a": {"b": never_written}, "c": 1}, {"a": {"b": never_written}, "c": 1}
    assert same_document(one, other)
    assert not same_document(one, other | {"c": True})
    assert not same_document(one, {"c": 1, "a": one["a"]})  # another order


def test_a_child_of_a_large_consolidated_group(tmp_path):
    root = sz.create_group("memory://")
    root.create_hierarchy({f"a{n}": {"shape": 4, "dtype": "i4"} for n in range(300)})
    root = sz.consolidate_metadata(root.store)
    root.create_array("between/new", shape=(4,), dtype="i4")
    root.create_array("a7", shape=(5,), dtype="i4", overwrite=True)
    again = sz.open_group(root.store)
    assert len(list(again.members(max_depth=None))) == 302
    assert (again["a7"].shape, again["a8"].shape, again["between/new"].shape) == ((5,), (4,), (4,))


def test_a_large_group_is_read_once_for_many_children_until_another_changes_it():
    store = RecordingStore(MemoryStore())
    sz.create_group(store)
    root = sz.consolidate_metadata(store)
    root.create_array("first", shape=4, dtype="i4")
    store.clear()
    for n in range(5):
        root.create_array(f"a{n}", shape=4, dtype="i4")
    assert (store.count("fetch", "zarr.json"), store.count("put", "zarr.json")) == (0, 5)
    sz.open_group(store, mode="r+").create_array("other", shape=4, dtype="i4")
    sz.open_group(store, mode="r+").attrs["by"] = "another"
    root.create_array("last", shape=4, dtype="i4")
    again = sz.open_group(store)
    assert sorted(again) == ["a0", "a1", "a2", "a3", "a4", "first", "last", "other"]
    assert again.attrs["by"] == "another"


@pytest.mark.parametrize("text", ['x", "node_type": "array"}', 'x,"node_type":"array"} '])
def test_what_a_large_document_is_stands_at_its_end_or_is_parsed(text):
    for document in (
        {
            "node_type": "group",
            "zarr_format": 3,
            "attributes": {"a": text, "filler": "x" * 70_000, "z": text},
        },
        {"zarr_format": 3, "attributes": {"filler": "x" * 70_000, "z": text}, "node_type": "group"},
        {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"filler": "x" * 70_000, "node_type": "array"},
        },
    ):
        store = MemoryStore()
        store.put("zarr.json", json.dumps(document).encode())
        assert sz.create_array(store, path="below", shape=4, dtype="i4").path == "below"


pairs = st.lists(st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=8)


@given(pairs, st.integers(0, 60))
def test_runs_are_the_lengths_one_by_one(given_lengths, extent):
    chunks = RectilinearChunks.of([given_lengths])
    others = RectilinearChunks.of([[np.int64(n) if isinstance(n, int) else [*n] for n in given_lengths]])
    assert chunks == others  # whichever way they were checked
    lengths = [
        n for each in given_lengths for n in ([each] if isinstance(each, int) else [each[0]] * each[1])
    ]
    assert [n for n, count in chunks.edges[0] for _ in range(count)] == lengths
    assert all(one[0] != other[0] for one, other in zip(chunks.edges[0], chunks.edges[0][1:], strict=False))
    assert chunks.lengths(0) == set(lengths)
    extent = min(extent, sum(lengths))
    axis, starts = RunAxis(extent, chunks.edges[0]), np.cumsum([0, *lengths])
    assert axis.count == np.searchsorted(starts, extent)
    for chunk in range(axis.count):
        assert (axis.start(chunk), axis.size(chunk)) == (starts[chunk], lengths[chunk])
    grown = chunks.resized((sum(lengths) + 3,))
    assert [n for n, count in grown.edges[0] for _ in range(count)] == [*lengths, 3]
    assert grown == RectilinearChunks.of([[*lengths, 3]])
    assert chunks.covered(0) == sum(lengths) < math.inf
