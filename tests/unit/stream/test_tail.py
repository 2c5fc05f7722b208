"""The rows since the last chunk boundary, against a list of all rows; and stamps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.stream.tail import Tail, stamp


@given(
    st.integers(1, 5), st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=12), st.integers(0, 4)
)
def test_blocks_are_the_rows_in_order_also_when_some_are_taken_back(length, steps, begun):
    tail, rows = Tail((length, 2), np.dtype("i4"), -1), []
    begun = min(begun, length - 1)
    tail.start(3, np.full((begun, 2), 7, "i4"))
    rows += [7] * begun
    number = 1000
    for count, taken_back in steps:
        mark, new = tail.mark(), list(range(number, number + count))
        number += count
        full = {
            block.number: block.rows[:, 0].tolist()
            for block in tail.extend(np.repeat(np.array(new, "i4")[:, None], 2, axis=1))
        }
        every = rows + new
        first = (len(rows)) // length
        assert full == {
            3 + at: every[at * length : (at + 1) * length] for at in range(first, len(every) // length)
        }
        if taken_back:
            tail.undo(mark)
        else:
            rows = every
        assert tail.rows == 3 * length + len(rows)
        assert tail.block.rows[: tail.block.filled, 1].tolist() == rows[len(rows) // length * length :]


@pytest.mark.parametrize(
    "dtype",
    ["?", "i1", "u8", "f2", "c8", "M8[us]", "U3", "S2", "V5", np.dtypes.StringDType(), object, "f4,?"],
)
def test_a_stamp_is_another_each_time_and_a_value_of_the_type(dtype):
    stamps = []
    for number in range(2):
        padding = np.zeros((30, 2), dtype)
        if dtype is object:
            padding[...] = b""
        random = np.random.default_rng(number).bytes(64)
        stamp(padding, random)
        stamps.append(padding)
    assert not (stamps[0] == stamps[1]).all()
    if np.dtype(dtype).kind == "?":
        assert {*stamps[0].view("u1").flat} <= {0, 1}


def test_a_stamp_needs_no_padding():
    stamp(np.zeros((0, 2)), b"x" * 64)
