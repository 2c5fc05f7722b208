"""Full chunks move into shards while the stream is written and read; every reader sees the same rows."""

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamzarr as sz
from streamzarr.errors import ConfigError, KeyNotFoundError, NodeNotFoundError, StoreError
from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.stream import Field, Kind, acquire, check, compact, compaction, repair, retain
from streamzarr.testing import Fault, FaultyStore, RecordingStore
from tests.support.kinds_of_fields import SCHEMA, batch


@pytest.fixture(autouse=True)
def no_probe(monkeypatch):
    """A plan of faults counts the calls of the stream alone."""
    monkeypatch.setattr(acquire, "probe_conditional_put", lambda store: None)


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "s", fsync=False)


def started(store, rows=47):
    writer = sz.StreamWriter(store, schema=SCHEMA)
    writer.append(batch(0, rows))
    writer.commit()
    return writer


def assert_rows(snapshot, first_row, rows):
    assert (snapshot.first_row, snapshot.rows) == (first_row, rows)
    for name, values in batch(first_row, rows).items():
        assert snapshot[name][:].tolist() == np.asarray(values).tolist(), name
        assert snapshot[name][::-3].tolist() == np.asarray(values)[::-3].tolist(), name
        some = [rows - first_row - 1, 0, (rows - first_row) // 2]
        assert snapshot[name][some].tolist() == np.asarray(values)[some].tolist(), name


@pytest.mark.parametrize("delete", [False, True])
def test_whole_shards_are_copied_and_read(store, delete):
    writer = started(store)
    before = sz.open_stream(store)
    done = compact(store, chunks=3, delete=delete)
    assert done.sealed == {"x": 36, "y": 45, "name": 45, "zero": 42}
    assert done.shards == 3 + 2 * 3 + 5 + 7
    assert done.chunks == (9 + 2 * 9 + 15 + 21 if delete else 0)
    for snapshot in (before, before.refresh(), sz.open_stream(store)):
        assert_rows(snapshot, 0, 47)
    assert len([*store.list("x/c")]) == (3 if delete else 12)
    writer.append(batch(47, 80))
    writer.commit()
    assert compact(store, chunks=99, delete=delete).sealed == {"x": 72, "y": 75, "name": 72, "zero": 78}
    assert_rows(sz.open_stream(store), 0, 80)
    assert check(store).findings == ()
    with sz.StreamWriter(store) as after:
        after.append(batch(80, 81))
    assert_rows(sz.open_stream(store), 0, 81)


def test_a_shard_is_read_in_parts_and_without_the_chunks(store):
    started(store)
    compact(store, chunks=3, delete=True)
    recorder = RecordingStore(store)
    assert sz.open_stream(recorder, cache=1)["x"][5:7].tolist() == [5, 6]
    assert {call.key for call in recorder.calls} == {"zarr.json", "shards/x/c/0"}


def test_another_library_reads_the_shards(store):
    zarr = pytest.importorskip("zarr")
    from streamzarr.interop import ZarrStore

    started(store)
    compact(store, chunks=3)
    group = zarr.open_group(ZarrStore(store.url, read_only=True), mode="r")
    assert group["x"][:].tolist() == [*range(47)]
    assert group["shards/x"][:].tolist() == [*range(36)]
    assert group["shards/x"].shards == (12,)
    child = zarr.open_array(ZarrStore(store.url, read_only=True), path="shards/y", mode="r")
    assert child[:].tolist() == batch(0, 45)["y"].tolist()


def test_nothing_is_done_twice_and_a_field_that_came_later_is_sealed_too(store):
    writer = started(store)
    first = compact(store, chunks=3)
    seq = sz.open_stream(store).record.seq
    assert compact(store) == type(first)(first.sealed, 0, 0)
    assert sz.open_stream(store).record.seq == seq
    writer.add_field("new", Field("i4", chunk_rows=6, fill_value=-1))
    writer.append(batch(47, 70) | {"new": range(23)})
    writer.commit()
    assert compact(store, chunks=2, delete=True).sealed["new"] == 60
    assert sz.open_stream(store)["new"][:].tolist() == [-1] * 47 + [*range(23)]
    assert check(store).findings == ()


def test_a_field_may_not_be_called_as_the_shards_are(store):
    sz.StreamWriter(store, "one", schema={"shards": "i4"}).close()
    with pytest.raises(ConfigError, match="has a member 'shards'"):
        compact(store, "one")
    other = sz.StreamWriter(store, "other", schema={"x": "i4"})
    apart = MemoryStore()
    sz.create_group(apart)
    store.put("other/shards/zarr.json", apart.get("zarr.json"))
    with pytest.raises(ConfigError, match="has a member 'shards'"):
        compact(store, "other")
    with pytest.raises(NodeNotFoundError):
        compact(store, "third")
    with pytest.raises(ConfigError, match="chunks is 0"):
        compact(store, "other", chunks=0)
    other.close()


def test_retention_takes_shards_with_it(store):
    writer = started(store)
    compact(store, chunks=3, delete=True)
    before = sz.open_stream(store)
    retain(store, rows=20)
    assert_rows(sz.open_stream(store), 25, 47)
    assert {*store.list("shards/x/c")} == {"shards/x/c/2"}
    with pytest.raises(KeyNotFoundError, match="rows before 25 were given up"):
        before["x"][:]
    writer.append(batch(47, 90))
    writer.commit()
    compact(store, delete=True)
    assert_rows(sz.open_stream(store), 25, 90)
    assert check(store).findings == ()


def test_a_check_looks_at_shards(store):
    started(store)
    compact(store, chunks=3, delete=True)
    store.put("shards/x/c/9", b"of a run that was stopped")
    store.delete("shards/y/zarr.json")
    assert {(each.kind, each.array) for each in repair(store).findings} == {
        (Kind.BEHIND, "shards/x"),
        (Kind.LAGS, "shards/y"),
    }
    assert {each.kind for each in check(store).findings} == {Kind.BEHIND}
    store.delete("shards/x/c/1")
    assert Kind.MISSING in {each.kind for each in check(store).findings}


@pytest.mark.parametrize(
    ("operation", "lost"),
    [("put", False), ("put", True), ("fetch", False), ("delete", False), ("list_sizes", False)],
)
def test_what_goes_wrong_is_completed_by_the_next_run(operation, lost):
    for nth in itertools.count(1):
        clean = MemoryStore()
        writer = started(clean, 9)
        faulty = FaultyStore(clean, [Fault(operation=operation, nth=nth, lost_response=lost)])
        try:
            compact(faulty, chunks=2, delete=True)
        except StoreError:
            assert_rows(sz.open_stream(clean), 0, 9)
            writer.append(batch(9, 10))
            writer.commit()
            compact(faulty, chunks=2, delete=True)
        assert [*clean.list("x/c")] == ["x/c/2"]
        assert_rows(sz.open_stream(clean), 0, writer.rows)
        assert check(clean).findings == ()
        if not faulty.struck:
            break


def test_a_writer_and_readers_go_on_at_every_step():
    """Before each call of the store that the compaction makes, a commit and a look at the rows."""
    clean = MemoryStore()
    writer = started(clean, 8)
    old = sz.open_stream(clean)

    class Meanwhile(RecordingStore):
        def around(self, call, action):
            rows = writer.rows
            if call.key != "zarr.json" or call.operation != "put" or self.count("put") % 3:
                writer.append(batch(rows, rows + 1))
                writer.commit()
            assert old["x"][:].tolist() == [*range(8)]
            assert sz.open_stream(clean)["x"][:].tolist() == [*range(writer.rows)]
            return super().around(call, action)

    compact(Meanwhile(clean), chunks=2, delete=True)
    writer.close()
    assert_rows(sz.open_stream(clean), 0, writer.rows)
    assert check(clean).findings == ()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "commit", "compact", "delete", "retain", "take over"]),
        st.integers(0, 25),
    ),
    max_size=15,
)


@settings(max_examples=15, deadline=None)
@given(steps=STEPS, chunks=st.integers(1, 4), tail=st.sampled_from(["store", "memory"]))
def test_rows_are_those_that_were_committed(steps, chunks, tail):
    store = MemoryStore()
    acquire._probed.add(store.url)
    writer, old, first_row = sz.StreamWriter(store, schema=SCHEMA, tail=tail), [], 0
    for step, count in steps:
        rows = writer.rows
        if step == "append":
            writer.append(batch(rows, rows + count))
        elif step == "commit":
            writer.commit()
        elif step in ("compact", "delete"):
            compact(store, chunks=chunks, delete=step == "delete")
        elif step == "retain":
            first_row = retain(store, rows=count + 10).first_row
        else:
            writer = sz.StreamWriter(store, tail=tail)
        old.append(sz.open_stream(store))
        for snapshot in old:
            part = snapshot.between(first_row, snapshot.rows)
            for name, values in batch(part.start, part.stop).items():
                assert part[name][:].tolist() == np.asarray(values).tolist()
    writer.commit()
    assert check(store).is_sound


def test_a_shard_that_is_read_is_not_replaced_by_who_copies_late(store):
    """Rows were given up in between, so it has other bytes; a reader may have its index and no part yet."""
    started(store)
    slow = []

    class Slow(RecordingStore):
        def around(self, call, action):
            if call.operation == "put" and call.key == "shards/x/c/1" and not slow:
                slow.append(call)
                retain(store, rows=30)
                compact(store, chunks=3)
                slow.append(store.get("shards/x/c/1"))
            return super().around(call, action)

    compact(Slow(store), chunks=3)
    assert store.get("shards/x/c/1") == slow[1]
    first = sz.open_stream(store).first_row
    assert first > 12
    assert_rows(sz.open_stream(store), first, 47)


@pytest.mark.parametrize(("dtype", "value"), [("string", "a"), ("bytes", b"a")])
def test_shards_of_texts_are_copied_one_at_a_time_as_nobody_knows_how_large_they_are(
    dtype, value, monkeypatch
):
    class Many(MemoryStore):
        capabilities = replace(MemoryStore().capabilities, in_flight=4)

    store, threads, put = Many(), set(), compaction.put_shard

    def putting(*told):
        threads.add(threading.get_ident())
        put(*told)

    monkeypatch.setattr(compaction, "put_shard", putting)
    with sz.StreamWriter(store, schema={"x": dtype}, chunk_rows=1) as writer:
        writer.append({"x": [value] * 17})
    assert compact(store, chunks=2).shards == 8
    assert threads == {threading.get_ident()}


def test_a_damaged_shard_that_nobody_reads_yet_is_replaced(store):
    started(store)
    store.put("shards/x/c/0", b"damaged")
    compact(store, chunks=3)
    assert_rows(sz.open_stream(store), 0, 47)
    assert check(store).findings == ()
