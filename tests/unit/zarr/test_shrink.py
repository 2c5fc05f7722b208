"""What shrinking an array costs: requests are counted, no time is taken."""

import os
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamzarr as sz
from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.stores.base import BATCH
from streamzarr.testing.faults import RecordingStore
from streamzarr.zarr.chunks.shrink import FEW, concerned, outside


class Distant(MemoryStore):
    """Likes eight requests in flight, and notes how many were under way at a time."""

    def __init__(self):
        super().__init__()
        self.most = self.now = 0
        self.changed = threading.Condition()
        self.patient = False

    @property
    def capabilities(self):
        return replace(super().capabilities, in_flight=8)

    @contextmanager
    def request(self, key):
        with self.changed:
            self.now += 1
            self.most = max(self.most, self.now)
            self.changed.notify_all()
            if self.patient and key.startswith("c/"):  # meets others, if they come at all
                self.changed.wait_for(lambda: self.most > 1, timeout=20)
        try:
            yield
        finally:
            with self.changed:
                self.now -= 1

    def delete(self, key, *, if_match=None):
        with self.request(key):
            super().delete(key, if_match=if_match)

    def head(self, key):
        with self.request(key):
            return super().head(key)

    def get(self, key, byte_range=None):
        with self.request(key):
            return super().get(key, byte_range)

    def list_sizes(self, prefix=""):
        return super(MemoryStore, self).list_sizes(prefix)


def test_a_grid_of_a_billion_positions_is_listed_not_tried():
    store = RecordingStore(MemoryStore())
    z = sz.create_array(store, shape=(10**9, 3), chunks=(1, 2), dtype="i4")
    for row in (0, 1, 7, 10**8):
        z[row] = row + 1
    store.clear()
    z.resize((2, 3))
    assert (store.count("list"), store.count("delete")) == (1, 4)  # two chunks of each of two rows
    assert z.nchunks_initialized == 4
    z.resize((10**9, 3))
    assert z[10**8].tolist() == z[7].tolist() == [0, 0, 0]
    assert z[1].tolist() == [2, 2, 2]


def test_clearing_a_billion_boundary_chunks_lists_them():
    store = RecordingStore(MemoryStore())
    z = sz.create_array(store, shape=(10**9, 4), chunks=(1, 4), dtype="i4")
    z[5] = z[10**6] = 9
    store.clear()
    z.resize((10**9, 1), clear=True)
    assert (store.count("list"), store.count("delete"), store.count("put", "c/*")) == (1, 0, 2)
    z.resize((10**9, 4))
    assert z[5].tolist() == z[10**6].tolist() == [9, 0, 0, 0]


def test_few_positions_are_tried_without_a_listing():
    store = RecordingStore(MemoryStore())
    z = sz.create_array(store, data=np.ones(5000), chunks=5)
    store.clear()
    z.resize(4000)
    assert (store.count("list"), store.count("delete")) == (0, 200)


def test_a_listing_ends_when_it_costs_more_than_trying_all_positions():
    listed = 0

    class Counting(MemoryStore):
        def list(self, prefix=""):
            nonlocal listed
            for key in super().list(prefix):
                listed += 1
                yield key

    z = sz.create_array(Counting(), data=np.ones(20 * FEW), chunks=1)
    z.resize(18 * FEW)
    assert listed <= 4 * FEW + 2  # of those that stay, those that go, and the metadata
    assert z.nchunks_initialized == 18 * FEW
    z.resize(20 * FEW)
    assert not z[18 * FEW :].any()


@pytest.mark.parametrize("clear", [False, True])
def test_chunks_are_removed_and_cleared_in_flight(clear):
    store = Distant()
    z = sz.create_array(store, data=np.ones((40, 40)), chunks=(2, 40))
    store.patient, store.most = True, 0
    z.resize((40, 10) if clear else (10, 40), clear=clear)
    assert 1 < store.most <= 8
    store.patient = False
    z.resize((40, 40))
    assert z[:].sum() == 400


def test_sizes_of_what_is_stored_are_asked_for_in_flight_or_listed():
    store = Distant()
    z = sz.create_array(store, data=np.ones(40), chunks=2, compressors=None)
    expected = 20 * 16 + len(store.get("zarr.json"))
    store.patient, store.most = True, 0
    assert z.nbytes_stored() == expected
    assert 1 < store.most <= 8
    listing = RecordingStore(MemoryStore())
    z = sz.create_array(listing, data=np.ones(40), chunks=2, compressors=None)
    listing.clear()
    assert z.nbytes_stored() == expected
    assert listing.count("head") == 0


def test_a_handle_that_is_stale_removes_what_another_has_appended():
    store = MemoryStore()
    stale = sz.create_array(store, shape=(4,), chunks=(2,), dtype="i4")
    sz.open_array(store, mode="r+").append(np.full(8, 7, "i4"))
    stale.resize(2)
    stale.resize(12)
    assert not stale[2:].any()


def test_a_prefix_is_deleted_in_bounded_memory():
    waiting = most = 0

    class Counting(MemoryStore):
        delete_prefix = sz.stores.Store.delete_prefix

        def list(self, prefix=""):
            nonlocal waiting, most
            for key in super().list(prefix):
                waiting += 1
                most = max(most, waiting)
                yield key

        def delete(self, key, *, if_match=None):
            nonlocal waiting
            waiting -= 1
            super().delete(key, if_match=if_match)

    store = Counting()
    store.put_many((f"a/{number}", b"1") for number in range(5 * BATCH))
    store.delete_prefix("a")
    assert list(store.list()) == []
    assert most <= BATCH


def test_files_of_one_directory_are_removed_under_one_sync(tmp_path, monkeypatch):
    store = LocalStore(tmp_path / "a", fsync=False)
    z = sz.create_array(store, shape=3000, chunks=1, dtype="u1")
    z[:] = 1
    synced = []
    durable = sz.open_array(LocalStore(tmp_path / "a"), mode="r+")
    monkeypatch.setattr(os, "fsync", synced.append)
    durable.resize(1)
    assert [*durable.store.list("c")] == ["c/0"]
    assert len(synced) < 10  # the metadata, and a batch of a thousand each


shapes = st.lists(st.integers(0, 4), min_size=0, max_size=3).map(tuple)


@given(st.data())
def test_what_is_concerned_is_what_is_outside(data):
    old = data.draw(shapes)
    new = tuple(data.draw(st.integers(0, 5)) for _ in old)
    every = set(np.ndindex(*old))
    found = [*outside(old, new)]
    assert set(found) == {index for index in every if any(at >= n for at, n in zip(index, new, strict=True))}
    assert len(found) == len(set(found))
    assert [*concerned(old, new, lambda: pytest.fail("few are not listed"))] == found
