"""Of a large chunk without codecs no more is read than the rows that are wanted."""

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, KeyNotFoundError
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import WrappedStore

VALUES = np.arange(1024 * 256, dtype="i4").reshape(1024, 256)


class Counting(WrappedStore):
    """Notes which ranges are asked for."""

    def get(self, key, byte_range=None):
        if key.startswith("c"):
            self.__dict__.setdefault("ranges", []).append(byte_range)
        return super().get(key, byte_range)


@pytest.fixture
def store():
    store = Counting(MemoryStore())
    sz.create_array(store, data=VALUES, chunks=VALUES.shape, compressors=None)
    return store


@pytest.mark.parametrize("columns", [slice(None), slice(3, 200), slice(None, None, 2)])
def test_few_rows_are_read_by_a_range(store, columns):
    found = sz.open_array(store)[100:200, columns]
    np.testing.assert_array_equal(found, VALUES[100:200, columns])
    assert [(part.start, part.stop) for part in store.ranges] == [(100 * 1024, 200 * 1024)]


@pytest.mark.parametrize("rows", [slice(0, 600), slice(0, 100, 3)])
def test_other_rows_are_right_too(store, rows):
    np.testing.assert_array_equal(sz.open_array(store)[rows, 5:], VALUES[rows, 5:])


def test_a_chunk_that_is_not_stored_or_cut_off_is_told(store):
    store.inner.put("c/0/0", bytes(150 * 1024))
    with pytest.raises(CodecError, match="got 153600 bytes, expected 1048576"):
        sz.open_array(store)[100:200]
    store.inner.delete("c/0/0")
    assert not sz.open_array(store)[100:200].any()
    with pytest.raises(KeyNotFoundError, match="missing"):
        sz.open_array(store).read(slice(100, 200), missing="error")
