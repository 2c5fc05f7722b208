"""Settings of the process, and locks of chunks."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import ConfigError
from streamzarr.zarr.chunks import parallel


@pytest.fixture(autouse=True)
def _restored():
    with sz.config.set(threads=None, default_zarr_format=3):
        yield


def test_what_is_created_has_the_default_format_unless_one_is_given():
    with sz.config.set(default_zarr_format=2):
        assert sz.create_array("memory://", shape=1, dtype="i4").zarr_format == 2
        assert sz.create_array("memory://", shape=1, dtype="i4", zarr_format=3).zarr_format == 3
        assert sz.create_group("memory://").zarr_format == 2
        assert sz.open_group("memory://", mode="a").zarr_format == 2
        assert sz.zeros(1, store="memory://").zarr_format == 2
        sz.save("memory://two", a=[1], b=[2])
        assert sz.open("memory://two").zarr_format == 2
        made = sz.create_hierarchy("memory://", {"a": {"data": [1]}})
        assert made["a"].zarr_format == 2
        source = sz.create_array("memory://", data=[1], zarr_format=3)
        assert sz.from_array("memory://", data=source).zarr_format == 3
    assert sz.create_array("memory://", shape=1, dtype="i4").zarr_format == 3


def test_a_group_makes_what_is_in_it_of_its_own_format():
    group = sz.create_group("memory://", zarr_format=3)
    with sz.config.set(default_zarr_format=2):
        assert group.create_array("x", data=[1]).zarr_format == 3


def test_one_thread_is_one_thread(monkeypatch):
    seen = set()
    z = sz.create_array("memory://", shape=(64, 65536), chunks=(1, 65536), dtype="i4", compressors="gzip")
    real = parallel.for_each
    monkeypatch.setattr(parallel, "for_each", lambda *args: (seen.add(args[2]), real(*args)))
    with sz.config.set(threads=1):
        z[...] = np.arange(z.size).reshape(z.shape)
    assert seen == {1}
    with sz.config.set(threads=7):
        np.testing.assert_array_equal(z[...].ravel(), np.arange(z.size))
    assert seen == {1, 7}


def test_settings_last_or_end_with_a_block():
    sz.config.set(threads=3)
    with sz.config.set(threads=2):
        assert sz.config.threads == 2
    with pytest.raises(ZeroDivisionError), sz.config.set(threads=2):
        raise ZeroDivisionError
    assert sz.config.threads == 3
    sz.config.set(threads=None)
    assert sz.config.threads is None


@pytest.mark.parametrize(
    "bad",
    [
        {"threads": 0},
        {"threads": True},
        {"threads": 2.5},
        {"threads": "4"},
        {"default_zarr_format": 4},
        {"thread": 1},
    ],
    ids=str,
)
def test_settings_that_cannot_be_change_nothing(bad):
    with pytest.raises(ConfigError):
        sz.config.set(**bad)
    assert (sz.config.threads, sz.config.default_zarr_format) == (None, 3)


def test_a_lock_keeps_others_out_and_its_holder_in():
    locks = sz.locks.ChunkLocks()
    held, leave = threading.Event(), threading.Event()

    def holder():
        with locks.hold((0, 0), (0, 1)):
            held.set()
            leave.wait(60)

    thread = threading.Thread(target=holder)
    thread.start()
    held.wait(60)
    with pytest.raises(TimeoutError, match=r"\(0, 1\)"), locks.hold((5, 5), (0, 1), timeout=0):
        raise AssertionError("got what another thread holds")
    assert locks.held() == {(0, 0), (0, 1)}  # nothing of what was refused
    with locks.hold((1, 0)), locks.hold((1, 0), (2, 0)):
        assert locks.held() == {(0, 0), (0, 1), (1, 0), (2, 0)}
    assert locks.held() == {(0, 0), (0, 1)}
    leave.set()
    with locks.hold((0, 1), timeout=60):
        pass
    thread.join()
    assert locks.held() == frozenset()


def test_threads_that_change_one_chunk_under_its_lock_lose_nothing():
    z = sz.create_array("memory://", shape=4, chunks=2, dtype="i8")
    locks = sz.locks.ChunkLocks()

    def count():
        for _ in range(100):
            with locks.hold((0,)):
                z.blocks[0] = z.blocks[0] + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert z[:].tolist() == [400, 400, 0, 0]


def test_the_test_kit_is_at_hand():
    store = sz.testing.RecordingStore(sz.stores.MemoryStore())
    store.put("a", b"1")
    assert [call.operation for call in store.calls] == ["put"]
    assert issubclass(sz.testing.FaultyStore, sz.stores.Store)
    assert issubclass(sz.testing.LatencyStore, sz.stores.Store)


def test_all_values_as_bytes_or_as_an_array():
    values = np.arange(6, dtype="i4").reshape(2, 3)
    sz.save_array("memory://all", values, chunks=(1, 2))
    assert sz.open_array("memory://all").tobytes() == values.tobytes()
    np.testing.assert_array_equal(sz.load_array("memory://all"), values)
