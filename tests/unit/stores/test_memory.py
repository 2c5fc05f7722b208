import os

import pytest

from streamzarr.errors import UnsupportedError
from streamzarr.stores import MemoryStore


def test_pickling_says_why_not():
    import pickle  # noqa: TID251

    with pytest.raises(UnsupportedError, match=r"memory://named: .*one process.*local path"):
        pickle.dumps(MemoryStore("named"))


def test_nameless_values_die_with_their_store():
    store = MemoryStore()
    store.put("a", b"1")
    name = store.url.removeprefix("memory://")
    assert MemoryStore(name).exists("a")
    del store
    assert not MemoryStore(name).exists("a")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_free_locks_and_a_copy():
    store = MemoryStore()
    store.put("a", b"1")
    with store._values.lock:  # as if another thread were in the middle of a put
        pid = os.fork()
        if not pid:
            try:
                store.put("a", b"2")
                MemoryStore("new in the child").put("b", b"3")
                os._exit(0 if store.get("a") == b"2" else 1)
            finally:
                os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.get("a") == b"1"
