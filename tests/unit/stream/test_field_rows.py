"""Rows of a field are indexed as numpy's arrays are, wherever chunks, retention and growth cut them."""

import pickle  # noqa: TID251 - snapshots travel between processes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamzarr as sz
from streamzarr.errors import KeyNotFoundError
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field
from tests.support.streams import give_up, grow

ROWS = 23
FRAMES = np.arange(ROWS * 3 * 4, dtype="i4").reshape(ROWS, 3, 4)


@pytest.fixture(scope="module")
def store():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"frame": Field("i4", shape=(3, 4), chunk_rows=5)}) as writer:
        writer.append({"frame": FRAMES})
    return store


@given(
    st.integers(0, ROWS),
    st.integers(0, ROWS),
    st.one_of(
        st.slices(ROWS),
        st.integers(-ROWS - 2, ROWS + 2),
        st.lists(st.integers(-ROWS - 2, ROWS + 2), max_size=6),
        st.lists(st.booleans(), min_size=ROWS, max_size=ROWS),
    ),
    st.sampled_from([(), (1,), (slice(None, None, 2),), (..., 2), (0, slice(1, 3)), (slice(2), -1)]),
)
def test_an_index_gives_what_numpy_gives(store, start, stop, rows, rest):
    part = sz.open_stream(store).between(start, stop)["frame"]
    expected = FRAMES[start : max(start, stop)]
    if isinstance(rows, list) and rows and isinstance(rows[0], bool):
        rows = rows[: len(expected)]
    if isinstance(rows, list) and not rows:
        rows = np.empty(0, int)
    try:
        wanted = expected[(rows, *rest)]
    except IndexError:
        with pytest.raises(IndexError):
            part[(rows, *rest)]
    else:
        np.testing.assert_array_equal(part[(rows, *rest)], wanted)


@pytest.mark.parametrize("chosen", [..., (), (..., 1), (..., 0, slice(1, 2)), np.s_[:, :, 1], np.int64(3)])
def test_what_else_may_stand_in_brackets(store, chosen):
    np.testing.assert_array_equal(sz.open_stream(store)["frame"][chosen], FRAMES[chosen])


@pytest.mark.parametrize("chosen", [None, 1.5, "x", ([0, 1], [0, 1]), [[0]], [0.5], (0, 0, 0, 0)], ids=str)
def test_what_may_not(store, chosen):
    with pytest.raises((IndexError, TypeError)):
        sz.open_stream(store)["frame"][chosen]


def test_a_field_says_what_it_is(store):
    frames = sz.open_stream(store).between(4, 21)["frame"]
    assert (frames.shape, frames.dtype, frames.ndim, frames.size, frames.nbytes) == (
        (17, 3, 4),
        np.dtype("i4"),
        3,
        204,
        816,
    )
    assert (frames.chunks, [*frames.chunk_starts]) == ((5, 3, 4), [1, 6, 11, 16])
    assert frames.dimension_names == ("row", "frame_0", "frame_1")
    assert frames.url == f"{store.url}/frame"
    np.testing.assert_array_equal(np.asarray(frames, "f8"), FRAMES[4:21].astype("f8"))
    np.testing.assert_array_equal([*frames], FRAMES[4:21])
    with pytest.raises(ValueError, match="copy=False"):
        np.asarray(frames, copy=False)


def test_there_is_no_other_field(store):
    with pytest.raises(KeyError, match=r"no field 'x', there are \['frame'\]"):
        sz.open_stream(store)["x"]


def test_texts_are_elements_and_not_arrays():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"name": "string", "data": "bytes"}) as writer:
        writer.append({"name": ["a", "bb"], "data": [b"x", b"yy"]})
    snapshot = sz.open_stream(store)
    assert (snapshot["name"][1], snapshot["data"][-1]) == ("bb", b"yy")


def test_rows_that_were_given_up_are_no_rows():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": "i4"}, chunk_rows=4) as writer:
        writer.append({"x": range(11)})
    give_up(store, 8)
    snapshot = sz.open_stream(store)
    assert (snapshot.first_row, snapshot.rows, len(snapshot)) == (8, 11, 3)
    assert snapshot["x"][:].tolist() == [8, 9, 10]
    assert snapshot["x"][0] == 8
    assert snapshot.between(0, 10)["x"][:].tolist() == [8, 9]
    with pytest.raises(IndexError):
        snapshot["x"][3]


def test_an_old_snapshot_never_reads_the_fill_value_for_what_was_given_up():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": "i4"}, chunk_rows=4) as writer:
        writer.append({"x": range(11)})
    before = sz.open_stream(store)
    give_up(store, 8)
    with pytest.raises(KeyNotFoundError, match="row 2 is asked for, but rows before 8 were given up"):
        before["x"][2:10]
    assert before["x"][8:].tolist() == [8, 9, 10]
    assert before.refresh()["x"][:].tolist() == [8, 9, 10]


def test_what_was_read_of_an_old_snapshot_stays():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": "i4"}, chunk_rows=4) as writer:
        writer.append({"x": range(11)})
    before = sz.open_stream(store)
    before["x"][:]
    give_up(store, 8)
    assert before["x"][2:6].tolist() == [2, 3, 4, 5]


def test_a_missing_chunk_of_committed_rows_is_an_error():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": "i4"}, chunk_rows=4) as writer:
        writer.append({"x": range(11)})
    store.delete("x/c/1")
    for chosen in (slice(None), 5, [0, 5]):
        with pytest.raises(KeyNotFoundError, match="x/c/1"):
            sz.open_stream(store)["x"][chosen]


def test_a_field_that_came_later_is_its_fill_value_before():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": "i4"}, chunk_rows=4) as writer:
        writer.append({"x": range(10)})
    before = sz.open_stream(store)
    grow(store, "y", Field("f4", fill_value=-1, chunk_rows=4))
    grown = before.refresh()
    assert (before.names, grown.names) == (("x",), ("x", "y"))
    assert grown["y"][:].tolist() == [-1] * 10
    with sz.StreamWriter(store) as writer:
        writer.append({"x": range(10, 20), "y": np.arange(10, 20)})
    after = grown.refresh()
    expected = np.where(np.arange(20) < 10, -1, np.arange(20))
    for chosen in (slice(None), slice(None, None, 3), slice(None, None, -1), [0, 19, 9, 10], 9, 10):
        np.testing.assert_array_equal(after["y"][chosen], expected[chosen])
    store.delete("y/c/2")  # which has rows 8 to 11
    with pytest.raises(KeyNotFoundError):
        sz.open_stream(store)["y"][8]
    assert sz.open_stream(store)["y"][:8].tolist() == [-1] * 8


def test_a_field_pickles_without_what_it_has_read(tmp_path):
    with sz.StreamWriter(tmp_path, schema={"x": "i4"}, chunk_rows=4) as writer:
        writer.append({"x": range(11)})
    part = sz.open_stream(tmp_path).between(3, 9)["x"]
    part[:]
    again = pickle.loads(pickle.dumps(part))
    assert again[:].tolist() == [3, 4, 5, 6, 7, 8]
    assert again.view.sealed.stats().hits == 0
