"""The position behind each row that may be committed, against a list that remembers all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.stream.positions import Positions


@given(st.data())
def test_the_position_of_every_row_is_known_where_it_was_given(data):
    start = data.draw(st.none() | st.integers(0, 100))
    rows = 0 if start is None else data.draw(st.integers(0, 5))
    positions = Positions(start, rows)
    known = {rows: start}
    for _ in range(data.draw(st.integers(0, 8))):
        count = data.draw(st.integers(0, 4))
        least = positions.last or 0
        steps = data.draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
        numbers = [least + sum(steps[: n + 1]) for n in range(count)]
        if data.draw(st.booleans()) or not count:
            given_, end = (numbers[-1] if count else least + 3), rows + count
            known[end] = given_
        else:
            given_, end = np.array(numbers), rows + count
            known |= {rows + n + 1: number for n, number in enumerate(numbers)}
        positions.add(count, positions.read(given_, count, "a.zarr"))
        rows = end
        if data.draw(st.booleans()):
            committed = data.draw(st.sampled_from(sorted(known)))
            positions.forget(committed)
            known = {row: number for row, number in known.items() if row >= committed}
        assert positions.last == known[rows]
        assert {row: positions.at(row) for row in known} == known


def test_parts_that_are_not_named_stay_where_they_were():
    positions = Positions({"a": 1, "b": 2}, 3)
    positions.add(1, positions.read({"b": 7}, 1, "a.zarr"))
    assert positions.last == {"a": 1, "b": 7}


def test_an_array_of_the_caller_is_not_kept():
    numbers = np.array([1, 2])
    positions = Positions(None, 0)
    positions.add(2, positions.read(numbers, 2, "a.zarr"))
    positions.add(0, positions.read(9, 0, "a.zarr"))
    assert (positions.last, numbers.tolist()) == (9, [1, 2])
