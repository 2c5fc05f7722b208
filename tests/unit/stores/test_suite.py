"""Every store, and every wrapper of one, behaves as the suite says."""

import pytest

from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.testing.faults import FaultyStore, LatencyStore, RecordingStore
from streamzarr.testing.stores import StoreSuite


class TestMemoryStore(StoreSuite):
    picklable = False

    @pytest.fixture
    def store(self):
        return MemoryStore()


class TestMemoryStoreBelowPrefix(StoreSuite):
    picklable = False

    @pytest.fixture
    def store(self):
        beside = MemoryStore()
        beside.put("beside", b"not ours")
        beside.put("level/01", b"not ours")
        beside.put("level/0", b"not ours")
        return MemoryStore(beside.url.removeprefix("memory://"), "level/0")


class TestLocalStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path):
        return LocalStore(tmp_path / "new directory" / "a.zarr")


class TestLocalStoreWithoutSync(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path):
        return LocalStore(tmp_path, fsync=False)


class TestFaultyStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path):
        return FaultyStore(LocalStore(tmp_path, fsync=False))


class TestLatencyStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path):
        return LatencyStore(LocalStore(tmp_path, fsync=False), latency=0.0)


class TestRecordingStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path):
        return RecordingStore(LocalStore(tmp_path, fsync=False))
