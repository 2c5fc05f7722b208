import multiprocessing
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib

import pytest

from streamzarr.errors import (
    ChecksumError,
    ConfigError,
    KeyNotFoundError,
    LimitExceededError,
    StoreError,
    UnsupportedError,
)
from streamzarr.stores import RangeRequest, ZipBuilder, ZipStore, is_below, join_url, open_store
from streamzarr.testing.stores import StoreReadSuite, StoreSuite


class TestZipStore(StoreReadSuite):
    @pytest.fixture
    def stored(self, tmp_path):
        def build(values):
            with ZipBuilder(tmp_path / "a.zip") as store:
                store.put_many(values.items())
            return ZipStore(tmp_path / "a.zip")

        return build


class TestCompressedZipStore(StoreReadSuite):
    @pytest.fixture
    def stored(self, tmp_path):
        def build(values):
            with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.mkdir("a directory entry")
                for key, value in values.items():
                    archive.writestr(key, value)
            return ZipStore(tmp_path / "a.zip")

        return build


class TestZipStoreBelowPrefix(StoreReadSuite):
    @pytest.fixture
    def stored(self, tmp_path):
        def build(values):
            with ZipBuilder(tmp_path / "a.zip") as store:
                store.put_many((f"level/0/{key}", value) for key, value in values.items())
                store.put("level/01", b"not ours")
            return open_store(f"zip://{tmp_path}/a.zip/level/0")

        return build


class TestZipBuilder(StoreSuite):
    picklable = False

    @pytest.fixture
    def store(self, tmp_path):
        builder = ZipBuilder(tmp_path / "a.zip")
        yield builder
        builder.discard()

    def test_close_is_not_the_end(self):
        """A builder that is closed is done, and says so: see below."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.zip"


def test_the_archive_appears_whole_when_closed(path):
    builder = ZipBuilder(path)
    builder.put("b", b"2" * 1000)
    builder.put("a/c", b"old")
    builder.put("a/c", b"1")
    builder.put("gone", b"")
    builder.delete("gone")
    assert not path.exists()
    builder.close()
    builder.close()
    assert os.listdir(path.parent) == ["a.zip"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert [(m.filename, m.compress_type) for m in archive.infolist()] == [("a/c", 0), ("b", 0)]
        assert archive.read("a/c") == b"1"
    for write in (lambda: builder.put("late", b""), lambda: builder.put_many([("late", b"")])):
        with pytest.raises(UnsupportedError, match="closed"):
            write()
    assert os.listdir(path.parent) == ["a.zip"]


def test_equal_values_give_equal_archives(tmp_path):
    for name, order in (("1.zip", ["a", "b"]), ("2.zip", ["b", "a"])):
        with ZipBuilder(tmp_path / name) as store:
            store.put_many((key, key.encode()) for key in order)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_an_exception_discards_and_keeps_the_old_archive(path):
    with ZipBuilder(path) as store:
        store.put("a", b"1")
    reader = ZipStore(path)
    assert reader.get("a") == b"1"
    with pytest.raises(ConfigError), ZipBuilder(path) as store:
        store.put("../a", b"2")
    assert os.listdir(path.parent) == ["a.zip"]
    with ZipBuilder(path) as store:
        store.put("a", b"3")
    assert reader.get("a") == b"1"  # the archive it has open
    reader.close()
    assert reader.get("a") == b"3"


def test_another_process_can_fill_a_builder(path):
    with ZipBuilder(path) as store:
        code = "import sys; from streamzarr.stores import open_store; open_store(sys.argv[1]).put('a', b'1')"
        subprocess.run([sys.executable, "-c", code, store.url], check=True)
    assert ZipStore(path).get("a") == b"1"


def test_what_a_killed_builder_left_is_removed(path):
    code = (
        "import os, sys; from streamzarr.stores import ZipBuilder; s = ZipBuilder(sys.argv[1]); "
        "s.put('a', b'1'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert len(os.listdir(path.parent)) == 1
    living = ZipBuilder(path)
    living.put("b", b"2")
    with ZipBuilder(path.parent / "other.zip") as store:
        store.put("c", b"3")
    living.close()
    assert sorted(os.listdir(path.parent)) == ["a.zip", "other.zip"]
    assert list(ZipStore(path).list()) == ["b"]


def test_an_archive_is_read_only(path):
    with ZipBuilder(path) as store:
        store.put("a", b"1")
    reader = open_store(f"zip://{path}")
    assert not reader.capabilities.writable
    assert not reader.capabilities.conditional_put
    for write in (
        lambda: reader.put("a", b""),
        lambda: reader.delete("a"),
        lambda: reader.delete_prefix("a"),
    ):
        with pytest.raises(UnsupportedError, match="ZipBuilder"):
            write()


def test_urls_reach_into_the_archive(path):
    with ZipBuilder(path) as store:
        store.put("level/0/zarr.json", b"{}")
    child = open_store(join_url(ZipStore(path).url, "level/0"))
    assert child.get("zarr.json") == b"{}"
    assert child.url == f"zip://{path}/level/0"
    assert is_below(child.url, ZipStore(path).url)
    assert not is_below(f"zip://{path}/../b.zip", ZipStore(path).url)
    assert open_store(path).get("level/0/zarr.json") == b"{}"
    with pytest.raises(ConfigError):
        open_store("zip://relative/a.zip")


@pytest.mark.parametrize("content", [None, b"", b"PK", b"not an archive" * 100])
def test_what_is_no_archive(path, content):
    if content is not None:
        path.write_bytes(content)
    for read in (
        lambda store: store.get("a"),
        lambda store: list(store.list()),
        lambda store: store.head("a"),
    ):
        with pytest.raises(StoreError, match=r"a\.zip") as caught:
            read(ZipStore(path))
        assert not isinstance(caught.value, KeyNotFoundError)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_flipped_byte_is_an_error_or_harmless(path, method):
    value = bytes(range(256)) * 4
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a", value)
    whole = path.read_bytes()
    caught = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            assert ZipStore(path).get("a") == value
        except (StoreError, ChecksumError, LimitExceededError):
            caught += 1
    assert caught > len(value) * (method == zipfile.ZIP_STORED)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_truncated_archive_is_an_error(path, method):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a", b"value" * 100)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(StoreError):
            ZipStore(path).get("a")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a//b", "a\\b", "./a"])
def test_names_that_lead_outside_are_refused(path, name):
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("placeholder")
        member.filename = name
        archive.writestr(member, b"evil")
    with pytest.raises(UnsupportedError, match="no key can have"):
        list(ZipStore(path).list())


def test_a_bomb_is_not_inflated(path):
    """A member that inflates to 64 MiB and says that it has 10 bytes; and one that says 1 TiB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(64 << 20))
    raw = path.read_bytes()
    size = struct.pack("<I", 64 << 20)
    path.write_bytes(raw.replace(size, struct.pack("<I", 10)))
    tracemalloc.start()
    try:
        with pytest.raises(ChecksumError, match="expected 10"):
            ZipStore(path).get("a")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    path.write_bytes(raw.replace(size, struct.pack("<I", 0xFFFFFF00)))
    with pytest.raises(LimitExceededError):
        ZipStore(path).get("a")


def test_encrypted_and_unknown_compression_are_refused(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", b"1")
    with pytest.raises(UnsupportedError, match="compression 12"):
        ZipStore(path).get("a")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"1")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(UnsupportedError, match="encrypted"):
        ZipStore(path).get("a")


def read_often(store, value, failures):
    for _ in range(300):
        if store.get("a") != value or store.get("a", RangeRequest(5, 50)) != value[5:50]:
            failures.put(1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_children_read_the_open_archive(path):
    value = os.urandom(100_000)
    with ZipBuilder(path) as store:
        store.put("a", value)
    store = ZipStore(path)
    assert zlib.crc32(store.get("a")) == zlib.crc32(value)
    context = multiprocessing.get_context("fork")
    failures = context.SimpleQueue()
    children = [context.Process(target=read_often, args=(store, value, failures)) for _ in range(2)]
    for child in children:
        child.start()
    read_often(store, value, failures)
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    assert failures.empty()


def test_an_unwritable_place_is_a_store_error(tmp_path):
    with pytest.raises(StoreError, match="cannot build"):
        ZipBuilder(tmp_path / "missing" / "a.zip")
