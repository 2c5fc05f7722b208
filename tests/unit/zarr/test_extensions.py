"""What a v3 document holds beyond what we know: refused, or kept where it says that it can be ignored."""

from __future__ import annotations

import json

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import MetadataError
from streamzarr.stores import MemoryStore

OPTIONAL = {"name": "org.example.lineage", "configuration": {"run": 7}, "must_understand": False}
NEEDED = {"name": "org.example.cipher"}


@pytest.fixture
def store():
    store = MemoryStore()
    sz.create_array(store, data=np.arange(1, 6), chunks=2, compressors="zstd")
    return store


def change(store, **members):
    document = json.loads(store.get("zarr.json"))
    store.put("zarr.json", json.dumps(document | members).encode())
    return document


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_unknown_codec_that_can_be_ignored_is_kept(store, place):
    codecs = change(store)["codecs"]
    codecs.insert(place, OPTIONAL)
    change(store, codecs=codecs)
    z = sz.open_array(store, mode="r+")
    assert z[:].tolist() == [1, 2, 3, 4, 5]
    z.append([6])
    z.attrs["a"] = 1
    assert z[:].tolist() == [1, 2, 3, 4, 5, 6]
    assert json.loads(store.get("zarr.json"))["codecs"] == codecs


@pytest.mark.parametrize(
    "unknown", [NEEDED, NEEDED | {"must_understand": True}, "org.example.cipher"], ids=str
)
def test_an_unknown_codec_that_is_needed_is_refused(store, unknown):
    change(store, codecs=[*change(store)["codecs"], unknown])
    with pytest.raises(MetadataError, match=r"unknown codec 'org\.example\.cipher'"):
        sz.open_array(store)


def test_a_known_codec_is_never_ignored(store):
    codecs = change(store)["codecs"]
    change(store, codecs=[{**each, "must_understand": False} for each in codecs])
    assert sz.open_array(store)[:].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("key", ["data_type", "chunk_grid", "chunk_key_encoding"])
def test_what_can_never_be_ignored(store, key):
    change(store, **{key: OPTIONAL})
    with pytest.raises(MetadataError, match=key):
        sz.open_array(store)


def test_storage_transformers_are_refused_unless_they_can_be_ignored(store):
    for wrong in ([NEEDED], ["org.example.cipher"], [OPTIONAL, NEEDED], "x", {"a": 1}):
        change(store, storage_transformers=wrong)
        with pytest.raises(MetadataError, match="storage_transformers are not supported"):
            sz.open_array(store)
    change(store, storage_transformers=[OPTIONAL])
    z = sz.open_array(store, mode="r+")
    assert z[:].tolist() == [1, 2, 3, 4, 5]
    z.resize(3)
    assert json.loads(store.get("zarr.json"))["storage_transformers"] == [OPTIONAL]


def test_unknown_keys_of_arrays_and_groups_are_kept_or_refused(store):
    group = MemoryStore()
    sz.create_group(group)
    for opening, each in ((sz.open_array, store), (sz.open_group, group)):
        change(each, lineage={"must_understand": False, "run": 7})
        opening(each, mode="r+").attrs["a"] = 1
        assert json.loads(each.get("zarr.json"))["lineage"] == {"must_understand": False, "run": 7}
        for wrong in ({"must_understand": True}, {}, 3, None, [OPTIONAL]):
            change(each, lineage=wrong)
            with pytest.raises(MetadataError, match="unknown key 'lineage'"):
                opening(each)


def test_names_alone_stand_for_objects_and_are_written_as_objects(store):
    sz.create_array(store, data=np.arange(1, 6, dtype="u1"), overwrite=True)
    change(store, codecs=["bytes", "zstd"], chunk_key_encoding="default")
    z = sz.open_array(store, mode="r+")
    assert z[:].tolist() == [1, 2, 3, 4, 5]
    z.attrs["a"] = 1
    written = json.loads(store.get("zarr.json"))
    assert [each["name"] for each in written["codecs"]] == ["bytes", "zstd"]
    assert written["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
