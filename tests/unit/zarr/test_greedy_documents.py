"""Documents that would have codecs take memory at will are refused before any is taken."""

from __future__ import annotations

import json

import pytest

import streamzarr.zarr as sz
from streamzarr.errors import LimitExceededError, MetadataError
from streamzarr.stores import MemoryStore

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def v3(*codecs, **entries):
    document = sz.create_array("memory://", shape=8, dtype="i4", chunks=4).metadata.to_json()
    store = MemoryStore()
    store.put("zarr.json", json.dumps(document | {"codecs": codecs} | entries).encode())
    return store


def v2(**entries):
    z = sz.create_array("memory://", shape=8, dtype="i4", chunks=4, zarr_format=2, compressors=None)
    store = MemoryStore()
    store.put(".zarray", json.dumps(z.metadata.to_json() | entries).encode())
    return store


GREEDY = {
    "astype": {"encode_dtype": "V1000000000", "decode_dtype": "<i4"},
    "delta": {"dtype": "<i4", "astype": "S1000000000"},
    "quantize": {"digits": 1, "dtype": "<f4", "astype": "U100000000"},
    "zfpy": {"mode": 2, "rate": 1e9},
    "lzma": {"format": 3, "filters": [{"id": 33, "dict_size": 2**32 - 1}]},
}


@pytest.mark.parametrize(("name", "config"), GREEDY.items(), ids=GREEDY)
def test_elements_and_dictionaries_have_a_size(name, config):
    codec = {"name": f"numcodecs.{name}", "configuration": config}
    codecs = {"lzma": [BYTES, codec], "zfpy": [codec]}.get(name, [codec, BYTES])
    with pytest.raises(MetadataError, match="at most"):
        sz.open_array(v3(*codecs))
    with pytest.raises(MetadataError, match="at most"):
        sz.open_array(v2(filters=[{"id": name} | config]))


def test_zfp_has_a_rate_that_could_be_meant():
    with pytest.raises(MetadataError, match="at most 128 bits"):
        sz.open_array(v3({"name": "zfp", "configuration": {"mode": "fixed_rate", "rate": 1e9}}))


def test_a_chain_has_an_end():
    many = [{"name": "gzip", "configuration": {"level": 1}}] * 300
    with pytest.raises(LimitExceededError, match="301 codecs, at most 64"):
        sz.open_array(v3(BYTES, *many))
    with pytest.raises(LimitExceededError, match="300 codecs, at most 64"):
        sz.open_array(v2(filters=[{"id": "gzip", "level": 1}] * 300))


def test_codecs_make_no_arrays_that_are_far_larger_than_chunks():
    wide = {"encode_dtype": "S1000", "decode_dtype": "<i4"}
    grid = {"name": "regular", "configuration": {"chunk_shape": [2**28]}}
    with pytest.raises(MetadataError, match=r"astype.*makes 268435456000 bytes"):
        sz.open_array(v3({"name": "numcodecs.astype", "configuration": wide}, BYTES, chunk_grid=grid))


def test_reshaped_chunks_have_no_more_axes_than_arrays():
    with pytest.raises(MetadataError, match="1001 dimensions, at most 64"):
        sz.open_array(v3({"name": "reshape", "configuration": {"shape": [1] * 1000 + [4]}}, BYTES))
