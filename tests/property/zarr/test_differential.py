"""Against numpy and against zarr-python, on whatever hypothesis thinks of."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import streamzarr.zarr as sz
from streamzarr.stores import MemoryStore
from streamzarr.zarr import indexing
from streamzarr.zarr.codecs.checksum import crc32c, crc32c_numpy
from streamzarr.zarr.grids.grid import guess_chunks, regular_grid
from streamzarr.zarr.grids.keys import DefaultKeys, V2Keys

pytestmark = pytest.mark.filterwarnings(
    "ignore::zarr.errors.ZarrUserWarning", "ignore::zarr.errors.UnstableSpecificationWarning"
)

quick = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def extents(rank: int, least: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(least, 9)] * rank)


FORWARDS = st.none() | st.integers(1, 4)
EITHER_WAY = FORWARDS | st.integers(-4, -1)


def selections(
    shape: tuple[int, ...], steps: st.SearchStrategy[int | None] = EITHER_WAY
) -> st.SearchStrategy[tuple[object, ...]]:
    def axis(n: int) -> st.SearchStrategy[object]:
        bounds = st.none() | st.integers(-n - 2, n + 2)
        slices = st.builds(slice, bounds, bounds, steps)
        return slices | st.integers(-n, n - 1) if n else slices

    chosen = st.tuples(*map(axis, shape))
    return chosen | st.tuples(chosen, st.integers(0, len(shape))).map(lambda each: (*each[0][: each[1]], ...))


shapes = st.integers(0, 4).flatmap(lambda rank: st.tuples(extents(rank), extents(rank, least=1)))


@quick
@given(shapes.flatmap(lambda each: st.tuples(st.just(each), selections(each[0]))))
def test_the_plan_covers_a_selection_exactly_once(case):
    (shape, chunks), selection = case
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    chosen = indexing.parse_basic(selection, shape)
    grid = regular_grid(shape, chunks)
    result = np.full(chosen.full_shape, -1)
    parts = list(indexing.plan(chosen, grid))
    for part in parts:
        where = grid.slices(part.chunk)
        block = values[where]
        target = result[(*part.target, ...)]
        assert (target == -1).all()
        target[...] = block[part.source]
        assert part.whole == (block[part.source].size == block.size)
    found = np.full(chosen.shape, -1)
    found[chosen.expand] = result
    assert np.array_equal(found, values[selection])
    assert len({part.chunk for part in parts}) == len(parts) <= indexing.count_parts(chosen, grid)


@quick
@given(
    shapes.flatmap(lambda each: st.tuples(st.just(each), selections(each[0]))),
    st.sampled_from([2, 3]),
    st.booleans(),
)
def test_partial_writes_equal_numpy(case, zarr_format, write_empty):
    (shape, chunks), selection = case
    z = sz.create_array(
        MemoryStore(),
        shape=shape,
        chunks=chunks,
        dtype="i4",
        fill_value=7,
        zarr_format=zarr_format,
        write_empty_chunks=write_empty,
        order="F",
    )
    values = np.full(shape, 7, "i4")
    new = np.arange(values[selection].size, dtype="i4").reshape(values[selection].shape)
    z[selection] = new
    values[selection] = new
    assert np.array_equal(z[...], values)
    assert np.array_equal(z[selection], values[selection])


def lists(n: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(-n, n - 1), max_size=6) if n else st.just([])


@st.composite
def sharded_shapes(draw):
    """Shape, chunk shape, and shard shape or None."""
    shape, chunks = draw(shapes)
    factors = draw(st.tuples(*[st.integers(1, 3)] * len(shape)))
    return (
        shape,
        chunks,
        draw(st.sampled_from([None, tuple(c * f for c, f in zip(chunks, factors, strict=True))])),
    )


@quick
@given(sharded_shapes(), st.data())
def test_all_indexing_equals_numpy(case, data):
    shape, chunks, shards = case
    z = sz.create_array(MemoryStore(), shape=shape, chunks=chunks, shards=shards, dtype="i4", fill_value=-1)
    values = np.full(shape, -1, "i4")
    for _ in range(3):
        chosen = data.draw(selections(shape))
        z[chosen] = new = np.arange(values[chosen].size).reshape(values[chosen].shape)
        values[chosen] = new
        outer = [data.draw(lists(n)) for n in shape]
        mesh = np.ix_(*[np.array(each, int) for each in outer])
        if shape:
            z.oindex[tuple(outer)] = new = data.draw(st.integers(-1, 5))
            values[mesh] = new
        mask = data.draw(st.integers(0, 2**31))
        mask = np.random.default_rng(mask).integers(0, 2, shape).astype(bool)
        z.set_mask_selection(mask, np.arange(mask.sum()))
        values[mask] = np.arange(mask.sum())
        assert np.array_equal(z[...], values)
        assert np.array_equal(z.get_mask_selection(mask), values[mask])
        assert np.array_equal(z[chosen], values[chosen])
        assert np.array_equal(z.oindex[tuple(outer)], values[mesh] if shape else values)
        if all(shape):
            points = data.draw(st.lists(st.tuples(*[st.integers(-n, n - 1) for n in shape]), max_size=6))
            index = tuple(np.array([point[d] for point in points], int) for d in range(len(shape)))
            if shape:
                assert np.array_equal(z.vindex[index], values[index])
                z.vindex[index] = np.arange(len(points))
                values[index] = np.arange(len(points))


class Growing(RuleBasedStateMachine):
    """An array of ours, a numpy array, and zarr-python on the same bytes."""

    @initialize(
        case=st.integers(1, 3).flatmap(lambda rank: st.tuples(extents(rank), extents(rank, least=1))),
        zarr_format=st.sampled_from([2, 3]),
        compressors=st.sampled_from([None, "zstd", "blosc"]),
    )
    def create(self, case, zarr_format, compressors):
        shape, chunks = case
        self.folder = tempfile.TemporaryDirectory()
        self.ours = sz.create_array(
            self.folder.name,
            shape=shape,
            chunks=chunks,
            dtype="i2",
            fill_value=-1,
            zarr_format=zarr_format,
            compressors=compressors,
        )
        self.values = np.full(shape, -1, "i2")

    @rule(data=st.data(), number=st.integers(-1, 100))
    def write(self, data, number):
        selection = data.draw(selections(self.values.shape))
        self.ours[selection] = number
        self.values[selection] = number

    @precondition(lambda self: self.values.size < 5000)
    @rule(data=st.data(), count=st.integers(0, 5))
    def append(self, data, count):
        axis = data.draw(st.integers(0, self.values.ndim - 1))
        shape = list(self.values.shape)
        shape[axis] = count
        new = np.arange(np.prod(shape), dtype="i2").reshape(shape)
        assert self.ours.append(new, axis=axis) == np.append(self.values, new, axis=axis).shape
        self.values = np.append(self.values, new, axis=axis)

    @rule(data=st.data())
    def resize(self, data):
        shape = data.draw(extents(self.values.ndim))
        self.ours.resize(shape, clear=True)
        grown = np.full(shape, -1, "i2")
        common = tuple(slice(min(a, b)) for a, b in zip(shape, self.values.shape, strict=True))
        grown[common] = self.values[common]
        self.values = grown

    @rule()
    def reopen(self):
        self.ours = sz.open_array(self.folder.name, mode="r+")

    @invariant()
    def same_for_all(self):
        if hasattr(self, "ours"):
            assert np.array_equal(self.ours[...], self.values)
            assert np.array_equal(zarr.open_array(self.folder.name, mode="r")[...], self.values)

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestGrowing = Growing.TestCase
TestGrowing.settings = settings(quick, max_examples=20, stateful_step_count=12)


@quick
@given(
    st.lists(st.integers(0, 10**6), max_size=4).map(tuple),
    st.sampled_from([DefaultKeys("/"), DefaultKeys("."), V2Keys(".")]),
)
def test_chunk_keys_decode_to_what_was_encoded(index, keys):
    key = keys.encode(index)
    assert keys.decode(key) == (index if index or isinstance(keys, DefaultKeys) else (0,))


@quick
@given(st.text(max_size=8))
def test_no_two_keys_mean_one_chunk(text):
    for keys in (DefaultKeys("/"), V2Keys("."), V2Keys("/")):
        try:
            index = keys.decode(text)
        except ValueError:
            continue
        assert keys.encode(index) == text


@quick
@given(st.binary(max_size=5000))
def test_both_checksums_agree(data):
    assert crc32c(data) == crc32c_numpy(data)


@quick
@given(st.lists(st.integers(0, 10**7), max_size=4).map(tuple), st.sampled_from([1, 4, 16]))
def test_guessed_chunks_have_a_sane_size(shape, itemsize):
    chunks = guess_chunks(shape, itemsize)
    assert len(chunks) == len(shape)
    assert all(1 <= chunk <= max(n, 1) for chunk, n in zip(chunks, shape, strict=True))
    assert np.prod(chunks, dtype=float) * itemsize < 64 * 2**20 * 1.01
