"""Ranges against plain sets of numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.jobs.spans import Spans, topmost

ranges = st.tuples(st.integers(-3, 40), st.integers(0, 12)).map(lambda each: range(each[0], sum(each)))
many = st.lists(ranges, max_size=12)


@given(many)
def test_a_set_is_as_long_as_it_has_gaps(parts):
    spans = Spans.of(parts)
    assert [number for each in spans.ranges for number in each] == sorted({n for part in parts for n in part})
    assert all(one.stop < other.start for one, other in pairwise(spans.ranges))
    assert len(spans) == len({n for part in parts for n in part})
    assert bool(spans) == any(parts)


@given(many, ranges)
def test_what_is_split_is_whole_and_each_part_is_in_or_out(parts, numbers):
    inside = {n for part in parts for n in part}
    found = list(Spans.of(parts).split(numbers))
    assert [(n, there) for part, there in found for n in part] == [(n, n in inside) for n in numbers]
    assert all(part for part, _ in found)
    assert all(one != other for (_, one), (_, other) in pairwise(found))


@given(many)
def test_each_number_is_left_to_the_last_range_that_covers_it(layers):
    last = {n: layer for layer, each in enumerate(layers) for n in each}
    found = topmost(layers)
    assert [{n for part in parts for n in part} for parts in found] == [
        {n for n, layer in last.items() if layer == own} for own in range(len(layers))
    ]
    for parts in found:
        assert all(parts)
        assert all(one.stop < other.start for one, other in pairwise(parts))


def test_a_million_numbers_in_one_range_are_one():
    spans = Spans.of(range(first, first + 4096) for first in range(0, 2**20, 4096))
    assert spans.ranges == (range(2**20),)
