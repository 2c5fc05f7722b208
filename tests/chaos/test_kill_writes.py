"""kill -9 during writes to a local store: readers see whole values, and what is left behind is collected."""

import contextlib
import multiprocessing
import os

import pytest

from streamzarr.stores import LocalStore
from streamzarr.stores.replace import TEMP_PREFIX
from tests.support import torn_values

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

KILLS = 200
READERS = 2


def temp_files(root):
    return [name for _, _, names in os.walk(root) for name in names if name.startswith(TEMP_PREFIX)]


@contextlib.contextmanager
def reading(context, root):
    """Let processes read in the block; afterwards they must have seen values, and nothing but whole ones."""
    with contextlib.ExitStack() as stack:
        readers = []
        for _ in range(READERS):
            ours, theirs = context.Pipe()
            process = context.Process(target=torn_values.read, args=(str(root), theirs), daemon=True)
            process.start()
            stack.callback(process.kill)
            readers.append((process, ours))
        yield
        for process, connection in readers:
            connection.send("finish")
            assert connection.poll(60)
            count, wrong = connection.recv()
            assert wrong == []
            assert count > KILLS
            process.join(60)
            assert process.exitcode == 0


def test_kill_9_while_writing_leaves_no_torn_value_and_no_temp_file(tmp_path):
    # Forked from a server without threads: a fork takes some ms, and no lock of this process with it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([torn_values.__name__])
    store = LocalStore(tmp_path, fsync=False)
    store.put_many([(key, b"\0" * torn_values.SIZE) for key in torn_values.KEYS])
    left_behind = 0
    with reading(context, tmp_path):
        for number in range(KILLS):
            ours, theirs = context.Pipe()
            writer = context.Process(target=torn_values.write, args=(str(tmp_path), theirs), daemon=True)
            writer.start()
            try:
                assert ours.poll(60)
                for _ in range(number % 7):  # reading sets the moment of the kill
                    assert all(torn_values.is_whole(store.get(key)) for key in torn_values.KEYS)
            finally:
                writer.kill()
                writer.join()
            orphans = len(temp_files(tmp_path))
            left_behind += orphans
            assert store.collect_stale() == orphans
            assert temp_files(tmp_path) == []
            assert all(torn_values.is_whole(store.get(key)) for key in torn_values.KEYS)
    assert left_behind, "no kill hit a write: the test shows nothing"
