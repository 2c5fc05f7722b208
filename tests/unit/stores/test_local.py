"""What only a local store has: files, links, temp files, directories, the disk's errors."""

import fcntl
import os
import stat
import threading
from contextlib import suppress
from itertools import pairwise

import pytest

from streamzarr.errors import ConfigError, KeyNotFoundError, StoreError, UnsupportedError
from streamzarr.stores import DirListing, LocalStore, RangeRequest, directories, local, replace
from streamzarr.stores.replace import TEMP_PREFIX


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "root")


@pytest.fixture
def outside(tmp_path):
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_bytes(b"secret")
    return place


def temp_files(place):
    return [name for _, _, names in os.walk(place) for name in names if name.startswith(TEMP_PREFIX)]


# Links --------------------------------------------------------------------------------------------------


def test_a_link_out_of_the_root_is_refused(store, outside):
    store.put("a/zarr.json", b"{}")
    root = store.root
    os.symlink(outside, f"{root}/linked")
    os.symlink(outside / "secret", f"{root}/a/secret")
    os.symlink("../../outside", f"{root}/a/relative")
    for key in ("linked/secret", "a/secret", "a/relative/secret", "linked/new/deeper"):
        for read in (store.get, store.fetch, store.head, store.exists):
            with pytest.raises(UnsupportedError, match="outside the store"):
                read(key)
        with pytest.raises(UnsupportedError):
            store.get_into(key, bytearray(100))
    for key in ("linked/secret", "a/relative/secret", "linked/new/deeper"):
        with pytest.raises(UnsupportedError):
            store.put(key, b"overwritten")
        with pytest.raises(UnsupportedError):
            store.put_many([(key, b"overwritten")])
        with pytest.raises(UnsupportedError):
            store.delete(key)
    with pytest.raises(UnsupportedError):
        store.delete_prefix("linked")
    with pytest.raises(UnsupportedError):
        store.list_dir("linked")
    assert sorted(store.list()) == ["a/zarr.json"]
    assert store.list_dir() == DirListing((), ("a/",))
    assert store.list_dir("a") == DirListing(("a/zarr.json",), ())

    store.put("a/secret", b"replaces the link")  # the link itself, as a rename does
    assert store.get("a/secret") == b"replaces the link"
    store.delete_prefix("")
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


def test_a_link_within_the_root_is_followed(store):
    store.put("data/v1/c/0", b"chunk")
    os.symlink("v1", f"{store.root}/data/current")
    os.symlink("v1/c/0", f"{store.root}/data/first")
    assert store.get("data/current/c/0") == b"chunk"
    assert store.get("data/first") == b"chunk"
    assert store.head("data/first") == store.head("data/v1/c/0")
    store.put("data/current/c/1", b"more")
    assert store.get("data/v1/c/1") == b"more"
    assert store.list_dir("data") == DirListing(("data/first",), ("data/current/", "data/v1/"))
    assert sorted(store.list("data")) == ["data/first", "data/v1/c/0", "data/v1/c/1"]
    store.put("data/first", b"new", if_match=store.head("data/first").etag)
    assert store.get("data/v1/c/0") == b"chunk"


def test_circles_of_links_end(store):
    store.put("a/b", b"1")
    os.symlink("../a", f"{store.root}/a/circle")
    os.symlink("self", f"{store.root}/self")
    assert list(store.list()) == ["a/b"]
    with pytest.raises(StoreError, match="'self': Too many levels"):
        store.get("self")
    store.delete_prefix("a")
    assert not store.exists("a/b")


def test_links_in_a_directory_that_a_link_leads_to_are_not_listed(store):
    store.put("a/x", b"1")
    for name in ("one", "two"):
        os.symlink("..", f"{store.root}/a/{name}")
    os.symlink("a", f"{store.root}/b")
    assert store.list_dir("a").prefixes == ("a/one/", "a/two/")
    assert store.list_dir("a/one") == DirListing((), ("a/one/a/",))
    assert store.list_dir("a/one/a") == DirListing(("a/one/a/x",), ())
    assert store.list_dir("b") == DirListing(("b/x",), ())
    assert store.get("a/one/a/two/b/x") == b"1"


def test_a_link_that_is_deleted_leaves_what_it_leads_to(store):
    store.put("a/x", b"1")
    os.symlink("..", f"{store.root}/a/up")
    os.symlink("a", f"{store.root}/other")
    os.symlink("nothing", f"{store.root}/dangling")
    assert list(store.list_strange("other")) == ["other", "other/up"]
    for prefix in ("other", "a/up", "dangling", "nowhere/at/all"):
        store.delete_prefix(prefix)
    assert sorted(os.listdir(store.root)) == ["a"]
    assert list(store.list()) == ["a/x"]
    os.symlink("a", f"{store.root}/other")
    store.delete_prefix("other/x")
    store.put("other/y", b"2")
    assert sorted(store.list()) == ["a/x", "a/y"]


def test_a_root_that_is_a_link_is_resolved(tmp_path, outside):
    os.symlink(outside, tmp_path / "alias")
    store = LocalStore(tmp_path / "alias")
    assert store.root == str(outside)
    assert store.get("secret") == b"secret"


# What is in the way -------------------------------------------------------------------------------------


def test_directories_are_no_values(store):
    store.put("a/b", b"1")
    for read in (store.get, store.fetch, store.head):
        with pytest.raises(KeyNotFoundError):
            read("a")
    assert store.get_into("a", bytearray(10)) is None
    with pytest.raises(StoreError, match="'a': Is a directory"):
        store.put("a", b"2")
    with pytest.raises(StoreError, match="'a/b/c': Not a directory"):
        store.put("a/b/c", b"2")
    assert temp_files(store.root) == []


def test_pipes_do_not_hang_a_reader(store):
    store.put("a/b", b"1")
    os.mkfifo(f"{store.root}/a/pipe")
    with pytest.raises(KeyNotFoundError):
        store.get("a/pipe")
    with pytest.raises(KeyNotFoundError):
        store.head("a/pipe")
    assert store.get_into("a/pipe", bytearray(10)) is None
    assert list(store.list()) == ["a/b"]


def test_names_that_no_key_can_have_are_not_listed(store):
    store.put("a", b"1")
    for name in (b"back\\slash", b"\xff\xfe"):
        with open(os.fsencode(store.root) + b"/" + name, "wb"):
            pass
    assert list(store.list()) == ["a"]
    assert store.list_dir().keys == ("a",)


def test_an_unusable_root():
    for root in ("", "a\0b"):
        with pytest.raises(ConfigError):
            LocalStore(root)


def test_values_beyond_one_read_call_are_read_whole(store, monkeypatch):
    """Linux reads at most 2 GiB - 4 KiB in one call; here it is 4 bytes."""
    store.put("a", b"0123456789")
    real_readv, real_preadv, real_pread = os.readv, os.preadv, os.pread
    monkeypatch.setattr(local, "MAX_READ_BYTES", 4)
    monkeypatch.setattr(os, "readv", lambda fd, buffers: real_readv(fd, [memoryview(buffers[0])[:4]]))
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: real_preadv(fd, [buffers[0][:4]], at))
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real_pread(fd, min(size, 4), at))
    for room in (10, 11, 9, 5):
        buffer = bytearray(room)
        assert store.get_into("a", buffer) == 10
        assert buffer.rstrip(b"\0") == b"0123456789"[:room]
    assert store.get("a") == b"0123456789"
    assert store.get("a", RangeRequest(1, 8)) == b"1234567"


# Durability ---------------------------------------------------------------------------------------------


def test_every_step_is_synced_in_order(tmp_path, monkeypatch):
    """New directories from the first one made, the temp file before the rename, its directory after."""
    steps = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(fd):
        name = os.readlink(f"/proc/self/fd/{fd}").removeprefix(str(tmp_path))
        steps.append(("sync", "temp" if TEMP_PREFIX in name else name))
        real_fsync(fd)

    def rename(source, target, **directories):
        steps.append(("rename", target))
        real_rename(source, target, **directories)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    store = LocalStore(tmp_path / "x" / "root")
    store.put("a/b/v", b"1")
    assert steps == [
        *[("sync", ""), ("sync", "/x"), ("sync", "/x/root"), ("sync", "/x/root/a")],
        *[("sync", "temp"), ("rename", "v"), ("sync", "/x/root/a/b")],
    ]
    steps.clear()
    store.put("a/b/w", b"1")
    assert steps == [("sync", "temp"), ("rename", "w"), ("sync", "/x/root/a/b")]
    steps.clear()
    store.put_many([("a/b/1", b""), ("a/b/2", b""), ("a/3", b"")])
    assert steps == [
        *[("sync", "temp")] * 3,
        *[("rename", "1"), ("rename", "2"), ("sync", "/x/root/a/b")],
        *[("rename", "3"), ("sync", "/x/root/a")],
    ]
    steps.clear()
    store.delete("a/b/w")
    assert steps == [("sync", "/x/root/a/b")]
    steps.clear()
    # Another writer may have made the directory a moment ago and not have synced it.
    LocalStore(tmp_path / "x" / "root").put("a/b/v", b"2")
    assert ("sync", "/x/root/a") in steps


def test_without_fsync_nothing_is_synced(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: pytest.fail("synced"))
    store = LocalStore(tmp_path / "root", fsync=False)
    store.put("a/b", b"1")
    store.put_many([("a/c", b"1")])
    store.delete("a/b")
    assert store.url.endswith("?fsync=false")


def test_values_get_the_ordinary_mode(store):
    store.put("a", b"1")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(os.stat(f"{store.root}/a").st_mode) == 0o666 & ~umask


def test_etags_do_not_repeat_within_a_tick_of_the_kernels_clock(tmp_path):
    """An inode number may come back with the third write; the time, finer than the kernel's own, does not."""
    store = LocalStore(tmp_path, fsync=False)
    etags = [store.put("a", b"x") for _ in range(1000)]
    assert len(set(etags)) == len(etags)
    times = [int(etag.split("-")[1], 16) for etag in etags]
    assert all(earlier < later for earlier, later in pairwise(times))


# Temp files ---------------------------------------------------------------------------------------------


def test_temp_files_of_the_dead_are_collected_and_never_shown(store):
    store.put("a/b", b"1")
    for name in ("", "a/"):
        with open(f"{store.root}/{name}{TEMP_PREFIX}dead", "wb") as file:
            file.write(b"half a val")
    assert list(store.list()) == ["a/b"]
    assert store.list_dir() == DirListing((), ("a/",))
    assert store.list_dir("a") == DirListing(("a/b",), ())
    assert [*store.list_stale("a")] == [f"a/{TEMP_PREFIX}dead"]
    assert [*store.list_stale()] == [f"{TEMP_PREFIX}dead", f"a/{TEMP_PREFIX}dead"]
    assert store.collect_stale("a") == 1
    assert store.collect_stale() == 1
    assert store.collect_stale() == 0
    assert temp_files(store.root) == []
    assert store.get("a/b") == b"1"


def test_the_first_write_into_a_directory_collects_there(store):
    store.put("a/b", b"1")
    with open(f"{store.root}/a/{TEMP_PREFIX}dead", "wb"):
        pass
    store.put("a/c", b"1")
    assert len(temp_files(store.root)) == 1
    LocalStore(store.root).put("a/c", b"2")
    assert temp_files(store.root) == []


def test_temp_files_of_the_living_stay(store):
    store.put("a/b", b"1")
    fd = os.open(f"{store.root}/a", os.O_RDONLY)
    temp = replace.TempFile(fd)
    temp.fill(memoryview(b"2"))
    assert [*LocalStore(store.root).list_stale()] == []
    assert LocalStore(store.root).collect_stale() == 0
    temp.rename("b")
    temp.close()
    os.close(fd)
    assert store.get("a/b") == b"2"


def test_a_temp_file_collected_before_its_lock_is_written_again(store, monkeypatch):
    """The collector may come between the creation of the file and its lock: the writer notices."""
    store.put("a", b"1")
    real, taken = fcntl.flock, []

    def flock(fd, operation):
        name = os.readlink(f"/proc/self/fd/{fd}")
        if TEMP_PREFIX in name and not taken and operation == fcntl.LOCK_EX:
            taken.append(name)
            assert LocalStore(store.root).collect_stale() == 1
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    store.put("a", b"2")
    assert taken
    assert store.get("a") == b"2"
    assert temp_files(store.root) == []


def test_keys_cannot_name_temp_files(store):
    for key in (f"{TEMP_PREFIX}x", f"a/{TEMP_PREFIX}x/b"):
        with pytest.raises(ConfigError):
            store.put(key, b"")
        with pytest.raises(ConfigError):
            store.delete(key)


def open_below(root):
    """Return the files there that this process has open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [path for path in found if path.startswith(str(root))]


def test_a_failed_write_leaves_nothing(store, monkeypatch):
    store.put("a", b"1")

    def fail(fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    for write in (lambda: store.put("a", b"2"), lambda: store.put_many([("a", b"2"), ("b", b"2")])):
        with pytest.raises(StoreError, match="cannot write 'a': Input/output error") as caught:
            write()
        assert isinstance(caught.value.__cause__, OSError)
        assert store.url in str(caught.value)
    assert temp_files(store.root) == []
    assert store.get("a") == b"1"
    assert open_below(store.root) == []


# Directories come and go --------------------------------------------------------------------------------


def test_deleting_the_last_value_removes_its_directories(store):
    store.put("a/b/c/d", b"1")
    store.put("a/x", b"1")
    store.delete("a/b/c/d")
    assert sorted(os.listdir(f"{store.root}/a")) == ["x"]
    store.delete("a/x")
    assert os.listdir(store.root) == []


def test_directories_removed_behind_our_back_are_made_again(store):
    other = LocalStore(store.root)
    store.put("a/b/c", b"1")
    other.delete_prefix("a")
    store.put("a/b/c", b"2")
    other.delete_prefix("")
    store.put_many([("a/b/c", b"3"), ("a/b/d", b"3")])
    assert other.get("a/b/d") == b"3"


def test_a_directory_that_always_vanishes_is_an_error(store, monkeypatch):
    store.put("a/b", b"1")

    def vanish(self, directory):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(directories.Directories, "open", vanish)
    with pytest.raises(StoreError, match="'a/b'"):
        store.put("a/b", b"2")
    with pytest.raises(StoreError, match="'a/b'"):
        store.put_many([("a/b", b"2"), ("a/c", b"2")])


def test_an_unwritable_place_is_a_store_error():
    store = LocalStore("/proc/self/no-such-place")
    with pytest.raises(StoreError, match="cannot write 'a'"):
        store.put("a", b"1")


def test_no_locks_on_directories_is_said(store, monkeypatch):
    store.put("a", b"1")
    real = fcntl.flock

    def flock(fd, operation):
        if operation == fcntl.LOCK_EX and stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(9, "Bad file descriptor")
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UnsupportedError, match="no locks on directories"):
        store.put("a", b"2", if_none_match=True)
    store.put("a", b"3")
    assert store.get("a") == b"3"


def test_an_unconditional_put_cannot_come_between_check_and_rename(store):
    """Hold the directory's lock as a conditional put does: a plain put waits for it."""
    etag = store.put("a", b"1")
    fd = os.open(store.root, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    started, done = threading.Event(), threading.Event()

    def put():
        started.set()
        store.put("a", b"2")
        done.set()

    thread = threading.Thread(target=put)
    thread.start()
    started.wait(10)
    assert not done.wait(0.1)
    assert store.head("a").etag == etag
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)
    assert done.wait(10)
    thread.join()


def test_known_directories_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(directories, "MAX_KNOWN_DIRECTORIES", 10)
    store = LocalStore(tmp_path, fsync=False)
    for index in range(50):
        store.put(f"{index}/{index}/v", b"1")
    assert len(store._directories._inside) <= 10
    assert len(store._directories._durable) <= 10
    assert all(store.get(f"{index}/{index}/v") == b"1" for index in range(50))


def test_batches_are_bounded_in_files_and_bytes(store, monkeypatch):
    sizes = []
    monkeypatch.setattr(local, "MAX_BATCH_BYTES", 100)
    monkeypatch.setattr(LocalStore, "_put_batch", lambda self, items: sizes.append(len(items)))
    store.put_many([("k", b"x" * 40)] * 5)
    assert sizes == [2, 2, 1]
    sizes.clear()
    store.put_many([("k", b"")] * 130)
    assert sizes == [64, 64, 2]
