"""What is not as a writer leaves it is found, by name; a repair mends what loses nothing, and no more."""

import itertools
import json
import threading
import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import streamzarr as sz
from streamzarr.errors import MetadataError, NodeNotFoundError, StoreError
from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.stores.replace import TEMP_PREFIX
from streamzarr.stream import Field, Kind, acquire, check, compact, repair, retain
from streamzarr.stream.bounds import Bounds
from streamzarr.stream.view import CACHE_BYTES
from streamzarr.testing import Fault, FaultyStore, RecordingStore
from tests.support.streams import change_root

SCHEMA = {
    "x": Field("i8", chunk_rows=4, sorted=True),
    "y": Field("u1", shape=(3,), chunk_rows=10, chunks=(2,), compressors="gzip"),
}


@pytest.fixture(autouse=True)
def no_probe(monkeypatch):
    """A plan of faults counts the calls of the stream alone."""
    monkeypatch.setattr(acquire, "probe_conditional_put", lambda store: None)


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "s", fsync=False)


def batch(start, stop, **more):
    x = np.arange(start, stop)
    return {"x": x, "y": np.repeat(x.astype("u1"), 3).reshape(-1, 3)} | more


def started(store):
    """Return the writer of a stream of 47 rows from 10 on, whose third field begins with row 30."""
    writer = sz.StreamWriter(store, schema=SCHEMA)
    writer.append(batch(0, 30))
    writer.commit()
    writer.add_field("z", Field("i4", chunk_rows=5))
    writer.append(batch(30, 47, z=range(17)))
    writer.commit()
    retain(store, rows=35)
    return writer


def change_child(store, name, **changes):
    key = f"{name}/zarr.json"
    store.put(key, json.dumps(json.loads(store.get(key)) | changes).encode())


def put_values(store, key, values):
    store.put(key, sz.open_array(store, path=key.split("/")[0]).metadata.chain().encode(np.array(values)))


def set_bounds(store, bounds):
    change_root(store, lambda root: root.committed(replace(root.record, bounds={"x": bounds})))


def replace_nodes(root, more):
    nodes = {**root.group.consolidated, **more}
    return replace(root, group=replace(root.group, consolidated=nodes))


FAULTS = {
    Kind.MISSING: lambda store: store.delete("y/c/2/1"),
    Kind.DAMAGED: lambda store: store.put("y/c/2/1", b"no gzip"),
    Kind.DECREASES: lambda store: put_values(store, "x/c/5", [20, 22, 21, 23]),
    Kind.EARLY: lambda store: store.put("z/c/3", store.get("z/c/7")),
    Kind.COPY: lambda store: (compact(store, chunks=1), put_values(store, "x/c/5", [20, 21, 22, 0])),
    Kind.BOUNDS: lambda store: set_bounds(store, Bounds(4, tuple(range(1, 48, 4)))),
    Kind.CHILD: lambda store: change_child(store, "y", shape=[48, 3]),
    Kind.LAGS: lambda store: (change_child(store, "y", shape=[46, 3]), store.delete("x/zarr.json")),
    Kind.GIVEN_UP: lambda store: store.put("x/c/1", b"late"),
    Kind.BEHIND: lambda store: store.put("x/c/12", b"of a killed writer"),
    Kind.STRANGE: lambda store: store.put("x/note.txt", b"?"),
}


def test_of_each_kind_there_is_a_fault():
    assert FAULTS.keys() == {*Kind} - {Kind.STALE}  # which memory does not have


def test_nothing_is_found_in_what_a_writer_leaves(store):
    writer = started(store)
    assert check(store).findings == ()
    writer.append(batch(47, 70, z=range(23)))
    assert {each.kind for each in check(store).findings} == {Kind.BEHIND}
    writer.close()
    found = check(store)
    assert (found.findings, found.first_row, found.rows, found.is_sound) == ((), 10, 70, True)
    assert check(store, "").url == writer.url


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.name)
def test_a_fault_is_found_and_mended_if_that_loses_nothing(store, kind):
    writer = started(store)
    FAULTS[kind](store)
    content = {key: store.get(key) for key in store.list()}
    found = check(store)
    assert {each.kind for each in found.findings} == {kind}
    assert found.is_sound == kind.harmless
    assert {key: store.get(key) for key in store.list()} == content
    assert repair(store).findings == found.findings
    left = {} if kind.repair else {kind}
    assert {each.kind for each in check(store).findings} == {*left}
    if not kind.repair:
        assert {key: store.get(key) for key in store.list()} == content
    writer.append(batch(47, 48, z=[17]))
    writer.commit()
    if kind not in (Kind.MISSING, Kind.DAMAGED, Kind.DECREASES):
        snapshot = sz.open_stream(store)
        assert snapshot["x"][:].tolist() == [*range(10, 48)]
        assert snapshot["z"][:].tolist() == [0] * 20 + [*range(18)]


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda store: store.put("x/zarr.json", b"{"), "x/zarr.json"),
        (lambda store: change_child(store, "x", data_type="int32"), "another data_type than the root"),
        (lambda store: change_child(store, "y", shape=[47, 4]), r"has the shape \[47, 4\]"),
        (lambda store: change_child(store, "x", shape=[]), r"has the shape \[\]"),
        (lambda store: change_child(store, "x", shape=["9"]), r"has the shape \['9'\]"),
        (lambda store: change_child(store, "x", shape=5), "has the shape 5"),
        (lambda store: change_child(store, "x", shape=None), "has the shape None"),
    ],
)
def test_what_a_document_can_have_wrong(store, damage, what):
    started(store)
    damage(store)
    (found,) = check(store).findings
    assert found.kind is Kind.CHILD
    with pytest.raises(AssertionError, match=what):
        raise AssertionError(found.what)
    repair(store)
    assert check(store).findings == ()
    assert sz.open_array(store, path=found.array).shape[0] == 47


def test_every_chunk_that_is_missing_is_named(store):
    started(store)
    store.delete("x/c/3")
    store.delete("x/c/7")
    assert [each.what.partition(" of ")[0] for each in check(store).findings] == [
        "rows 12 to 16",
        "rows 28 to 32",
    ]


@given(st.dictionaries(st.integers(0, 299), st.sampled_from([Kind.MISSING, Kind.DAMAGED])))
@example(dict.fromkeys(range(300), Kind.MISSING))
@settings(max_examples=30)
def test_of_chunks_that_are_read_together_those_that_are_wrong_are_named(wrong):
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": Field("i8", chunk_rows=1, sorted=True)}) as writer:
        writer.append({"x": range(300)})
    for number, kind in wrong.items():
        store.delete(f"x/c/{number}")
        if kind is Kind.DAMAGED:
            store.put(f"x/c/{number}", b"damaged")
    assert [(each.what.split()[1], each.kind) for each in check(store).findings] == [
        (str(number), kind) for number, kind in sorted(wrong.items())
    ]


@pytest.mark.parametrize("sealed", [False, True])
def test_requests_overlap_where_the_store_likes_that(sealed):
    clean = MemoryStore()
    started(clean)
    if sealed:
        compact(clean, chunks=2)
    both, numbers = threading.Barrier(2, timeout=10), itertools.count()

    class Far(RecordingStore):
        capabilities = replace(clean.capabilities, in_flight=4)

        def around(self, call, action):
            if call.key.startswith("x/c/") and next(numbers) < 2:
                both.wait()
            return super().around(call, action)

    assert check(Far(clean)).findings == ()
    assert next(numbers) > 2


def while_it_looks(store, key, change):
    """Return a store that makes a change right before a chunk is read for the first time."""
    changes = iter([change])

    class Changing(RecordingStore):
        def around(self, call, action):
            if call.key == key:
                for each in changes:
                    each()
            return super().around(call, action)

    return Changing(store)


def test_a_late_chunk_is_not_taken_for_rows_in_a_shard_beside_one_that_is_damaged():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": Field("i8", chunk_rows=4, sorted=True)}) as writer:
        writer.append({"x": range(40)})
    store.put("x/c/9", b"junk")

    def upkeep():
        compact(store, chunks=1)
        store.delete("x/c/2")
        put_values(store, "x/c/2", [8, 9, 10, 0])

    assert [each.kind for each in check(while_it_looks(store, "x/c/2", upkeep)).findings] == [Kind.DAMAGED]


def test_what_is_wrong_in_rows_that_are_given_up_hides_nothing_behind_them():
    """Read together they would be 256 chunks; what begins the second lot is given up as it is read."""
    store = MemoryStore()
    schema = {"x": Field("i8", chunk_rows=4, sorted=True), "y": Field("i1", chunk_rows=4)}
    with sz.StreamWriter(store, schema=schema) as writer:
        writer.append({"x": range(2400), "y": np.zeros(2400, "i1")})
    put_values(store, "x/c/255", [1020, 1021, 1022, 10_000])
    put_values(store, "x/c/400", [1600, 1601, 3, 4])
    found = check(while_it_looks(store, "x/c/256", lambda: retain(store, rows=800)))
    assert [each.what for each in found.findings] == ["'x' is sorted, but row 1602 has 3 after 1601"]


def test_of_texts_a_chunk_at_a_time_is_in_memory():
    store = MemoryStore()
    text = "".join(map(chr, np.random.default_rng(0).integers(40, 120, 250_000)))
    with sz.StreamWriter(store, schema={"x": Field("string", chunk_rows=8)}) as writer:
        for number in range(100):
            writer.append({"x": [f"{number}{text}"] * 8})
    tracemalloc.start()
    try:
        assert check(store).is_sound
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < CACHE_BYTES + 40_000_000  # of texts of 200 MB


@pytest.mark.parametrize("field", [Field("string"), Field("i4", shape=(2,)), Field("b1"), Field("c8")])
def test_what_cannot_be_sorted_is_not_whatever_its_document_says(field):
    store = MemoryStore()
    sz.StreamWriter(store, schema={"x": replace(field, attributes={"streamzarr_sorted": True})}).close()
    with sz.StreamWriter(store) as writer:
        writer.append({"x": np.zeros((3, *field.shape), "T" if field.dtype == "string" else field.dtype)})
    assert check(store).findings == ()


@pytest.mark.parametrize("action", [check, repair, partial(compact, chunks=1)])
def test_it_says_how_far_it_is(store, action):
    started(store)
    if action in (check, repair):
        store.delete("x/c/5")
    said = []
    action(store, progress=lambda done, total: said.append((done, total)))
    assert said[-1][0] == said[-1][1] > 0
    assert said == sorted(said)
    assert len({total for _, total in said}) == 1


def test_bounds_without_end_are_no_work_without_end():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": Field("i8", sorted=True)}) as writer:
        writer.append({"x": range(10**6)})
    set_bounds(store, Bounds(1, tuple(range(60))))
    (found,) = check(store).findings
    assert (found.kind, found.what) == (Kind.BOUNDS, "60 bounds of 'x', expected 1000000")


def test_a_chunk_outside_of_the_shape_of_a_row_is_strange(store):
    started(store)
    store.put("y/c/2/7", b"?")
    (found,) = check(store).findings
    assert (found.kind, found.key) == (Kind.STRANGE, "y/c/2/7")


def test_a_chunk_that_comes_late_where_one_was_deleted_is_found_and_read_by_nobody_of_ours(store):
    """Put by a fenced writer where nothing was: its condition holds again once the chunk was deleted."""
    writer = started(store)
    data, values = store.get("x/c/5"), sz.open_stream(store)["x"][:]
    compact(store, chunks=1, delete=True)
    store.put("x/c/5", data, if_none_match=True)
    assert check(store).findings == ()  # right, if nobody needs it
    put_values(store, "x/c/5", [20, 21, 22, 0])
    store.put("y/c/2/0", b"no gzip", if_none_match=True)
    retain(store, rows=20)
    store.put("x/c/2", data, if_none_match=True)
    assert sz.open_stream(store)["x"][:].tolist() == values[10:].tolist()
    assert {each.key: each.kind for each in check(store).findings} == {
        "x/c/5": Kind.COPY,
        "y/c/2/0": Kind.COPY,
        "x/c/2": Kind.GIVEN_UP,
    }
    repair(store)
    assert check(store).findings == ()
    writer.append(batch(47, 50, z=range(3)))
    writer.close()
    assert sz.open_stream(store)["x"][:].tolist() == [*range(20, 50)]


def test_what_belongs_to_no_array_is_strange(tmp_path):
    started(LocalStore(tmp_path, fsync=False))
    compact(tmp_path, chunks=1)
    (tmp_path / "shards" / "x" / "notes").touch()
    (tmp_path / "old" / "c").mkdir(parents=True)
    (tmp_path / "old" / "c" / "0").touch()
    (tmp_path / "a\\b").touch()
    found = check(tmp_path)
    assert sorted((each.key, each.array) for each in found.findings) == [
        ("a\\b", ""),
        ("old/c/0", ""),
        ("shards/x/notes", "shards/x"),
    ]
    assert {each.kind for each in found.findings} == {Kind.STRANGE}
    assert repair(tmp_path).findings == check(tmp_path).findings


def test_other_nodes_of_the_group_are_not_strange(store):
    started(store)
    note = sz.create_array(MemoryStore(), shape=(), dtype="i4").metadata.to_json()
    change_root(store, lambda root: replace_nodes(root, {"notes/of/today": note}))
    store.put("notes/of/today/c", b"1")
    assert check(store).findings == ()


def test_a_root_that_cannot_be_read_is_an_error_and_not_mended(store):
    with pytest.raises(NodeNotFoundError):
        check(store)
    started(store)
    store.put("zarr.json", b"{}")
    for action in (check, repair):
        with pytest.raises(MetadataError):
            action(store)


def test_what_killed_writers_left_behind_is_removed(tmp_path):
    started(LocalStore(tmp_path, fsync=False))
    left = tmp_path / "x" / "c" / f"{TEMP_PREFIX}1-2-3"
    left.write_bytes(b"half a chunk")
    (found,) = check(tmp_path).findings
    assert (found.kind, found.key) == (Kind.STALE, f"x/c/{left.name}")
    assert left.exists()
    assert repair(tmp_path).findings == (found,)
    assert not left.exists()


@pytest.mark.parametrize(("key", "rows", "first_row"), [("x/c/2", 0, 40), ("x/c/7", 15, 30)])
def test_rows_that_are_given_up_while_it_looks_are_no_fault(key, rows, first_row):
    """In the second case the chunk that is read then has rows that stay, too."""
    clean = MemoryStore()
    started(clean)

    class Slow(RecordingStore):
        def around(self, call, action):
            if call.key == key:
                retain(clean, rows=rows)
            return super().around(call, action)

    found = check(Slow(clean))
    assert (found.first_row, found.findings) == (first_row, ())


def test_a_live_writer_is_no_fault_and_is_not_disturbed_by_a_repair():
    """It commits before each call of the store that the check or the repair makes."""
    clean = MemoryStore()
    writer = started(clean)

    class Meanwhile(RecordingStore):
        def around(self, call, action):
            rows = writer.rows
            writer.append(batch(rows, rows + 3, z=range(rows - 30, rows - 27)))
            if rows % 2:
                writer.commit()
            return super().around(call, action)

    found = check(Meanwhile(clean))
    assert {each.kind for each in found.findings} <= {Kind.BEHIND}
    change_child(clean, "y", shape=[10**6, 3])
    clean.put("x/c/0", b"late")
    assert {each.kind for each in repair(Meanwhile(clean)).findings} >= {Kind.CHILD, Kind.GIVEN_UP}
    writer.close()
    assert {each.kind for each in repair(clean).findings} <= {Kind.LAGS}  # it has seen a document that leads
    assert check(clean).findings == ()
    assert sz.open_stream(clean)["x"][:].tolist() == [*range(10, writer.rows)]


@pytest.mark.parametrize("operation", ["put", "delete", "fetch", "head", "list_sizes"])
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "answer-lost"])
def test_a_repair_that_fails_is_completed_by_the_next(operation, lost):
    for nth in itertools.count(1):
        clean = MemoryStore()
        started(clean)
        for kind in (Kind.GIVEN_UP, Kind.EARLY, Kind.BOUNDS, Kind.CHILD):
            FAULTS[kind](clean)
        change_child(clean, "x", shape=[20])
        faulty = FaultyStore(clean, [Fault(operation=operation, nth=nth, lost_response=lost)])
        try:
            repair(faulty)
        except StoreError:
            repair(faulty)
        assert check(clean).findings == ()
        if not faulty.struck:
            break


def test_bounds_that_were_dropped_are_not_put_back_by_the_writer_that_lives():
    store = MemoryStore()
    sz.StreamWriter(store, schema={"x": Field("i8", sorted=True, chunk_rows=4)}).close()
    with sz.StreamWriter(store) as writer:
        writer.append({"x": range(10)})
    set_bounds(store, Bounds(4, (0, 5, 8)))
    with sz.StreamWriter(store) as writer:
        assert [each.kind for each in repair(store).findings] == [Kind.BOUNDS]
        writer.append({"x": range(10, 20)})
    assert check(store).findings == ()
    assert len(sz.open_stream(store).sel(x=slice(4, 12))) == 9
