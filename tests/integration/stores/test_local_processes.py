"""A local store shared by processes, some of which are killed."""

import multiprocessing
import os
import resource
import subprocess
import tempfile

import pytest

from streamzarr.errors import PreconditionFailedError, StoreError
from streamzarr.stores import LocalStore
from streamzarr.stores.replace import TEMP_PREFIX


def temp_files(root):
    return [name for _, _, names in os.walk(root) for name in names if name.startswith(TEMP_PREFIX)]


def count_up(root, times, barrier):
    store = LocalStore(root, fsync=False)
    barrier.wait()
    for _ in range(times):
        while True:
            found = store.fetch("counter")
            try:
                store.put("counter", b"%d" % (int(found.data) + 1), if_match=found.etag)
                break
            except PreconditionFailedError:
                continue


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_processes_count_without_losing_one(tmp_path, method):
    context = multiprocessing.get_context(method)
    LocalStore(tmp_path).put("counter", b"0")
    barrier = context.Barrier(4)
    workers = [context.Process(target=count_up, args=(tmp_path, 50, barrier)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert LocalStore(tmp_path).get("counter") == b"200"


def create(store, key, number, barrier, winners):
    barrier.wait()
    try:
        store.put(key, b"%d" % number, if_none_match=True)
        winners.put(number)
    except PreconditionFailedError:
        pass


def test_a_store_sent_to_processes_creates_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    store = LocalStore(tmp_path)
    barrier, winners = context.Barrier(4), context.SimpleQueue()
    workers = [
        context.Process(target=create, args=(store, "new/dir/key", n, barrier, winners)) for n in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert store.get("new/dir/key") == b"%d" % winners.get()
    assert winners.empty()


@pytest.fixture
def small_disk():
    """A file system of 1 MiB, or a limit on the size of files where we may not mount one."""
    with tempfile.TemporaryDirectory() as place:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "streamzarr-test", place],
            capture_output=True,
            check=False,
        )
        if mounted.returncode == 0:
            try:
                yield place, "No space left on device"
            finally:
                subprocess.run(["umount", place], check=True)
        else:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
            try:
                yield place, "File too large"
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_store_error_and_keeps_the_old_value(small_disk):
    place, cause = small_disk
    store = LocalStore(place)
    store.put("a/v", b"old" * 1000)
    for write in (
        lambda: store.put("a/v", b"x" * (2 << 20)),
        lambda: store.put_many([("a/w", b"y"), ("a/v", b"x" * (2 << 20))]),
        lambda: store.put("a/v", b"x" * (2 << 20), if_match=store.head("a/v").etag),
    ):
        with pytest.raises(StoreError, match=cause) as caught:
            write()
        assert "'a/v'" in str(caught.value)
        assert place in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)
    assert store.get("a/v") == b"old" * 1000
    assert temp_files(place) == []
    store.put("a/v", b"new")  # nothing of the failed ones takes room
    assert store.get("a/v") == b"new"
