"""Downsampling against numpy's own words for it, and against tensorstore's implementation."""

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamzarr.errors import ConfigError
from streamzarr.jobs.downsample import check_method, downsample, downsampled_shape

INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")


def by_tensorstore(block, factor, method):
    name = {"nearest": "stride"}.get(method, method)
    return ts.downsample(ts.array(block), list(factor), name).read().result()


@pytest.mark.parametrize("method", ["mean", "nearest", "max"])
@pytest.mark.parametrize("dtype", [*INTEGERS, "f4", "f8"])
def test_agrees_with_tensorstore_at_ragged_edges(dtype, method):
    rng = np.random.default_rng(7)
    block = rng.integers(0, 100, (7, 10)).astype(dtype)
    ours = downsample(block, (2, 3), method)
    theirs = by_tensorstore(block, (2, 3), method)
    assert ours.dtype == block.dtype
    if dtype.startswith("f"):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_mean_of_extreme_integers_does_not_overflow(dtype):
    top = np.iinfo(dtype).max
    block = np.array([[top, top], [top, top - 1]], dtype)
    assert downsample(block, (2, 2), "mean")[0, 0] == top  # -1/4 rounds away


def test_ties_round_to_even():
    block = np.array([[0, 1], [2, 3]], "u1")
    assert downsample(block, (1, 2), "mean").ravel().tolist() == [0, 2]


def test_divisible_mean_is_numpys():
    block = np.random.default_rng(1).integers(0, 255, (8, 6)).astype("u1")
    expected = np.rint(block.reshape(4, 2, 3, 2).mean(axis=(1, 3))).astype("u1")
    np.testing.assert_array_equal(downsample(block, (2, 2), "mean"), expected)


def test_nan_spreads_through_mean_and_max():
    block = np.array([np.nan, 1.0, 2.0, 3.0], "f4")
    for method in ("mean", "max"):
        result = downsample(block, (2,), method)
        assert np.isnan(result[0])
        assert not np.isnan(result[1])


def test_zero_dimensions_and_zero_sizes():
    assert downsample(np.array(3.5), (), "mean") == 3.5
    assert downsample(np.zeros((0, 4), "u1"), (2, 2), "mean").shape == (0, 2)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=9), elements=st.floats(-1e6, 1e6, width=32)),
    st.integers(1, 4),
    st.data(),
)
def test_the_result_does_not_depend_on_the_cut_into_chunks(block, f, data):
    factor = (f,) * block.ndim
    whole = downsample(block, factor, "mean")
    cut = data.draw(st.integers(0, whole.shape[0]))
    parts = [downsample(block[: cut * f], factor, "mean"), downsample(block[cut * f :], factor, "mean")]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@given(hnp.array_shapes(max_dims=4, max_side=20), st.integers(1, 5))
def test_shape(shape, f):
    factor = (f,) * len(shape)
    assert downsample(np.zeros(shape, "u1"), factor, "nearest").shape == downsampled_shape(shape, factor)


def test_a_method_without_meaning_is_refused():
    with pytest.raises(ConfigError, match="nearest"):
        check_method("mean", np.dtype("U3"))
    with pytest.raises(ConfigError, match="nearest"):
        check_method("max", np.dtype("c8"))
