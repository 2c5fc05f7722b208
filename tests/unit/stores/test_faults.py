import pickle  # noqa: TID251

import pytest

from streamzarr.errors import ConfigError, KeyNotFoundError, StoreError
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import Call, Fault, FaultyStore, LatencyStore, RecordingStore


def outcomes(store, keys):
    result = []
    for key in keys:
        try:
            store.put(key, b"")
            result.append(True)
        except StoreError:
            result.append(False)
    return result


def test_nth_and_times():
    keys = list("abcdef")
    assert outcomes(FaultyStore(MemoryStore(), [Fault("put", nth=2, times=3)]), keys) == [1, 0, 0, 0, 1, 1]
    assert outcomes(FaultyStore(MemoryStore(), [Fault("put", nth=4, times=None)]), keys) == [1, 1, 1, 0, 0, 0]
    assert outcomes(FaultyStore(MemoryStore(), [Fault("get")]), keys) == [1] * 6


def test_by_key_and_predicate():
    store = FaultyStore(MemoryStore(), [Fault(key="*/zarr.json", times=None)])
    assert outcomes(store, ["zarr.json", "a/zarr.json", "a/c/0", "b/zarr.json"]) == [1, 0, 1, 0]
    assert store.struck == [Call("put", "a/zarr.json"), Call("put", "b/zarr.json")]
    store = FaultyStore(MemoryStore(), [Fault(predicate=lambda call: len(call.key) == 2, nth=2)])
    assert outcomes(store, ["aa", "b", "cc", "dd"]) == [1, 1, 0, 1]


def test_a_lost_response_is_carried_out():
    store = FaultyStore(MemoryStore(), [Fault("put", lost_response=True)])
    with pytest.raises(StoreError, match="planned fault in put of 'a'"):
        store.put("a", b"1")
    assert store.get("a") == b"1"


def test_faults_raise_what_they_are_told():
    store = FaultyStore(MemoryStore(), [Fault("get", error=lambda: TimeoutError("slow"))])
    with pytest.raises(TimeoutError, match="slow"):
        store.get("a")
    with pytest.raises(KeyNotFoundError):
        store.get("a")
    for bad in ({"nth": 0}, {"times": 0}):
        with pytest.raises(ConfigError):
            Fault(**bad)


def test_a_plan_travels_to_another_process(tmp_path):
    from streamzarr.stores import LocalStore

    store = pickle.loads(pickle.dumps(FaultyStore(LocalStore(tmp_path), [Fault("put", nth=2)])))
    assert outcomes(store, "abc") == [1, 0, 1]


def test_latency_waits_before_each_call():
    waits = []
    store = LatencyStore(MemoryStore(), 0.25, wait=waits.append)
    store.put("a", b"1")
    store.get("a")
    assert waits == [0.25, 0.25]


def test_recording_remembers_failed_calls_too():
    store = RecordingStore(MemoryStore())
    store.put_many([("a", b"1"), ("b", b"2")])
    with pytest.raises(KeyNotFoundError):
        store.get("c")
    assert store.calls == [Call("put", "a"), Call("put", "b"), Call("get", "c")]
    assert (store.count("put"), store.count("put", "b"), store.count("head")) == (2, 1, 0)
    store.clear()
    assert store.calls == []
