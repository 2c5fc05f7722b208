"""Chunk key encodings: the two of the specification, and those that users register."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import zarr
from zarr.core.chunk_key_encodings import DefaultChunkKeyEncoding

import streamzarr as sz
from streamzarr.errors import ConfigError, MetadataError
from streamzarr.stores import MemoryStore
from streamzarr.zarr import DefaultKeys, V2Keys, chunk_keys
from streamzarr.zarr.grids import keys


@dataclass(frozen=True)
class Bucketed:
    """Chunks in folders by their last number, so that no folder has very many."""

    width: int = 2

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"expected a width of at least 1, got {self.width}")

    def encode(self, index):
        return f"b/{index[-1] % 10**self.width:0{self.width}}/" + ".".join(map(str, index))

    def decode(self, key):
        index = tuple(map(int, key.rpartition("/")[2].split(".")))
        if key != self.encode(index):
            raise ValueError(key)
        return index

    def to_json(self):
        return {"name": "bucketed", "configuration": {"width": self.width}}


@pytest.fixture
def bucketed():
    sz.chunk_keys.register("bucketed", Bucketed)
    yield
    chunk_keys.unregister("bucketed")


@pytest.mark.parametrize(
    "given", ["bucketed", {"name": "bucketed", "configuration": {}}, Bucketed()], ids=str
)
def test_a_registered_encoding_names_the_chunks(bucketed, given):
    store = MemoryStore()
    made = sz.create_array(
        store, data=np.arange(5), chunks=1, chunk_key_encoding=given, dimension_names=["x"]
    )
    assert sorted(store.list("b")) == ["b/01/1", "b/02/2", "b/03/3", "b/04/4"]
    assert made.chunk_key((0,)) == "b/00/0"
    z = sz.open_array(store, mode="r+")
    assert z.metadata.chunk_keys == Bucketed()
    assert z[:].tolist() == [0, 1, 2, 3, 4]
    assert z.nchunks_initialized == 4  # chunk 0 holds the fill value alone
    z.resize(2)
    assert sorted(store.list("b")) == ["b/01/1"]
    assert json.loads(store.get("zarr.json"))["chunk_key_encoding"] == Bucketed().to_json()


def test_a_name_that_nobody_registered_is_never_taken_for_another():
    store = MemoryStore()
    sz.create_array(store, data=np.arange(3))
    document = json.loads(store.get("zarr.json"))
    for wrong in ("bucketed", {"name": "bucketed", "must_understand": False}, {"name": 3}, None, ["default"]):
        store.put("zarr.json", json.dumps(document | {"chunk_key_encoding": wrong}).encode())
        with pytest.raises(MetadataError, match=r"unknown chunk_key_encoding.*known: default, v2"):
            sz.open_array(store)
    with pytest.raises(MetadataError, match="unknown chunk_key_encoding 'bucketed'"):
        sz.create_array(store, shape=(1,), dtype="i4", chunk_key_encoding="bucketed", overwrite=True)


def test_a_configuration_that_an_encoding_refuses(bucketed):
    for name, wrong in (
        ("bucketed", {"width": 0}),
        ("bucketed", {"depth": 2}),
        ("default", {"separator": "-"}),
        ("v2", {"separator": None}),
        ("v2", {"base": 16}),
    ):
        with pytest.raises(MetadataError, match=f"chunk_key_encoding.*{name}"):
            sz.create_array(
                "memory://",
                shape=(1,),
                dtype="i4",
                chunk_key_encoding={"name": name, "configuration": wrong},
            )


def test_registering(bucketed):
    assert chunk_keys.names() == ["bucketed", "default", "v2"]
    with pytest.raises(ConfigError, match="'bucketed' is registered already"):
        chunk_keys.register("bucketed", Bucketed)
    chunk_keys.register("bucketed", Bucketed, replace=True)
    for name in ("default", "v2"):
        with pytest.raises(ConfigError, match="registered already"):
            chunk_keys.register(name, Bucketed, replace=True)
        with pytest.raises(ConfigError, match="cannot be unregistered"):
            chunk_keys.unregister(name)
    with pytest.raises(ConfigError, match="'other' cannot be unregistered"):
        chunk_keys.unregister("other")


def test_entry_points_name_encodings(monkeypatch):
    point = EntryPoint("bucketed", f"{__name__}:Bucketed", "streamzarr.chunk_keys")
    monkeypatch.setattr(EntryPoint, "load", lambda self: Bucketed)
    monkeypatch.setattr(keys, "entry_points", lambda group, name="bucketed": [point] * (name == point.name))
    assert "bucketed" in chunk_keys.names()
    z = sz.create_array("memory://", data=np.arange(3), chunk_key_encoding="bucketed")
    assert z.chunk_key((0,)) == "b/00/0"
    chunk_keys.unregister("bucketed")


def test_a_class_derived_from_a_built_in_one_has_its_own_form():
    class Padded(DefaultKeys):
        def encode(self, index):
            return "/".join(["c", *(f"{c:04}" for c in index)])

    store = MemoryStore()
    z = sz.create_array(store, data=np.arange(1, 9), chunks=2, compressors=None, chunk_key_encoding=Padded())
    assert sorted(store.list("c")) == ["c/0000", "c/0001", "c/0002", "c/0003"]
    assert z[:].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/", DefaultKeys("/")),
        (".", DefaultKeys(".")),
        ("default", DefaultKeys()),
        ("v2", V2Keys()),
        ({"name": "v2", "separator": "/"}, V2Keys("/")),
        ({"name": "default", "configuration": {"separator": "."}}, DefaultKeys(".")),
        (DefaultChunkKeyEncoding(separator="."), DefaultKeys(".")),
        (V2Keys("/"), V2Keys("/")),
        (None, DefaultKeys()),
    ],
    ids=str,
)
def test_ways_to_name_an_encoding(given, expected, tmp_path):
    z = sz.create_array(str(tmp_path), data=np.arange(4), chunks=2, chunk_key_encoding=given)
    assert z.metadata.chunk_keys == expected
    assert zarr.open_array(tmp_path)[:].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("encoding", [DefaultKeys("/"), DefaultKeys("."), V2Keys("."), V2Keys("/")], ids=str)
@pytest.mark.parametrize("index", [(), (0,), (3, 0), (12, 345, 6)])
def test_keys_are_decoded_to_what_was_encoded(encoding, index):
    if index or isinstance(encoding, DefaultKeys):
        assert encoding.decode(encoding.encode(index)) == index
    for wrong in ("c/x", "c/01", "x/1", "1.-2", "", "zarr.json"):
        with pytest.raises(ValueError):  # noqa: PT011 - what it says is for people
            encoding.decode(wrong)
