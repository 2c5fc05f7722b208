"""Sums of integers are exact; what 64 bits cannot hold is the greatest or the least, whatever comes when."""

from functools import reduce

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.feeds.grid.spec import Output
from streamzarr.feeds.grid.values import Values
from streamzarr.feeds.windows.values import Parts, joined, result


def output(dtype):
    return Output("n", "n", "sum", np.dtype(dtype), 0, {})


def numbers(dtype):
    bounds = np.iinfo(dtype)
    return st.one_of(
        st.integers(int(bounds.min), int(bounds.max)),
        st.sampled_from([int(bounds.min), int(bounds.max), 0, 1, 2**61]),
    )


def held(total, dtype):
    return min(max(total, int(np.iinfo(dtype).min)), int(np.iinfo(dtype).max))


@pytest.mark.parametrize("dtype", ["i8", "u8"])
@given(data=st.data())
def test_slots(dtype, data):
    values, totals = Values(output(dtype), keys=1), []
    for more in data.draw(st.lists(st.integers(0, 2), max_size=5).map(lambda found: [3, *found])):
        totals += [0] * more
        values.grow(len(totals))
        places = st.integers(0, len(totals) - 1)
        batch = data.draw(st.lists(st.tuples(places, numbers(dtype)), min_size=1, max_size=5))
        values.fold(np.array([place for place, _ in batch]), np.array([each for _, each in batch], dtype))
        for place, each in batch:
            totals[place] += each
        expected = [held(total, dtype) for total in totals]
        assert values.result().reshape(-1).tolist() == expected
    assert values.close(2).reshape(-1).tolist() == [held(total, dtype) for total in totals[:2]]
    left = [held(total, dtype) for total in totals[2:]]
    values.grow(len(left) + 1)
    values.fold(np.array([len(left)]), np.array([7], dtype))
    assert values.result().reshape(-1).tolist() == [*left, 7]


@pytest.mark.parametrize("dtype", ["i8", "u8"])
@given(data=st.data())
def test_windows(dtype, data):
    batches = data.draw(st.lists(st.lists(numbers(dtype), min_size=1, max_size=5), min_size=1, max_size=5))
    states = []
    for batch in batches:
        order = np.arange(len(batch))
        [state] = Parts(np.zeros(len(batch), np.intp), order, order).states(
            output(dtype), np.array(batch, dtype), 1
        )
        stored = msgspec.msgpack.decode(msgspec.msgpack.encode(state))
        states.append(tuple(stored) if isinstance(stored, list) else stored)
    total = reduce(lambda one, other: joined(output(dtype), one, other), data.draw(st.permutations(states)))
    assert result(output(dtype), [total]).tolist() == [held(sum(map(sum, batches)), dtype)]
