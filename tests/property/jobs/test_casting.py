"""Casting against Python's own numbers: what passes is the same number, what does not is refused."""

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamzarr.errors import CastingError
from streamzarr.jobs.cast import Casting, can_cast, cast

INTEGERS = st.sampled_from(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">u8"]).map(np.dtype)
FLOATS = st.sampled_from(["f2", "f4", "f8", ">f4"]).map(np.dtype)
EDGES = st.builds(lambda power, by: 2**power + by, st.integers(0, 64), st.integers(-2, 2))


def integers(dtype):
    bounds = np.iinfo(dtype)
    inside = EDGES.flatmap(lambda edge: st.sampled_from([edge, -edge]))
    return inside.filter(lambda n: bounds.min <= n <= bounds.max) | st.integers(
        int(bounds.min), int(bounds.max)
    )


def passes(values, dtype):
    """Return what became of `values`; None when they were refused."""
    try:
        return cast(values, dtype, "same_kind", "here")
    except CastingError:
        return None


@given(st.data(), INTEGERS, INTEGERS)
def test_integers_are_the_same_or_refused(data, source, target):
    values = data.draw(
        hnp.arrays(source, hnp.array_shapes(min_dims=0, max_side=4), elements=integers(source))
    )
    bounds = np.iinfo(target)
    made = passes(values, target)
    if all(bounds.min <= int(n) <= bounds.max for n in values.flat):
        assert made.dtype == target
        assert made.tolist() == values.tolist()
    else:
        assert made is None


@given(st.data(), INTEGERS, FLOATS | st.sampled_from(["c8", "c16"]).map(np.dtype))
def test_integers_as_floats_are_the_same_or_refused(data, source, target):
    assume(can_cast(source, target, "same_kind"))
    values = data.draw(hnp.arrays(source, 3, elements=integers(source)))
    made = passes(values, target)
    with np.errstate(all="ignore"):
        plain = values.astype(target).real.astype("f8")
    exact = all(math.isfinite(f) and int(f) == int(n) for f, n in zip(plain, values, strict=True))
    assert (made is not None) == exact
    if exact:
        assert [int(each.real) for each in made.tolist()] == values.tolist()


@given(st.data(), FLOATS, FLOATS)
def test_finite_floats_stay_finite_or_are_refused(data, source, target):
    values = data.draw(hnp.arrays(source, 4))
    with np.errstate(all="ignore"):
        plain = values.astype(target)
    made = passes(values, target)
    assert (made is None) == bool((np.isfinite(values) & ~np.isfinite(plain)).any())
    if made is not None:
        np.testing.assert_array_equal(made, plain)


@given(
    st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=6), min_size=1),
    st.integers(1, 6),
)
def test_text_is_whole_or_refused(texts, length):
    values = np.array(texts, np.dtypes.StringDType())
    made = passes(values, np.dtype(f"U{length}"))
    assert (made is None) == any(len(text) > length for text in texts)
    if made is not None:
        assert made.tolist() == texts


@given(
    st.integers(-(2**62), 2**62),
    st.sampled_from(["D", "h", "s", "ms", "ns"]),
    st.sampled_from(["D", "h", "s", "ms", "ns"]),
)
def test_times_are_the_same_or_refused(count, source, target):
    seconds = {"D": 86400 * 10**9, "h": 3600 * 10**9, "s": 10**9, "ms": 10**6, "ns": 1}
    total, unit = count * seconds[source], seconds[target]
    fits = total % unit == 0 and abs(total // unit) < 2**63
    made = passes(np.array([count], f"m8[{source}]"), np.dtype(f"m8[{target}]"))
    assert (made is not None) == fits
    if made is not None:
        assert made.view("i8").tolist() == [total // unit]


@pytest.mark.parametrize("casting", get_args(Casting))
@given(
    st.sampled_from(["b1", "i2", "u4", "f4", "f8", "c8"]),
    st.sampled_from(["b1", "i2", "u4", "f4", "f8", "c8"]),
)
def test_the_rules_are_numpys(casting, source, target):
    source, target = np.dtype(source), np.dtype(target)
    integers_alike = casting == "same_kind" and source.kind in "iu" and target.kind in "iu"
    assert can_cast(source, target, casting) == (integers_alike or np.can_cast(source, target, casting))
