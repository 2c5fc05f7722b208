"""Rows at the front are given up in one step; who writes or reads meanwhile is told, and never misled."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamzarr as sz
from streamzarr.errors import ConfigError, FencedError, KeyNotFoundError, NodeNotFoundError, StoreError
from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.stream import Field, acquire, retain
from streamzarr.testing import Fault, FaultyStore, RecordingStore

SCHEMA = {
    "x": Field("i8", chunk_rows=4, sorted=True),
    "y": Field("u1", shape=(3,), chunk_rows=10, chunks=(2,), compressors=None),
}


@pytest.fixture(autouse=True)
def no_probe(monkeypatch):
    """A plan of faults counts the calls of the stream alone."""
    monkeypatch.setattr(acquire, "probe_conditional_put", lambda store: None)


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "s", fsync=False)


def batch(start, stop):
    x = np.arange(start, stop)
    return {"x": x, "y": np.repeat(x.astype("u1"), 3).reshape(-1, 3)}


def started(store, rows=47):
    writer = sz.StreamWriter(store, schema=SCHEMA)
    writer.append(batch(0, rows))
    writer.commit()
    return writer


def check(store, rows, first_row):
    snapshot = sz.open_stream(store)
    assert (snapshot.first_row, snapshot.rows) == (first_row, rows)
    for name, values in batch(first_row, rows).items():
        np.testing.assert_array_equal(snapshot[name][:], values)


@pytest.mark.parametrize(
    ("wanted", "first_row"),
    [
        ({"rows": 47}, 0),
        ({"rows": 100}, 0),
        ({"rows": 38}, 0),
        ({"rows": 37}, 10),
        ({"rows": 12}, 30),
        ({"rows": 0}, 40),
        ({"since": {"x": 29}}, 20),
        ({"since": {"x": 30}}, 30),
        ({"since": {"x": -5}}, 0),
        ({"since": {"x": 1000}}, 40),
    ],
)
def test_whole_chunks_are_given_up_and_deleted(store, wanted, first_row):
    writer = started(store)
    assert retain(store, **wanted).first_row == first_row
    check(store, 47, first_row)
    kept = {*store.list("x/c"), *store.list("y/c")}
    expected = {f"x/c/{n}" for n in range(first_row // 4, 12)}
    expected |= {f"y/c/{n}/{m}" for n in range(first_row // 10, 5) for m in (0, 1)}
    assert kept == expected
    writer.append(batch(47, 60))
    writer.commit()
    check(store, 60, first_row)


def test_by_bytes_the_last_chunks_that_fit_are_kept(store):
    started(store)
    sizes = {name: dict(store.list_sizes(f"{name}/c")) for name in SCHEMA}
    after = sum(size for key, size in sizes["x"].items() if int(key.split("/")[2]) >= 5)
    after += sum(size for key, size in sizes["y"].items() if int(key.split("/")[2]) >= 2)
    assert retain(store, max_bytes="1MB").first_row == 0
    assert retain(store, max_bytes=after).first_row == 20
    assert retain(store, max_bytes=after).first_row == 20
    assert retain(store, max_bytes=after - 1).first_row == 30
    assert retain(store, max_bytes=0).first_row == 40
    check(store, 47, 40)


def test_what_is_said_of_it(store):
    started(store)
    first = retain(store, rows=20)
    assert (first.before, first.first_row, first.chunks) == (0, 20, 5 + 4)
    again = retain(store, rows=40)
    assert (again.before, again.first_row, again.chunks) == (20, 20, 0)


@pytest.mark.parametrize("wanted", [{}, {"rows": 1, "max_bytes": 1}, {"rows": -1}, {"rows": 1.5}], ids=str)
def test_what_makes_no_sense_is_refused(store, wanted):
    started(store)
    with pytest.raises(ConfigError):
        retain(store, **wanted)
    check(store, 47, 0)


def test_only_a_sorted_field_of_a_stream_says_since_when(store):
    with pytest.raises(NodeNotFoundError):
        retain(store, rows=1)
    started(store)
    with pytest.raises(NodeNotFoundError, match="no field 'z'"):
        retain(store, since={"z": 1})


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 8, 10, 11, 20])
def test_the_next_writer_finds_what_it_needs(store, rows):
    """It reads the last row of a sorted field, also when that is the end of a full chunk."""
    started(store, rows).close()
    retain(store, rows=0)
    with sz.StreamWriter(store) as writer:
        if rows:
            with pytest.raises(ValueError, match="x is sorted"):
                writer.append(batch(rows - 2, rows - 1) | {"x": [-1]})
        writer.append(batch(rows, rows + 30))
    check(store, rows + 30, sz.open_stream(store).first_row)


def test_a_snapshot_and_a_follower_of_before_are_told(store):
    started(store)
    before, slow = sz.open_stream(store), sz.open_stream(store).follow(batch=5, timeout=0)
    assert next(slow)["x"][0] == 0
    retain(store, rows=20)
    with pytest.raises(KeyNotFoundError, match="rows before 20 were given up"):
        before["x"][3:8]
    assert before["x"][20:].tolist() == [*range(20, 47)]
    assert before.refresh()["x"][0] == 20
    late = next(slow)
    with pytest.raises(KeyNotFoundError, match="rows before 20 were given up"):
        late["x"][:]


def test_a_fenced_writer_whose_rows_were_given_up_is_fenced(store):
    """It was stopped between taking over and reading its last chunk."""
    writer = started(store, 5)

    class Slow(RecordingStore):
        def fetch_limited(self, key, limit):
            if key == "x/c/1" and not self.count("fetch", key):
                after = sz.StreamWriter(store)
                after.append(batch(5, 47))
                after.close()
                retain(store, rows=0)
            return super().fetch_limited(key, limit)

    writer.close()
    with pytest.raises(FencedError):
        sz.StreamWriter(Slow(store))
    check(store, 47, 40)


@pytest.mark.parametrize("operation", ["put", "fetch", "delete", "list_sizes"])
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "answer-lost"])
def test_what_goes_wrong_is_completed_by_the_next_run(operation, lost):
    for nth in itertools.count(1):
        clean = MemoryStore()
        writer = started(clean)
        faulty = FaultyStore(clean, [Fault(operation=operation, nth=nth, lost_response=lost)])
        try:
            retain(faulty, rows=20)
        except StoreError:
            first_row = sz.open_stream(clean).first_row
            check(clean, 47, first_row)
            assert retain(faulty, rows=20).first_row == 20
        assert not [key for key in clean.list("x/c") if int(key.split("/")[-1]) < 5]
        writer.append(batch(47, 50))
        writer.commit()
        check(clean, 50, 20)
        if not faulty.struck:
            break


def test_root_first_chunks_after(store):
    started(store)
    recorder = RecordingStore(store)
    retain(recorder, rows=20)
    changes = [call for call in recorder.calls if call.operation in ("put", "delete", "delete_prefix")]
    assert [call.key for call in changes if call.operation == "put"] == ["zarr.json"]
    assert changes[0].key == "zarr.json"


def test_a_busy_writer_does_not_keep_it_from_its_turn(store):
    writer = started(store)

    class Busy(RecordingStore):
        def put(self, key, data, **condition):
            if self.count("put") < 10:  # a commit between each look and each put
                rows = writer.rows
                writer.append(batch(rows, rows + 1))
                writer.commit()
            return super().put(key, data, **condition)

    assert retain(Busy(store), rows=20).first_row == 20
    check(store, writer.rows, 20)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "commit", "retain", "take over", "grow"]), st.integers(0, 25)
    ),
    max_size=20,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS, tail=st.sampled_from(["store", "memory"]))
def test_rows_from_the_first_on_are_those_that_were_committed(steps, tail):
    store = MemoryStore()
    acquire._probed.add(store.url)
    writer, first_row, old, since = sz.StreamWriter(store, schema=SCHEMA, tail=tail), 0, [], None
    for step, count in steps:
        rows = writer.rows
        if step == "append":
            more = {} if since is None else {"z": np.arange(rows, rows + count)}
            writer.append(batch(rows, rows + count) | more)
        elif step == "commit":
            writer.commit()
        elif step == "retain":
            done = retain(store, rows=count)
            assert done.before == first_row <= done.first_row
            first_row = done.first_row
        elif step == "grow" and since is None:
            since = rows
            writer.add_field("z", Field("i8", chunk_rows=7, fill_value=-1))
        elif step == "take over":
            writer = sz.StreamWriter(store, tail=tail)
            since = since and min(since, writer.rows)
        old.append(sz.open_stream(store))
        now = old[-1]
        expected = batch(0, now.rows)
        if "z" in now.names:
            assert since is not None
            values = now["z"][:]
            numbers = np.arange(first_row, now.rows)
            assert ((values == numbers) | ((values == -1) & (numbers < max(since, 0)))).all()
            assert (values[numbers >= since] >= 0).all()
        for snapshot in old:
            assert len(snapshot["x"]) == snapshot.rows - snapshot.first_row
            part = snapshot.between(first_row, snapshot.rows)
            if len(part):
                np.testing.assert_array_equal(part["y"][:], expected["y"][part.start : part.stop])
            try:
                found = snapshot["x"][:]
            except KeyNotFoundError:
                assert snapshot.first_row < first_row
            else:
                np.testing.assert_array_equal(found, expected["x"][snapshot.first_row : snapshot.rows])
