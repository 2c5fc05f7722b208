"""Reductions that leave nodata out, against numpy and exact fractions, one block at a time."""

from fractions import Fraction
from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamzarr.jobs.downsample import downsample, downsampled_shape

INTEGERS = st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])


def blocks(block, factor):
    """Yield index of each cell of the result, and the cells that it stands for."""
    for index in product(*map(range, downsampled_shape(block.shape, factor))):
        region = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factor, strict=True))
        yield index, block[region].ravel()


@st.composite
def cut(draw, dtypes, elements=None):
    """Return an array of few values, so that many are nodata, a factor, and which values are nodata."""
    dtype = np.dtype(draw(dtypes))
    few = draw(hnp.arrays(dtype, draw(st.integers(1, 4)), elements=elements))
    shape = draw(hnp.array_shapes(max_dims=3, max_side=7))
    block = few[draw(hnp.arrays("i8", shape, elements=st.integers(0, len(few) - 1)))]
    factor = tuple(draw(st.integers(1, 3)) for _ in shape)
    return block, factor, list(few[: draw(st.integers(1, len(few)))])


@given(cut(INTEGERS))
def test_mean_of_integers_is_the_exact_mean_of_what_counts(case):
    block, factor, nodata = case
    result = downsample(block, factor, "mean", nodata)
    assert result.dtype == block.dtype
    for index, cells in blocks(block, factor):
        counted = [int(cell) for cell in cells if cell not in nodata]
        expected = round(Fraction(sum(counted), len(counted))) if counted else int(nodata[0])
        assert int(result[index]) == expected


@given(cut(INTEGERS | st.just("f4"), None))
def test_max_is_the_greatest_of_what_counts(case):
    block, factor, nodata = case
    result = downsample(block, factor, "max", nodata)
    for index, cells in blocks(block, factor):
        counted = np.ma.masked_array(cells, [any(_same(cell, no) for no in nodata) for cell in cells])
        expected = np.max(counted.compressed()) if counted.count() else nodata[0]
        np.testing.assert_equal(result[index], expected)


@given(cut(st.sampled_from(["f4", "f8"]), st.floats(-1e6, 1e6, width=32) | st.just(float("nan"))))
def test_mean_of_floats_is_numpys_masked_mean(case):
    block, factor, nodata = case
    result = downsample(block, factor, "mean", nodata)
    for index, cells in blocks(block, factor):
        mask = [any(_same(cell, no) for no in nodata) for cell in cells]
        mean = np.ma.masked_array(cells.astype("f8"), mask).mean()
        expected = nodata[0] if mean is np.ma.masked else mean
        np.testing.assert_allclose(result[index], expected, rtol=1e-6, atol=1e-6)


@given(cut(st.just("f4"), st.floats(-1e6, 1e6, width=32)), st.data())
def test_the_result_does_not_depend_on_the_cut_into_chunks(case, data):
    block, factor, nodata = case
    whole = downsample(block, factor, "mean", nodata)
    at = data.draw(st.integers(0, whole.shape[0]))
    parts = [
        downsample(part, factor, "mean", nodata)
        for part in (block[: at * factor[0]], block[at * factor[0] :])
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def _same(one, other):
    return one == other or (one != one and other != other)
