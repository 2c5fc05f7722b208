"""A stream that gets one more field: rows so far hold its fill value, whatever happens meanwhile."""

import itertools

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import ConfigError, FencedError, LimitExceededError, NodeExistsError, StoreError
from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.stream import Field, acquire, failpoints
from streamzarr.stream.failpoints import Failpoint
from streamzarr.testing import Fault, FaultyStore, RecordingStore

NEW = Field("i4", chunk_rows=3, fill_value=-1)


@pytest.fixture(autouse=True)
def no_probe(monkeypatch):
    """A plan of faults counts the calls of the stream alone."""
    monkeypatch.setattr(acquire, "probe_conditional_put", lambda store: None)


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "s", fsync=False)


def started(store, rows=5, **options):
    writer = sz.StreamWriter(store, schema={"x": Field("i8", chunk_rows=4)}, **options)
    writer.append({"x": np.arange(rows)})
    return writer


def both(start, stop):
    return {"x": np.arange(start, stop), "new": np.arange(start, stop)}


def shown(store):
    snapshot = sz.open_stream(store)
    return {name: snapshot[name][:].tolist() for name in snapshot}


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 8, 12])
@pytest.mark.parametrize("tail", ["store", "memory"])
def test_rows_so_far_hold_the_fill_value(store, rows, committed, tail):
    writer = started(store, rows, tail=tail)
    if committed:
        writer.commit()
    seen = sz.open_stream(store).rows
    writer.add_field("new", NEW)
    assert shown(store) == {"x": [*range(seen)], "new": [-1] * seen}
    for start, stop in [(rows, rows + 1), (rows + 1, rows + 8)]:
        writer.append(both(start, stop))
        writer.commit()
        seen = sz.open_stream(store).rows
        assert shown(store)["new"] == ([-1] * rows + [*range(rows, stop)])[:seen]
    writer.close()
    with sz.StreamWriter(store) as after:
        after.append(both(rows + 8, rows + 9))
    assert shown(store) == {"x": [*range(rows + 9)], "new": [-1] * rows + [*range(rows, rows + 9)]}


def test_a_reader_of_another_library_sees_the_field_at_full_length(store):
    zarr = pytest.importorskip("zarr")
    from streamzarr.interop import ZarrStore

    writer = started(store, 7)
    writer.commit()
    writer.add_field("new", NEW)
    group = zarr.open_group(ZarrStore(store.url, read_only=True), mode="r")
    assert group["new"][:].tolist() == [-1] * 7
    assert zarr.open_array(ZarrStore(store.url, read_only=True), path="new", mode="r").shape == (7,)


def test_a_snapshot_of_before_stays_and_a_renewed_one_has_the_field(store):
    writer = started(store)
    writer.commit()
    before, follow = sz.open_stream(store), sz.open_stream(store).follow(timeout=0)
    assert len(next(follow)) == 5
    writer.add_field("new", NEW)
    writer.append(both(5, 6))
    writer.commit()
    assert (before.names, before.refresh().names) == (("x",), ("x", "new"))
    assert next(follow)["new"][:].tolist() == [5]


def test_several_fields_may_be_added_and_cut_as_others_are(store):
    writer = started(store)
    writer.commit()
    writer.add_field("frame", Field("u1", shape=(4, 3), chunks=(2, 2), chunk_rows=2, fill_value=9))
    writer.add_field("name", "string")
    frame = np.arange(12, dtype="u1").reshape(1, 4, 3)
    writer.append({"x": [5], "frame": frame, "name": ["six"]})
    writer.close()
    snapshot = sz.open_stream(store)
    assert (snapshot["frame"][:5] == 9).all()
    np.testing.assert_array_equal(snapshot["frame"][5:], frame)
    assert snapshot["name"][:].tolist() == [""] * 5 + ["six"]


def test_a_sorted_field_goes_on_from_its_fill_value(store):
    writer = started(store)
    writer.add_field("time", Field("M8[s]", sorted=True, fill_value=np.datetime64("2026-01-01", "s")))
    with pytest.raises(ValueError, match="time is sorted"):
        writer.append({"x": [5], "time": ["2025-12-31"]})
    writer.append({"x": [5, 6], "time": ["2026-01-02", "2026-01-03"]})
    writer.commit()
    assert sz.open_stream(store).sel(time=slice("2026-01-02", None)).start == 5
    with pytest.raises(ConfigError, match="fill_value that is before all of them"):
        writer.add_field("other", Field("f8", sorted=True, fill_value=np.nan))


@pytest.mark.parametrize("times", [1, 2, 6])
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "answer-lost"])
def test_each_put_may_go_wrong(lost, times):
    for nth in itertools.count(1):
        clean = MemoryStore()
        writer = started(clean, 5)
        writer.close()
        faulty = FaultyStore(clean, [Fault(operation="put", nth=nth, times=times, lost_response=lost)])
        grow_and_write(faulty)
        assert shown(clean) == {"x": [*range(8)], "new": [-1] * 5 + [5, 6, 7]}
        if not faulty.struck:
            break
    assert nth > 6


def grow_and_write(store):
    """Add the field if it is not there, then rows up to 8; what fails is done again, at last by another."""

    def again(action):
        for left in range(8, -1, -1):
            try:
                return action()
            except StoreError:
                if not left:
                    raise
        raise AssertionError

    writer = again(lambda: sz.StreamWriter(store))
    if "new" not in sz.open_stream(store).names:
        failed = False
        try:
            writer.add_field("new", NEW)
        except StoreError:
            failed = True
        if failed:
            again(writer.commit)  # completes it
    for row in range(writer.rows, 8):
        again(lambda row=row: writer.append(both(row, row + 1)))
    again(writer.close)


@pytest.mark.parametrize("point", Failpoint, ids=lambda point: point.name)
def test_a_writer_that_ends_at_a_failpoint_is_gone_on_with(monkeypatch, point):
    class Stopped(BaseException):
        pass

    for nth in itertools.count(1):
        store = MemoryStore()
        started(store, 5).close()
        left = [nth]

        def stop(reached, left=left):
            left[0] -= reached is point
            if reached is point and not left[0]:
                raise Stopped

        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "hook", stop)
            try:
                grow_and_write(store)
            except Stopped:
                grow_and_write(store)
        assert shown(store) == {"x": [*range(8)], "new": [-1] * 5 + [5, 6, 7]}
        if left[0] > 0:
            break


def test_a_fenced_writer_adds_nothing(store):
    old = started(store)
    old.commit()
    new = sz.StreamWriter(store)
    with pytest.raises(FencedError):
        old.add_field("new", NEW)
    new.append({"x": [5]})
    new.commit()
    assert shown(store) == {"x": [*range(6)]}


def test_no_chunk_of_the_field_is_put_before_its_commit(store):
    recorder = RecordingStore(store)
    writer = started(recorder, 30)
    recorder.clear()
    writer.add_field("new", NEW)
    puts = [call.key for call in recorder.calls if call.operation == "put"]
    assert puts[0] == "zarr.json"
    assert "new/c/9" in puts
    assert not [call for call in recorder.calls if "list" in call.operation]


def test_a_reader_keeps_no_chunk_of_the_field_that_was_not_committed(store, monkeypatch):
    writer = started(store, 5)
    writer.commit()
    writer.add_field("new", Field("i4", chunk_rows=4, fill_value=-1))
    reader, seen = sz.open_stream(store), []
    monkeypatch.setattr(failpoints, "hook", lambda point: seen.append(reader["new"][:].tolist()))
    writer.append(both(5, 6))
    writer.commit()  # the reader looks at each step
    monkeypatch.setattr(failpoints, "hook", None)
    writer.append(both(6, 8))
    writer.commit()
    assert len(seen) > 2
    assert all(each == [-1] * 5 for each in seen)
    assert reader.refresh()["new"][:].tolist() == [-1] * 5 + [5, 6, 7]


def by_others(store, path):
    """Make a group, as a library does that knows nothing of streams."""
    apart = MemoryStore()
    sz.create_group(apart)
    store.put(f"{path}/zarr.json", apart.get("zarr.json"))


def test_what_cannot_be_a_field_is_refused_and_changes_nothing(store):
    writer = started(store, max_bytes="1MB")
    writer.commit()
    before = sz.open_stream(store).record.seq
    by_others(store, "taken")
    for name, field, error in [
        ("x", "i4", ConfigError),
        ("a/b", "i4", ConfigError),
        ("", "i4", ConfigError),
        ("new", "no dtype", (ConfigError, TypeError)),
        ("new", Field("i4", chunk_rows=0x1000000), LimitExceededError),
        ("taken", "i4", NodeExistsError),
    ]:
        with pytest.raises(error):
            writer.add_field(name, field)
    writer.append({"x": [5]})
    writer.commit()
    assert sz.open_stream(store).record.seq == before + 1


def test_batches_need_the_field_from_then_on(store):
    writer = started(store)
    writer.add_field("new", NEW)
    with pytest.raises(ValueError, match=r"lacks \['new'\]"):
        writer.append({"x": [1]})
    with pytest.raises(ConfigError, match="add_field"):
        sz.StreamWriter(store, schema={"x": "i8", "other": "i4"})
