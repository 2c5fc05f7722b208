"""What is appended becomes visible when it is committed, in all fields at once, and never otherwise."""

import os
import tracemalloc

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import (
    ConfigError,
    FencedError,
    LimitExceededError,
    NodeExistsError,
    NodeNotFoundError,
    UnsupportedError,
)
from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.stream import CommitPolicy, Field
from streamzarr.testing.clock import FakeClock

TICKS = {"time": Field("M8[ns]", sorted=True), "price": "f8", "size": Field("i4", chunk_rows=3)}


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path, fsync=False)


def ticks(start, stop):
    rows = np.arange(start, stop)
    return {"time": rows.astype("M8[ns]"), "price": rows / 4, "size": rows.astype("i4") % 3}


def shown(store, path=""):
    snapshot = sz.open_stream(store, path)
    return {name: snapshot[name][:] for name in snapshot}


def assert_rows(store, rows, path=""):
    for name, values in shown(store, path).items():
        np.testing.assert_array_equal(values, ticks(0, rows)[name], name)


def test_rows_are_seen_when_they_are_committed(store):
    writer = sz.StreamWriter(store, schema=TICKS, chunk_rows=4)
    assert_rows(store, 0)
    done = 0
    for count in (1, 3, 4, 9, 1):
        writer.append(ticks(done, done + count))
        assert_rows(store, done)
        writer.commit()
        done += count
        assert_rows(store, done)


def test_the_next_writer_goes_on_where_the_last_commit_was(store):
    for _ in range(3):
        writer = sz.StreamWriter(store, "a/b", schema=TICKS, chunk_rows=4)
        start = writer.rows
        writer.append(ticks(start, start + 5))
        writer.commit()
        writer.append(ticks(100 + start, 107 + start))  # never committed
    assert_rows(store, 15, "a/b")
    assert sz.open_stream(store, "a/b").record.epoch == 3


def test_the_position_is_committed_with_the_rows(store):
    with sz.StreamWriter(store, schema={"x": "i4"}, source="ticks/3") as writer:
        assert writer.position is None
        writer.append({"x": [1, 2]}, next_offset=7)
        writer.commit()
        writer.append({"x": []}, next_offset=9)
        writer.commit()
        writer.append({"x": [3]}, next_offset=10)
        assert writer.position == 10
        assert sz.open_stream(store).position == 9
    assert sz.open_stream(store).position == 10
    assert sz.StreamWriter(store).position == 10


def test_positions_of_several_parts_go_on_for_themselves(store):
    writer = sz.StreamWriter(store, schema={"x": "i4"})
    writer.append({"x": [1]}, next_offset={"ticks/0": 5})
    writer.append({"x": [2]}, next_offset={"ticks/1": 3})
    writer.close()
    assert sz.StreamWriter(store).position == {"ticks/0": 5, "ticks/1": 3}


@pytest.mark.parametrize("next_offset", [None, 4, -1, 1.5, True, [5, 4], [5], {"a": 6}, 2**63, "7"], ids=repr)
def test_a_position_that_does_not_go_on_is_refused(store, next_offset):
    writer = sz.StreamWriter(store, schema={"x": "i4"})
    writer.append({"x": [1]}, next_offset=5)
    with pytest.raises(ValueError, match="next_offset"):
        writer.append({"x": [2, 3]}, next_offset=next_offset)
    assert writer.rows == 1


def test_rows_of_another_source_are_refused(store):
    sz.StreamWriter(store, schema={"x": "i4"}, source={"topic": "t", "id": "1"}).close()
    with pytest.raises(ConfigError, match=r"'id': '2'.*'id': '1'"):
        sz.StreamWriter(store, source={"topic": "t", "id": "2"})


def test_with_the_tail_in_memory_only_whole_chunks_are_seen(store):
    schema = {"x": Field("i4", chunk_rows=4), "y": Field("i4", chunk_rows=2)}
    writer = sz.StreamWriter(store, schema=schema, tail="memory")
    for start in range(0, 10, 2):
        rows = np.arange(start, start + 2)
        writer.append({"x": rows, "y": -rows}, next_offset=(rows + 1) * 10)
        writer.commit()
        snapshot = sz.open_stream(store)
        assert snapshot.rows == (start + 2) // 4 * 4
        assert snapshot.position == (snapshot.rows * 10 or None)
    assert writer.rows == 10
    writer.close()
    assert sz.open_stream(store)["y"][:].tolist() == [-n for n in range(10)]
    assert sz.open_stream(store).position == 100


def test_with_the_tail_in_memory_a_batch_is_cut_where_its_positions_are_known(store):
    writer = sz.StreamWriter(store, schema={"x": Field("i4", chunk_rows=4)}, tail="memory")
    with pytest.raises(ValueError, match="at row 4, within this batch"):
        writer.append({"x": range(6)}, next_offset=60)
    writer.append({"x": np.arange(6)}, next_offset=[10, 20, 30, 40, 50, 60])
    writer.commit()
    assert (sz.open_stream(store).rows, sz.open_stream(store).position, writer.position) == (4, 40, 60)


def test_with_the_tail_in_memory_the_policy_waits_for_whole_chunks_and_for_nothing_else(store):
    clock, policy = FakeClock(), CommitPolicy(seconds=2.0)
    schema = {"x": Field("i4", chunk_rows=4)}
    writer = sz.StreamWriter(store, schema=schema, tail="memory", commit=policy, runtime=clock)
    writer.append({"x": range(3)})
    clock.advance(5.0)
    assert writer.seconds_left is None  # or whoever waits so long would never sleep
    writer.append({"x": range(3)})
    assert (writer.seconds_left, sz.open_stream(store).rows) == (None, 4)


def test_each_row_may_be_a_block_that_is_cut(store):
    frames = np.arange(7 * 5 * 4, dtype="u2").reshape(7, 5, 4)
    schema = {"frame": Field("u2", shape=(5, 4), chunk_rows=3, chunks=(2, 3), compressors="gzip")}
    with sz.StreamWriter(store, schema=schema) as writer:
        writer.append({"frame": frames[:2]})
        writer.commit()
        writer.append({"frame": frames[2:]})
    with sz.StreamWriter(store) as writer:
        writer.append({"frame": frames})
    array = sz.open_stream(store)["frame"]
    assert array.chunks == (3, 2, 3)
    np.testing.assert_array_equal(array[:], np.concatenate([frames, frames]))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("?", [True, False, True]),
        ("i1", [1, -2, 3]),
        ("c16", [1j, 2, 3]),
        ("U5", ["a", "bb", "ß"]),
        ("S3", [b"a", b"bcd", b""]),
        ("string", ["a", "", "ccc" * 9]),
        ("bytes", [b"a", b"", b"\0\1"]),
        ("m8[ms]", [1, 2, 3]),
        (np.dtype([("a", "f4"), ("b", "?")]), [(1.5, True), (2.5, False), (0, True)]),
        ("V3", [b"abc", b"\0\0\0", b"xyz"]),
    ],
    ids=str,
)
def test_fields_of_every_type_come_back(store, dtype, values):
    field = Field(dtype, chunk_rows=4)
    array = np.asarray(values, field.metadata("x", 0, 1).dtype)
    for _ in range(2):
        with sz.StreamWriter(store, schema={"x": field}) as writer:
            writer.append({"x": array})
    assert sz.open_stream(store)["x"][:].tolist() == [*array.tolist(), *array.tolist()]


def test_what_the_policy_asks_for_is_committed_by_append(store):
    writer = sz.StreamWriter(store, schema={"x": "i4"}, commit=CommitPolicy(rows=3))
    for rows, seen in [(2, 0), (1, 3), (2, 3), (5, 10)]:
        writer.append({"x": [0] * rows})
        assert sz.open_stream(store).rows == seen


def test_the_policy_counts_bytes_and_seconds(store):
    clock = FakeClock()
    writer = sz.StreamWriter(
        store, schema={"x": "i4"}, commit=CommitPolicy(bytes="100B", seconds=2.0), runtime=clock
    )
    assert writer.seconds_left is None
    writer.append({"x": [1]})
    clock.advance(1.5)
    assert writer.seconds_left == pytest.approx(0.5)
    writer.commit_if_due()
    assert sz.open_stream(store).rows == 0
    clock.advance(1.0)
    writer.commit_if_due()
    assert sz.open_stream(store).rows == 1
    writer.append({"x": [1] * 30})
    assert sz.open_stream(store).rows == 31


def test_rows_are_dropped_when_the_block_raises(store):
    def write():
        with sz.StreamWriter(store, schema={"x": "i4"}) as writer:
            writer.append({"x": [1]})
            writer.append({"x": [1 / 0]})

    with pytest.raises(ZeroDivisionError):
        write()
    assert sz.open_stream(store).rows == 0


def test_a_closed_writer_says_so(store):
    writer = sz.StreamWriter(store, schema={"x": "i4"})
    writer.close()
    writer.close()
    with pytest.raises(ConfigError, match="closed"):
        writer.append({"x": [1]})


def test_a_writer_of_the_past_is_fenced_and_changes_nothing(store):
    old = sz.StreamWriter(store, schema=TICKS, chunk_rows=4)
    old.append(ticks(0, 2))
    old.commit()
    old.append(ticks(100, 101))
    new = sz.StreamWriter(store)
    new.append(ticks(2, 3))
    with pytest.raises(FencedError, match="epoch 2"):
        old.commit()
    with pytest.raises(FencedError, match="epoch 2"):
        old.append(ticks(101, 102))
    new.commit()
    assert_rows(store, 3)


def test_the_chunk_of_a_writer_of_the_past_is_not_replaced(store):
    """It holds the etag of a tail that its successor has written anew: only the condition stops it."""
    old = sz.StreamWriter(store, schema=TICKS, chunk_rows=4)
    old.append(ticks(0, 2))
    old.commit()
    new = sz.StreamWriter(store)
    new.append(ticks(2, 4))
    new.commit()
    with pytest.raises(FencedError):
        old.append(ticks(100, 110))
    assert_rows(store, 4)


def test_a_forked_child_may_not_write(store):
    writer = sz.StreamWriter(store, schema={"x": "i4"})
    child = os.fork()
    if not child:
        try:
            writer.append({"x": [1]})
        except ConfigError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_what_is_there_must_be_a_stream_with_these_fields(store):
    with pytest.raises(NodeNotFoundError, match="pass a schema"):
        sz.StreamWriter(store)
    sz.create_group(store, path="group")
    with pytest.raises(NodeExistsError, match="no stream"):
        sz.StreamWriter(store, "group", schema={"x": "i4"})
    sz.StreamWriter(store, "s", schema={"x": "i4"})
    with pytest.raises(ConfigError, match=r"\['x', 'y'\], the stream has \['x'\]"):
        sz.StreamWriter(store, "s", schema={"x": "i4", "y": "i4"})
    with pytest.raises(ConfigError, match=r"'x' is float64 .* int32"):
        sz.StreamWriter(store, "s", schema={"x": "f8"})
    with pytest.raises(NodeNotFoundError, match="no stream"):
        sz.open_stream(store, "group")


def test_chunks_that_do_not_fit_into_memory_are_refused(store):
    with pytest.raises(LimitExceededError, match="1000000 bytes, at most 1000 allowed"):
        sz.StreamWriter(store, schema={"x": "u1"}, chunk_rows=1_000_000, max_bytes="1kB")
    writer = sz.StreamWriter(store, "text", schema={"x": "string"}, chunk_rows=10, max_bytes="1kB")
    writer.append({"x": ["a" * 500]})
    with pytest.raises(LimitExceededError):
        writer.append({"x": ["a" * 500]})
    writer.append({"x": ["b"]})
    writer.close()
    assert sz.open_stream(store, "text")["x"][1] == "b"


def test_a_store_whose_conditional_put_is_not_one_is_refused_with_the_reason():
    class Careless(MemoryStore):
        def put(self, key, data, *, if_match=None, if_none_match=False):
            return super().put(key, data)

    with pytest.raises(UnsupportedError, match="if_none_match on a present key was accepted; a stream needs"):
        sz.StreamWriter(Careless(), schema={"x": "i4"})


def test_the_parent_of_a_stream_is_not_consolidated(store):
    sz.StreamWriter(store, "feeds/a", schema={"x": "i4"}).close()
    with pytest.raises(UnsupportedError, match="is a stream"):
        sz.consolidate_metadata(store)


def test_memory_does_not_grow_with_the_batches(tmp_path):
    """Chunks are put as they become full, and those that are not full are all that is kept."""
    chunk = 8 * 65_536
    store = LocalStore(tmp_path, fsync=False)
    with sz.StreamWriter(store, schema={"x": Field("f8", compressors=None)}) as writer:
        batch = {"x": np.arange(65_000.0)}
        writer.append(batch)
        tracemalloc.start()
        for _ in range(20):
            writer.append(batch)
            writer.commit()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        writer.append({"x": np.zeros(10 * 65_536)})
    assert peak < 3 * chunk
