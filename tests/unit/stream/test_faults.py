"""Puts and reads that fail, get no answer, or come late: no row is lost, and none is there twice."""

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import ConfigError, FencedError, StoreError, StreamGoneError
from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.stream import Field, StreamWriter, acquire, failpoints
from streamzarr.stream.bounds import Bounds
from streamzarr.stream.failpoints import Failpoint
from streamzarr.stream.tail import Tail
from streamzarr.testing import Fault, FaultyStore, RecordingStore
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.chunks.parallel import AbandonedInterrupt

SCHEMA = {"x": Field("i8", chunk_rows=3), "y": Field("i4", chunk_rows=2)}
ROWS = 11


def batch(start, stop):
    values = np.arange(start, stop)
    return {"x": values, "y": -values}


def write(store, tries=2):
    """Append and commit, each tried again when it fails; at last begin anew."""

    def again(action):
        for left in range(tries, -1, -1):
            try:
                return action()
            except StoreError:
                if not left:
                    raise
        raise AssertionError

    writer = again(lambda: sz.StreamWriter(store, schema=SCHEMA))
    for count in itertools.cycle((1, 4, 2)):
        start = writer.rows
        assert (writer.position or 0) == start
        if start == ROWS:
            break
        stop = min(start + count, ROWS)
        again(lambda start=start, stop=stop: writer.append(batch(start, stop), next_offset=stop))
        again(writer.commit)
    again(writer.close)


def check(store):
    snapshot = sz.open_stream(store)
    assert (snapshot.rows, snapshot.position) == (ROWS, ROWS)
    for name, values in batch(0, ROWS).items():
        np.testing.assert_array_equal(snapshot[name][:], values)
        child = sz.open_array(store, path=name)
        assert child.shape == (ROWS,)


@pytest.fixture(autouse=True)
def no_probe(monkeypatch):
    """A plan of faults counts the calls of the stream alone."""
    monkeypatch.setattr(acquire, "probe_conditional_put", lambda store: None)


@pytest.fixture
def clean():
    return MemoryStore()


class FarStore(MemoryStore):
    """Likes several requests at a time."""

    capabilities = replace(MemoryStore().capabilities, in_flight=4)


@pytest.mark.parametrize("kind", [MemoryStore, FarStore])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "answer-lost"])
def test_each_put_may_go_wrong(lost, times, kind):
    for nth in itertools.count(1):
        store = kind()
        faulty = FaultyStore(store, [Fault(operation="put", nth=nth, times=times, lost_response=lost)])
        write(faulty)
        check(store)
        if not faulty.struck:
            break
    assert nth > 25


def test_each_read_may_go_wrong(clean):
    sz.StreamWriter(clean, schema=SCHEMA).close()
    for nth in range(1, 8):
        faulty = FaultyStore(clean, [Fault(operation="fetch", nth=nth), Fault(operation="head", nth=nth)])
        write(faulty)
        check(clean)


def test_several_chunks_of_one_field_are_put_at_a_time_and_all_or_none_is_taken():
    met = threading.Barrier(4, timeout=10)

    class Watched(FarStore):
        refused = ""

        def put(self, key, data, **condition):
            if key.startswith("x/c/"):
                met.wait()
                if key == self.refused:
                    raise StoreError(key)
            return super().put(key, data, **condition)

    store = Watched()
    writer = sz.StreamWriter(store, schema={"x": Field("i8", chunk_rows=3)})
    store.refused = "x/c/2"
    with pytest.raises(StoreError, match="x/c/2"):
        writer.append({"x": np.arange(100, 112)})
    assert writer.rows == 0
    store.refused = ""
    writer.append({"x": np.arange(12)})
    writer.commit()
    assert sz.open_stream(store)["x"][:].tolist() == [*range(12)]


def test_a_batch_that_could_not_be_put_was_not_taken(clean):
    writer = sz.StreamWriter(FaultyStore(clean, [Fault(key="y/c/1", times=3)]), schema=SCHEMA)
    writer.append(batch(0, 3))
    for _ in range(3):
        with pytest.raises(StoreError, match="y/c/1"):
            writer.append(batch(3, 9))
        assert writer.rows == 3
    writer.commit()
    assert sz.open_stream(clean)["x"][:].tolist() == [0, 1, 2]


def test_a_commit_of_the_policy_that_fails_is_made_by_the_next_call(clean):
    faulty = FaultyStore(clean, [Fault(key="zarr.json", operation="put", nth=2, times=6)])
    writer = sz.StreamWriter(faulty, schema=SCHEMA, commit=sz.stream.CommitPolicy(rows=2))
    writer.append(batch(0, 2))
    assert sz.open_stream(clean).rows == 0
    writer.append(batch(2, 3))
    assert sz.open_stream(clean).rows == 2
    writer.close()
    assert sz.open_stream(clean)["x"][:].tolist() == [0, 1, 2]


class Stopped(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("point", Failpoint, ids=lambda point: point.name)
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_writer_that_ends_at_a_failpoint_is_gone_on_with(monkeypatch, tmp_path, kind, point):
    for nth in itertools.count(1):
        store = MemoryStore() if kind == "memory" else LocalStore(tmp_path / str(nth), fsync=False)
        left = [nth]

        def stop(reached, left=left):
            if reached is point:
                left[0] -= 1
                if not left[0]:
                    raise Stopped

        monkeypatch.setattr(failpoints, "hook", stop)
        try:
            write(store)
        except Stopped:
            write(store)
        check(store)
        if left[0] > 0:
            break
    assert nth > (1 if point is Failpoint.AFTER_ACQUIRE else 4)
    if kind == "local":
        assert store.collect_stale() == 0


def test_recovery_changes_nothing_the_second_time(clean):
    write(clean)
    recorder = RecordingStore(clean)
    sz.StreamWriter(recorder)
    assert [call.key for call in recorder.calls if call.operation == "put"] == ["zarr.json"]
    assert sz.open_stream(clean).record.seq == sz.open_stream(clean).refresh().record.seq


def test_nothing_is_listed_to_write_or_to_read(clean):
    recorder = RecordingStore(clean)
    write(recorder)
    check(recorder)
    snapshot = sz.open_stream(recorder)
    assert snapshot.refresh() is snapshot
    assert not [call for call in recorder.calls if "list" in call.operation]
    assert recorder.count("put") > 20


def test_attributes_of_others_are_kept(clean):
    writer = sz.StreamWriter(clean, schema=SCHEMA, attributes={"unit": "V"})
    writer.append(batch(0, 1))
    sz.open_group(clean, mode="r+").attrs["note"] = "by hand"
    writer.commit()
    writer.append(batch(1, 2))
    writer.commit()
    attributes = sz.open_group(clean).attrs
    assert (attributes["unit"], attributes["note"]) == ("V", "by hand")
    assert sz.open_stream(clean).rows == 2


def test_a_root_that_was_set_back_is_put_forward_again(clean):
    writer = sz.StreamWriter(clean, schema=SCHEMA)
    old = clean.get("zarr.json")
    writer.append(batch(0, 2))
    writer.commit()
    clean.put("zarr.json", old)
    writer.append(batch(2, 3))
    writer.commit()
    assert sz.open_stream(clean)["x"][:].tolist() == [0, 1, 2]


def test_a_stream_that_was_removed_is_not_made_again(clean):
    writer = sz.StreamWriter(clean, "gone", schema=SCHEMA)
    clean.delete_prefix("gone")
    writer.append(batch(0, 1))
    for _ in range(2):  # and says so whenever it is asked
        with pytest.raises(StreamGoneError, match="gone"):
            writer.commit()


def test_a_put_that_comes_late_changes_nothing(clean):
    """A put of a writer that was fenced meanwhile arrives when its successor has committed."""
    held = []

    class Slow(RecordingStore):
        def put(self, key, data, **condition):
            if key == "x/c/0" and not held:
                held.append((key, bytes(data), condition))
                raise StoreError("timed out")
            return super().put(key, data, **condition)

    sz.StreamWriter(clean, schema=SCHEMA).close()
    slow = sz.StreamWriter(Slow(clean))
    slow.append({"x": [100], "y": [100]})
    with pytest.raises(StoreError):
        slow.commit()
    write(clean)
    for key, data, condition in held:
        with pytest.raises(StoreError):
            clean.put(key, data, **condition)
    with pytest.raises(FencedError):
        slow.commit()
    check(clean)


def test_a_committed_chunk_that_is_gone_is_an_error(clean):
    write(clean)
    clean.delete("x/c/3")
    with pytest.raises(StoreError, match="x/c/3"):
        sz.StreamWriter(clean)


@pytest.mark.parametrize("point", [Failpoint.AFTER_TAIL, Failpoint.BEFORE_ROOT, Failpoint.AFTER_ROOT])
def test_who_is_interrupted_in_a_commit_that_append_makes_has_to_begin_anew(monkeypatch, clean, point):
    def interrupt(reached):
        if reached is point:
            raise KeyboardInterrupt

    writer = sz.StreamWriter(clean, schema=SCHEMA, commit=sz.stream.CommitPolicy(rows=4))
    monkeypatch.setattr(failpoints, "hook", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.append(batch(0, 4), next_offset=4)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="was broken off"):
        writer.append(batch(0, 4), next_offset=4)
    with pytest.raises(ConfigError, match="was broken off"):
        writer.close()
    again = sz.StreamWriter(clean)
    start = again.position or 0
    again.append(batch(start, ROWS), next_offset=ROWS)
    again.close()
    check(clean)


@pytest.mark.parametrize("act", [lambda writer: writer.append(batch(1, 4)), StreamWriter.commit])
def test_who_does_not_wait_for_what_is_put_has_to_begin_anew(monkeypatch, clean, act):
    def abandon(*_):
        raise AbandonedInterrupt

    writer = StreamWriter(clean, schema=SCHEMA)
    writer.append(batch(0, 1))
    monkeypatch.setattr(parallel, "for_each", abandon)
    with pytest.raises(KeyboardInterrupt):
        act(writer)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="was broken off"):
        writer.append(batch(1, 4))


@pytest.mark.parametrize("where", [(Tail, "undo"), (Bounds, "extended")], ids=["undo", "bounds"])
def test_who_is_interrupted_again_while_rows_are_given_up_has_to_begin_anew(monkeypatch, clean, where):
    schema = {"t": Field("i8", chunk_rows=3, sorted=True), "x": Field("i8", chunk_rows=2)}
    writer, calls = StreamWriter(clean, schema=schema), []

    def interrupt(self, *arguments):
        calls.append(arguments)
        if len(calls) == 2 or where[0] is Bounds:
            raise KeyboardInterrupt
        return real(self, *arguments)

    def failing(reached):
        if reached is Failpoint.AFTER_CHUNK and where[0] is Tail:
            raise StoreError("away")

    real = getattr(*where)
    monkeypatch.setattr(*where, interrupt)
    monkeypatch.setattr(failpoints, "hook", failing)
    rows = {"t": np.arange(5), "x": np.arange(5)}
    with pytest.raises(KeyboardInterrupt):
        writer.append(rows)
    monkeypatch.undo()
    monkeypatch.setattr(acquire, "probe_conditional_put", lambda store: None)
    if where[0] is Tail:
        with pytest.raises(ConfigError, match="was broken off"):
            writer.append(rows)
        writer = StreamWriter(clean)
    assert writer.rows == 0
    writer.append(rows)
    writer.close()
    assert [*sz.open_stream(clean)["x"][:]] == [*range(5)]


def test_one_interrupt_while_chunks_are_put_takes_nothing(monkeypatch, clean):
    def interrupt(reached):
        if reached is Failpoint.AFTER_CHUNK:
            raise KeyboardInterrupt

    writer = sz.StreamWriter(clean, schema=SCHEMA)
    writer.append(batch(0, 2), next_offset=2)
    monkeypatch.setattr(failpoints, "hook", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.append(batch(2, ROWS), next_offset=ROWS)
    monkeypatch.undo()
    assert (writer.rows, writer.position) == (2, 2)
    writer.append(batch(2, ROWS), next_offset=ROWS)
    writer.close()
    check(clean)
