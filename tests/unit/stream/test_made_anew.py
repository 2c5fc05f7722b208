"""A stream is removed and made anew at its place while its old writer lives: that one is fenced."""

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import FencedError
from streamzarr.stores import MemoryStore

SCHEMA = {"x": "i8"}


def append(writer, values):
    writer.append({"x": values})
    writer.commit()


@pytest.mark.parametrize("older", [0, 3], ids=["the same epoch", "a lower epoch"])
@pytest.mark.parametrize("rows", [1, 30], ids=["fewer rows", "more rows"])
def test_the_writer_of_a_stream_that_was_made_anew_is_fenced_and_changes_nothing(older, rows):
    store = MemoryStore()
    for _ in range(older):
        sz.StreamWriter(store, schema=SCHEMA, chunk_rows=4)
    old = sz.StreamWriter(store, schema=SCHEMA, chunk_rows=4)
    for value in range(10):
        append(old, [value])
    store.delete_prefix("")
    new = sz.StreamWriter(store, schema=SCHEMA, chunk_rows=4)
    append(new, -np.arange(rows))
    before = store.get("zarr.json")
    old.append({"x": [99]})
    with pytest.raises(FencedError, match="the stream is another one, made in its place, of epoch 1"):
        old.commit()
    assert store.get("zarr.json") == before
    append(new, [7])
    np.testing.assert_array_equal(sz.open_stream(store)["x"][:], [*-np.arange(rows), 7])


def test_a_root_of_its_own_that_was_put_back_is_written_over():
    store = MemoryStore()
    writer = sz.StreamWriter(store, schema=SCHEMA)
    append(writer, [1])
    older = store.get("zarr.json")
    append(writer, [2])
    store.put("zarr.json", older)
    append(writer, [3])
    np.testing.assert_array_equal(sz.open_stream(store)["x"][:], [1, 2, 3])
