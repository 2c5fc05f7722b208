"""The probe finds every single way in which a store can lie about its conditions."""

import threading
from contextlib import suppress

import pytest

from streamzarr.errors import PreconditionFailedError, UnsupportedError
from streamzarr.stores import MemoryStore, ZipStore, probe_conditional_put
from streamzarr.testing.faults import WrappedStore


class Hasty(WrappedStore):
    """Checks as it should, then lets others in before it writes."""

    def __init__(self, condition):
        super().__init__(MemoryStore())
        self.condition = condition
        self.checked = threading.Barrier(2)

    def put(self, key, data, *, if_match=None, if_none_match=False):
        mine = if_match is not None if self.condition == "if_match" else if_none_match
        if not mine or threading.current_thread() is threading.main_thread():
            return self.inner.put(key, data, if_match=if_match, if_none_match=if_none_match)
        found = self.inner.head(key).etag if self.inner.exists(key) else None
        if found != if_match:
            self.checked.abort()  # two have written: nobody need wait any more
            raise PreconditionFailedError("as it should")
        with suppress(threading.BrokenBarrierError):
            self.checked.wait(20)  # for another that has checked too
        return self.inner.put(key, data)


class Liar(WrappedStore):
    def __init__(self, lie):
        super().__init__(MemoryStore())
        self.lie = lie

    def put(self, key, data, *, if_match=None, if_none_match=False):
        there = self.inner.exists(key)
        match self.lie:
            case "ignores if_none_match" if if_none_match:
                return self.inner.put(key, data)
            case "ignores if_match" if if_match and there:
                return self.inner.put(key, data)
            case "creates on if_match" if if_match and not there:
                return self.inner.put(key, data)
            case "refuses every create" if if_none_match:
                raise PreconditionFailedError("never")
            case "refuses every replace" if if_match:
                raise PreconditionFailedError("never")
            case "writes, then refuses":
                try:
                    return self.inner.put(key, data, if_match=if_match, if_none_match=if_none_match)
                except PreconditionFailedError:
                    self.inner.put(key, data)
                    raise
        return self.inner.put(key, data, if_match=if_match, if_none_match=if_none_match)


@pytest.mark.parametrize(
    "lie",
    [
        "ignores if_none_match",
        "ignores if_match",
        "creates on if_match",
        "refuses every create",
        "refuses every replace",
        "writes, then refuses",
    ],
)
def test_every_lie_is_found(lie):
    store = Liar(lie)
    with pytest.raises(UnsupportedError, match="conditional put"):
        probe_conditional_put(store)
    assert list(store.list()) == []


@pytest.mark.parametrize("condition", ["if_none_match", "if_match"])
def test_a_gap_between_check_and_write_is_found(condition):
    store = Hasty(condition)
    with pytest.raises(UnsupportedError, match=f"writers at once succeeded with {condition}"):
        probe_conditional_put(store)
    assert list(store.list()) == []


def test_honest_stores_pass_and_nothing_is_left():
    store = Liar("none")
    probe_conditional_put(store)
    assert list(store.list()) == []


def test_a_store_without_conditions_is_refused_unasked(tmp_path):
    with pytest.raises(UnsupportedError, match="no conditional put"):
        probe_conditional_put(ZipStore(tmp_path / "a.zip"))
