"""Two arrays that share a small cache behave as one numpy array, whatever is done in whatever order."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import streamzarr as sz

LAYOUTS = [
    {"chunks": (3, 2)},
    {"chunks": (3, 2), "shards": (6, 4)},
    {"chunks": (3, 2), "zarr_format": 2, "compressors": None},
    {"chunks": (3, 2), "compressors": None, "write_empty_chunks": True},
]
slices = st.builds(slice, st.integers(0, 12), st.integers(0, 14))
values = st.integers(0, 5)


class CachedArrays(RuleBasedStateMachine):
    """The model is numpy's array; reading may be interleaved with writing through either array."""

    @initialize(layout=st.sampled_from(LAYOUTS), max_bytes=st.sampled_from([1, 100, 10_000]))
    def begin(self, layout, max_bytes):
        self.model = np.zeros((8, 5), "i4")
        writer = sz.create_array("memory://", shape=(8, 5), dtype="i4", cache=max_bytes, **layout)
        other = sz.open_array(writer.store, mode="r+", cache=writer.cache)
        self.arrays = [writer, other]

    def open_other(self, which):
        """See the new shape without a refresh, which would forget all chunks."""
        cache = self.arrays[which].cache
        self.arrays[which] = sz.open_array(self.arrays[which].store, mode="r+", cache=cache)

    @rule(which=st.integers(0, 1), rows=slices, columns=slices, value=values)
    def write(self, which, rows, columns, value):
        self.arrays[which][rows, columns] = self.model[rows, columns] = value

    @rule(which=st.integers(0, 1), rows=slices, columns=slices)
    def read(self, which, rows, columns):
        assert np.array_equal(self.arrays[which][rows, columns], self.model[rows, columns])

    @rule(which=st.integers(0, 1), data=st.data())
    def read_and_write_points(self, which, data):
        if not self.model.size:
            return
        points = data.draw(
            st.lists(st.tuples(*(st.integers(0, n - 1) for n in self.model.shape)), min_size=1, max_size=5)
        )
        at = tuple(np.array(axis) for axis in zip(*points, strict=True))
        assert np.array_equal(self.arrays[which].vindex[at], self.model[at])
        self.arrays[which].vindex[at] = self.model[at] = data.draw(values)

    @rule(which=st.integers(0, 1), value=values, data=st.data())
    def write_or_delete_a_unit(self, which, value, data):
        array = self.arrays[which]
        if not array.grid.size:
            return
        index = data.draw(st.sampled_from(list(array.grid.indices())))
        place = array.grid.slices(index)
        if value:
            array.write_chunk(index, np.full(array.grid.valid_shape(index), value))
        else:
            array.delete_chunk(index)
        self.model[place] = value

    @rule(which=st.integers(0, 1), shape=st.tuples(st.integers(0, 11), st.integers(0, 9)))
    def resize(self, which, shape):
        self.arrays[which].resize(shape, clear=True)
        resized = np.zeros(shape, "i4")
        both = tuple(map(slice, np.minimum(shape, self.model.shape)))
        resized[both] = self.model[both]
        self.model = resized
        self.open_other(1 - which)

    @rule(which=st.integers(0, 1), rows=st.integers(0, 4), value=values)
    def append(self, which, rows, value):
        if len(self.model) > 20:
            return
        more = np.full((rows, self.model.shape[1]), value, "i4")
        self.arrays[which].append(more)
        self.model = np.concatenate([self.model, more])
        self.open_other(1 - which)

    @rule()
    def change_it_elsewhere(self):
        sz.open_array(self.arrays[0].store, mode="r+")[:2] = 9
        self.model[:2] = 9
        self.arrays[0].cache.invalidate(self.arrays[0].url)

    @invariant()
    def stays_in_bounds(self):
        if hasattr(self, "arrays"):
            stats = self.arrays[0].cache.stats()
            assert 0 <= stats.bytes <= stats.max_bytes
            assert bool(stats.bytes) == bool(stats.chunks)

    def teardown(self):
        if hasattr(self, "arrays"):
            for array in self.arrays:
                assert np.array_equal(array[:], self.model)


TestCachedArrays = CachedArrays.TestCase
TestCachedArrays.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
