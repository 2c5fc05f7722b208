"""Chunks that are written only where what is stored is what the writer expects."""

from dataclasses import replace

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import ConfigError, PreconditionFailedError, UnsupportedError
from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.testing.faults import LatencyStore

LAYOUTS = {
    "v3": {},
    "v2": {"zarr_format": 2},
    "shards": {"shards": (4, 4), "chunks": (2, 2)},
    "cached": {"cache": 1 << 20},
}


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path)


@pytest.fixture(params=LAYOUTS)
def z(request, store):
    options = {"chunks": (4, 4)} | LAYOUTS[request.param]
    return sz.create_array(store, path="a", shape=(8, 6), dtype="i4", fill_value=7, **options)


def test_a_chunk_is_created_once(z):
    assert z.chunk_etag((0, 1)) is None
    z.write_chunk((0, 1), np.full((4, 2), 1), if_none_match=True)
    etag = z.chunk_etag((0, 1))
    assert etag == z.store.head(z.chunk_key((0, 1))).etag
    with pytest.raises(PreconditionFailedError, match=z.chunk_key((0, 1))):
        z.write_chunk((0, 1), np.full((4, 2), 2), if_none_match=True)
    assert z.chunk_etag((0, 1)) == etag
    assert (z.read_chunk((0, 1)) == 1).all()


def test_a_chunk_is_replaced_if_it_is_the_expected_one(z):
    z[:] = 1
    etag = z.chunk_etag((0, 0))
    z.write_chunk((0, 0), np.full((4, 4), 2), if_match=etag)
    assert (z.read_chunk((0, 0)) == 2).all()
    with pytest.raises(PreconditionFailedError):
        z.write_chunk((0, 0), np.full((4, 4), 3), if_match=etag)
    z.delete_chunk((0, 0))
    with pytest.raises(PreconditionFailedError):
        z.write_chunk((0, 0), np.full((4, 4), 3), if_match=etag)
    assert not z.has_chunk((0, 0))


def test_an_empty_chunk_that_must_be_absent_stays_absent(z):
    empty = np.full((4, 4), 7)
    z.write_chunk((0, 0), empty, if_none_match=True)
    assert z.chunk_etag((0, 0)) is None
    z.write_chunk((0, 0), np.full((4, 4), 1))
    with pytest.raises(PreconditionFailedError, match=r"chunk \(0, 0\) .* expected no value"):
        z.write_chunk((0, 0), empty, if_none_match=True)
    assert (z.read_chunk((0, 0)) == 1).all()
    z.write_chunk((1, 0), empty, if_none_match=True, write_empty=True)
    assert z.has_chunk((1, 0))
    with pytest.raises(PreconditionFailedError):
        z.write_chunk((1, 0), np.full((4, 4), 1), if_none_match=True)


def test_an_empty_chunk_that_replaces_another_is_stored(z):
    """No store removes a value on a condition in one step, so the key stays."""
    z[:] = 1
    z.write_chunk((0, 0), np.full((4, 4), 7), if_match=z.chunk_etag((0, 0)), write_empty=False)
    assert z.has_chunk((0, 0))
    assert (z.read_chunk((0, 0), missing="error") == 7).all()
    with pytest.raises(PreconditionFailedError):
        z.write_chunk((0, 0), np.full((4, 4), 7), if_match="other")


def test_conditions_are_refused_where_they_cannot_hold(z):
    class Unconditional(LatencyStore):
        @property
        def capabilities(self):
            return replace(super().capabilities, conditional_put=False)

    plain = sz.open_array(Unconditional(z.store, latency=0.0), path="a", mode="r+")
    for condition in ({"if_none_match": True}, {"if_match": "x"}):
        with pytest.raises(UnsupportedError, match="no conditional put"):
            plain.write_chunk((0, 0), np.full((4, 4), 7), **condition)
    with pytest.raises(UnsupportedError, match="read-only"):
        sz.open_array(z.store, path="a").write_chunk((0, 0), np.full((4, 4), 1), if_none_match=True)
    with pytest.raises(ConfigError, match="exclude each other"):
        z.write_chunk((0, 0), np.full((4, 4), 1), if_match="x", if_none_match=True)
    for index in ((2, 0), (0,)):
        with pytest.raises(IndexError):
            z.chunk_etag(index)
    assert not list(z.store.list("a/c"))
