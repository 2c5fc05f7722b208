"""zarr-python's own conformance suite and state machines, over our stores behind ``ZarrStore``."""

from __future__ import annotations

import asyncio
import pickle  # noqa: TID251 - stores are sent to other processes
import subprocess
import sys
import uuid

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, assume, settings
from hypothesis.stateful import rule, run_state_machine_as_test
from hypothesis.strategies import binary
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.testing import stateful
from zarr.testing.store import StoreTests
from zarr.testing.strategies import keys

from streamzarr.errors import UnsupportedError
from streamzarr.interop import ZarrStore
from streamzarr.stores import LocalStore, MemoryStore, ReadOnlyStore, ZipBuilder, ZipStore, open_store
from streamzarr.stores.s3 import S3Store

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


class Suite(StoreTests[ZarrStore, cpu.Buffer]):
    """What the suite asks of each store; `set` and `get` go past the adapter."""

    store_cls = ZarrStore
    buffer_cls = cpu.Buffer

    async def set(self, store, key, value):
        store.inner.put(key, value.to_bytes())

    async def get(self, store, key):
        return self.buffer_cls.from_bytes(store.inner.get(key))

    def test_store_repr(self, store):
        assert repr(store) == f"ZarrStore({store.inner.url!r})"
        assert str(store) == store.inner.url

    def test_store_supports_writes(self, store):
        assert store.supports_writes

    def test_store_supports_listing(self, store):
        assert store.supports_listing


class TestMemory(Suite):
    @pytest.fixture
    def store_kwargs(self):
        inner = MemoryStore()
        yield {"store": inner.url}
        del inner  # a nameless store lives as long as someone holds it


class TestLocal(Suite):
    @pytest.fixture
    def store_kwargs(self, tmp_path):
        return {"store": str(tmp_path)}


class TestS3(Suite):
    @pytest.fixture
    def store_kwargs(self, s3_store):
        return {"store": s3_store}


class Repacked(ZarrStore):
    """An archive that is made anew for every value: what fills it is not under test, only what reads it."""

    async def set(self, key, value):
        await self._set_many([(key, value)])

    async def _set_many(self, values):
        archive = self.inner
        with ZipBuilder(archive._path) as builder:
            for old in archive.list():
                builder.put(old, archive.get(old))
            for key, value in values:
                builder.put(key, value.to_bytes())
        archive.close()  # and is opened anew


class TestZip(Suite):
    """The reading half: `WRITES`, below, cannot be asked of an archive."""

    store_cls = Repacked

    @pytest.fixture
    def store_kwargs(self, tmp_path):
        with ZipBuilder(tmp_path / "a.zip"):
            pass
        return {"store": f"zip://{tmp_path}/a.zip"}

    async def set(self, store, key, value):
        await store.set(key, value)

    def test_store_repr(self, store):
        assert repr(store) == f"ZarrStore({store.inner.url!r}, read_only=True)"

    def test_store_supports_writes(self, store):
        assert not store.supports_writes
        assert not store.supports_deletes
        assert store.read_only

    async def test_it_cannot_be_opened_for_writing(self, tmp_path):
        with ZipBuilder(tmp_path / "a.zip") as builder:
            builder.put("a", b"1")
        store = ZarrStore(ZipStore(tmp_path / "a.zip"))
        assert store.read_only
        assert store.with_read_only(False).read_only
        for write in (
            store.set("b", cpu.Buffer.from_bytes(b"")),
            store.set_if_not_exists("b", cpu.Buffer.from_bytes(b"")),
            store.delete("a"),
            store.delete_dir(""),
            store.clear(),
        ):
            with pytest.raises((ValueError, NotImplementedError)):
                await write
        assert pickle.loads(pickle.dumps(store)) == store


WRITES = [
    *("test_clear", "test_delete", "test_delete_dir", "test_delete_nonexistent_key_does_not_raise"),
    *(
        "test_delete_sync",
        "test_delete_sync_missing",
        "test_read_only_store_raises",
        "test_serializable_store",
    ),
    *("test_set", "test_set_if_not_exists", "test_set_many", "test_set_not_open", "test_set_sync"),
    *("test_store_open_read_only", "test_store_read_only", "test_with_read_only_store"),
]
for name in WRITES:
    assert callable(getattr(TestZip, name))
    setattr(TestZip, name, None)  # not collected


# State machines ---------------------------------------------------------------------------------------------

MACHINE = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
OVER_THE_WIRE = settings(MACHINE, max_examples=3, stateful_step_count=12)


class StoreMachine(stateful.ZarrStoreStateMachine):
    """As zarr-python's, but no key lies below another that holds a value: Zarr never does that, and no file
    system can."""

    @rule(key=keys(max_num_nodes=6), data=binary(max_size=stateful.MAX_BINARY_SIZE))
    def set(self, key, data):
        assume(len(key) < 900)
        assume(all(len(name) < 200 for name in key.split("/")))
        assume(not any(f"{old}/".startswith(f"{key}/") != (old == key) for old in self.model))
        assume(not any(key.startswith(f"{old}/") for old in self.model))
        super().set(key, data)


@pytest.fixture(params=["memory", "local", "s3"])
def inner(request, tmp_path):
    if request.param == "s3":
        return request.getfixturevalue("moto_store")
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path, fsync=False)


def test_the_store_state_machine_of_zarr_python(inner):
    how = OVER_THE_WIRE if isinstance(inner, S3Store) else MACHINE
    run_state_machine_as_test(lambda: StoreMachine(ZarrStore(inner)), settings=how)


def test_the_hierarchy_state_machine_of_zarr_python(inner):
    how = OVER_THE_WIRE if isinstance(inner, S3Store) else MACHINE
    run_state_machine_as_test(lambda: stateful.ZarrHierarchyStateMachine(ZarrStore(inner)), settings=how)


def test_what_the_hierarchy_machine_left_reads_the_same_from_an_archive(tmp_path):
    class Packed(stateful.ZarrHierarchyStateMachine):
        def teardown(self):
            path = tmp_path / f"{uuid.uuid4().hex}.zip"
            with ZipBuilder(path) as builder:
                for key in self.store.inner.list():
                    builder.put(key, self.store.inner.get(key))
            archive = ZarrStore(ZipStore(path))
            listed = self._sync_iter(archive.list())
            assert sorted(listed) == sorted(self._sync_iter(self.model.list()))
            for key in listed:
                value = self._sync(archive.get(key, default_buffer_prototype()))
                assert value.to_bytes() == self.store.inner.get(key)
            for directory in {key.rpartition("/")[0] for key in listed}:
                theirs = self._sync_iter(self.model.list_dir(directory))
                assert sorted(self._sync_iter(archive.list_dir(directory))) == sorted(theirs)
            read, model = zarr.open_group(archive, mode="r"), zarr.open_group(self.model, mode="r")
            members = sorted(name for name, _ in read.members(max_depth=None))
            assert members == sorted(name for name, _ in model.members(max_depth=None))

    run_state_machine_as_test(
        lambda: Packed(ZarrStore(MemoryStore())), settings=settings(MACHINE, max_examples=5)
    )


# What the suite does not ask --------------------------------------------------------------------------------


def test_equality_is_of_place_and_way(tmp_path):
    local = ZarrStore(str(tmp_path))
    assert local == ZarrStore(LocalStore(tmp_path))
    assert local != local.with_read_only(True)
    assert local != ZarrStore(str(tmp_path / "other"))
    assert local != str(tmp_path)


def test_a_store_that_was_passed_in_stays_open(tmp_path):
    with ZipBuilder(tmp_path / "a.zip") as builder, ZarrStore(builder) as store:
        zarr.create_array(store, shape=(4,), dtype="i4")[:] = 3
        store.close()
        builder.put("x", b"still open")
    assert zarr.open_array(ZarrStore(tmp_path / "a.zip"), mode="r")[:].tolist() == [3] * 4


def test_a_read_only_store_of_ours_is_one_of_theirs():
    inner = MemoryStore()
    zarr.create_array(ZarrStore(inner), shape=(2,), dtype="i4")[:] = 5
    store = ZarrStore(ReadOnlyStore(inner))
    assert store.read_only
    assert zarr.open_array(store)[:].tolist() == [5, 5]
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_array(store, mode="r+")[:] = 1


def test_a_memory_store_is_pickled_within_its_process_only():
    store = ZarrStore(MemoryStore())
    sent = pickle.dumps(store)
    assert pickle.loads(sent) == store
    done = subprocess.run(
        [sys.executable, "-c", "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"],
        input=sent,
        capture_output=True,
        check=False,
    )
    assert UnsupportedError.__name__ in done.stderr.decode()
    assert "lives in one process" in done.stderr.decode()


async def test_one_of_many_writers_creates_a_key(inner):
    store = ZarrStore(inner)
    values = [cpu.Buffer.from_bytes(bytes([n])) for n in range(8)]
    await asyncio.gather(*(store.set_if_not_exists("k", value) for value in values))
    first = inner.get("k")
    await store.set_if_not_exists("k", cpu.Buffer.from_bytes(b"late"))
    assert inner.get("k") == first
    assert len(first) == 1


async def test_parts_of_several_values_come_in_order_and_missing_ones_are_none(inner):
    store = ZarrStore(inner)
    inner.put("a", b"0123456789")
    inner.put("b", b"abc")
    ranges = [
        ("b", zarr.abc.store.SuffixByteRequest(2)),
        ("a", zarr.abc.store.RangeByteRequest(2, 4)),
        ("missing", None),
        ("a", None),
        ("a", zarr.abc.store.OffsetByteRequest(8)),
    ]
    found = await store.get_partial_values(default_buffer_prototype(), ranges)
    parts = [None if part is None else part.to_bytes() for part in found]
    assert parts == [b"bc", b"23", None, b"0123456789", b"89"]


async def test_a_long_listing_comes_in_pages():
    inner = MemoryStore()
    for n in range(2500):
        inner.put(f"a/{n}", b"")
    inner.put("ab", b"")
    store = ZarrStore(inner)
    assert len([key async for key in store.list_prefix("a/")]) == 2500
    assert len([key async for key in store.list_prefix("a")]) == 2501
    assert [key async for key in store.list_prefix("a/249")] == ["a/249", *(f"a/249{n}" for n in range(10))]


async def test_values_that_are_no_buffers_are_refused():
    with pytest.raises(TypeError, match="expected a zarr Buffer"):
        await ZarrStore("memory://").set("a", b"bytes")


def test_what_one_library_writes_the_other_reads(inner):
    import streamzarr.zarr as sz

    theirs = zarr.create_group(ZarrStore(inner)).create_array(
        "a", shape=(6, 4), chunks=(2, 4), shards=(4, 4), dtype="f4"
    )
    theirs[...] = np.arange(24).reshape(6, 4)
    assert np.array_equal(sz.open_group(inner)["a"][1:5, 2], theirs[1:5, 2])
    sz.open_group(inner, mode="r+")["a"][2] = -1
    assert theirs[2].tolist() == [-1] * 4
    assert open_store(inner) is inner
