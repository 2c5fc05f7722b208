"""Of a large chunk without compressors no more is read than the bytes that hold what is wanted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, KeyNotFoundError
from streamzarr.stores import LocalStore, MemoryStore, RangeRequest
from streamzarr.testing.faults import WrappedStore
from streamzarr.zarr.chunks import excerpt as excerpts
from streamzarr.zarr.codecs import BytesCodec, TransposeCodec
from streamzarr.zarr.codecs.base import ChunkSpec
from streamzarr.zarr.codecs.chain import codec_chain
from streamzarr.zarr.indexing import Points, parse, parse_coordinates, parse_orthogonal, plan

VALUES = np.arange(1024 * 256, dtype="i4").reshape(1024, 256)
WHOLE = VALUES.nbytes


class Counting(WrappedStore):
    """Notes which ranges of chunks are asked for, and how many bytes were sent."""

    def __init__(self, inner):
        super().__init__(inner)
        self.ranges, self.sent = [], 0

    def get(self, key, byte_range=None):
        return self._note(key, [byte_range], [super().get(key, byte_range)])[0]

    def get_ranges(self, key, ranges):
        return self._note(key, ranges, super().get_ranges(key, ranges))

    def get_into(self, key, buffer):
        size = super().get_into(key, buffer)
        self._note(key, [None], [bytes(size or 0)])
        return size

    def _note(self, key, ranges, found):
        if "c/" in key:
            self.ranges += ranges
            self.sent += sum(map(len, found))
        return found


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    store = Counting(MemoryStore() if request.param == "memory" else LocalStore(tmp_path))
    sz.create_array(store, data=VALUES, chunks=VALUES.shape, compressors=None)
    return store


@pytest.mark.parametrize(
    ("columns", "start", "stop"),
    [(slice(None), 0, 1024), (slice(3, 200), 12, 800), (slice(None, None, 2), 0, 1020), (7, 28, 32)],
)
def test_neighbouring_rows_are_read_by_one_range(store, columns, start, stop):
    found = sz.open_array(store)[100:200, columns]
    np.testing.assert_array_equal(found, VALUES[100:200, columns])
    assert store.ranges == [RangeRequest(100 * 1024 + start, 199 * 1024 + stop)]


def test_rows_far_apart_are_read_by_a_range_each(store):
    np.testing.assert_array_equal(sz.open_array(store)[::300, 5:], VALUES[::300, 5:])
    assert store.ranges == [RangeRequest(row * 1024 + 20, (row + 1) * 1024) for row in (0, 300, 600, 900)]


@pytest.mark.parametrize("rows", [slice(0, 600), slice(0, 1000, 3)])
def test_much_of_a_chunk_is_read_in_one_go(store, rows):
    np.testing.assert_array_equal(sz.open_array(store)[rows, 5:], VALUES[rows, 5:])
    assert store.sent <= WHOLE


def test_lists_and_points_are_read_by_the_range_around_them(store):
    z = sz.open_array(store)
    np.testing.assert_array_equal(z.oindex[[7, 3, 5], [200, 1]], VALUES[np.ix_([7, 3, 5], [200, 1])])
    np.testing.assert_array_equal(z.vindex[[9, 4], [1, 2]], VALUES[[9, 4], [1, 2]])
    assert store.sent < 10 * 1024


def test_the_first_axis_may_be_of_length_one():
    store = Counting(MemoryStore())
    values = VALUES.reshape(1, 1024, 256)
    z = sz.create_array(store, data=values, chunks=values.shape, compressors=None)
    np.testing.assert_array_equal(z[0, 10], values[0, 10])
    assert store.sent == 1024


@pytest.mark.parametrize("options", [{"zarr_format": 2, "order": "F"}, {"filters": [TransposeCodec((1, 0))]}])
def test_columns_of_what_is_stored_by_columns(options):
    store = Counting(MemoryStore())
    z = sz.create_array(store, data=VALUES, chunks=VALUES.shape, compressors=None, **options)
    store.sent = 0
    np.testing.assert_array_equal(z[:, 7], VALUES[:, 7])
    if "order" not in options:  # keys of v2 are not noted
        assert store.sent == 4096


def test_the_other_byte_order():
    store = Counting(MemoryStore())
    z = sz.create_array(
        store, data=VALUES, chunks=VALUES.shape, compressors=None, serializer=BytesCodec("big")
    )
    np.testing.assert_array_equal(z[17], VALUES[17])
    assert store.sent == 1024


@pytest.mark.parametrize("options", [{"compressors": "zstd"}, {"compressors": [{"name": "crc32c"}]}])
def test_what_a_codec_hides_is_read_whole(options):
    store = Counting(MemoryStore())
    z = sz.create_array(store, data=VALUES, chunks=VALUES.shape, **options)
    np.testing.assert_array_equal(z[17], VALUES[17])
    assert store.ranges == [None]


def test_inner_chunks_of_shards():
    store = Counting(MemoryStore())
    z = sz.create_array(store, data=VALUES, chunks=(512, 256), shards=VALUES.shape, compressors=None)
    store.sent = 0
    np.testing.assert_array_equal(z[[3, 600, 601]], VALUES[[3, 600, 601]])
    np.testing.assert_array_equal(z[500:520, 9], VALUES[500:520, 9])
    assert store.sent < 30 * 1024
    z[:512] = 0  # not stored any more
    assert not z[500:512].any()
    np.testing.assert_array_equal(
        z[510:514], np.where(np.arange(510, 514)[:, None] < 512, 0, VALUES[510:514])
    )


def test_a_chunk_that_is_not_stored_or_cut_off_is_told(store):
    store.inner.put("c/0/0", bytes(150 * 1024))
    with pytest.raises(CodecError, match="got 153600 bytes, expected 1048576"):
        sz.open_array(store)[100:200]
    store.inner.delete("c/0/0")
    assert not sz.open_array(store)[100:200].any()
    assert not sz.open_array(store).oindex[[100, 3]].any()
    with pytest.raises(KeyNotFoundError, match="missing"):
        sz.open_array(store).read(slice(100, 200), missing="error")


def test_a_shard_that_is_cut_off_is_told():
    store = MemoryStore()
    z = sz.create_array(
        store,
        data=VALUES,
        chunks=(512, 256),
        shards={"shape": VALUES.shape, "index_location": "start"},
        compressors=None,
    )
    store.put("c/0/0", store.get("c/0/0", RangeRequest(0, 600_000)))
    with pytest.raises(CodecError, match="c/0/0"):
        z[700]


@st.composite
def asked(draw):
    """Return shape, order of the axes, dtype, and what to select."""
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=4)))
    order = tuple(draw(st.permutations(range(len(shape)))))
    kind = draw(st.sampled_from(["basic", "orthogonal", "points"]))
    inside = [st.integers(0, n - 1) for n in shape]
    if kind == "points":
        count = draw(st.integers(1, 4))
        return (
            shape,
            order,
            parse_coordinates(
                tuple([draw(st.lists(each, min_size=count, max_size=count)) for each in inside]), shape
            ),
        )
    slices = [st.slices(n).filter(lambda each: (each.step or 1) > 0) for n in shape]
    if kind == "basic":
        return shape, order, parse(tuple([draw(a | b) for a, b in zip(inside, slices, strict=True)]), shape)
    lists = [st.lists(each, min_size=1, max_size=4) for each in inside]
    return (
        shape,
        order,
        parse_orthogonal(tuple([draw(a | b) for a, b in zip(lists, slices, strict=True)]), shape),
    )


def shape_of(selection):
    return (selection.count,) if isinstance(selection, Points) else selection.full_shape


@given(asked(), st.sampled_from(["<i2", ">i4", "u1"]), st.integers(0, 40))
def test_any_selection_is_what_it_is_of_the_whole(question, dtype, gap):
    shape, order, selection = question
    values = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    native = values.astype(values.dtype.newbyteorder("="))
    spec = ChunkSpec(shape, native.dtype, native.dtype.type(0))
    serializer = BytesCodec("big" if dtype[0] == ">" else "little")
    chain = codec_chain([TransposeCodec(order), serializer], spec)
    store = MemoryStore()
    store.put("c", values.transpose(order).tobytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(excerpts, "MIN_CHUNK_BYTES", 1)
        patch.setattr(excerpts, "MAX_GAP", gap)
        patch.setattr(excerpts, "MAX_LARGE_GAP", gap)
        grid = sz.create_array("memory://", shape=shape, chunks=shape, dtype="u1").grid
        for part in plan(selection, grid):
            out = np.zeros(shape_of(selection), native.dtype)
            if excerpts.read_excerpt(store, "c", chain, part, out):
                np.testing.assert_array_equal(out[part.target], native[part.source])


@pytest.mark.parametrize(("rows", "ranges"), [(4096, True), (64, False)])
def test_a_column_is_worth_a_range_a_row_only_in_a_chunk_that_needs_new_memory(rows, ranges):
    spec = ChunkSpec((rows, 2048), np.dtype("f4"), np.float32(0))
    found = excerpts.excerpt(codec_chain([BytesCodec()], spec), (slice(0, rows, 1), slice(7, 8, 1)))
    assert (found is not None) is ranges
    assert found is None or len(found.offsets) == rows
