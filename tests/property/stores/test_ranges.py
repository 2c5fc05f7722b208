import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.stores import RangeRequest, SuffixRequest, resolve_range
from streamzarr.stores.ranges import Fetch, coalesce, cut, merge

VALUE = bytes(range(200))
bounds = st.integers(0, 250)
requests = st.one_of(
    st.builds(RangeRequest, bounds, st.none() | bounds),
    st.builds(SuffixRequest, bounds),
)


def read(byte_range):
    start, stop = resolve_range(byte_range, len(VALUE))
    return VALUE[start:stop]


@given(st.lists(requests, max_size=20), st.integers(0, 60), st.integers(0, 120))
def test_what_is_cut_from_the_spans_is_what_was_asked_for(ranges, max_gap, max_size):
    spans = coalesce(ranges, max_gap=max_gap, max_size=max_size)
    assert sorted(part for span in spans for part in span.parts) == list(range(len(ranges)))
    for span in spans:
        for part in span.parts:
            assert cut(read(span.read), span.read, ranges[part]) == read(ranges[part])
        if len(span.parts) > 1:
            assert span.read.stop - span.read.start <= max_size


@given(st.lists(bounds, max_size=30), st.integers(0, 60))
def test_ranges_within_the_gap_are_one_request(starts, max_gap):
    ranges = [RangeRequest(start, start + 5) for start in starts]
    spans = coalesce(ranges, max_gap=max_gap, max_size=10_000)
    reads = sorted((span.read.start, span.read.stop) for span in spans)
    assert all(after[0] - before[1] > max_gap for before, after in pairwise(reads))


def test_the_plan_of_requests():
    assert merge([], max_gap=1, max_size=1) == []
    pieces = [(0, 10), (10, 20), (21, 30), (40, 50), (45, 48)]
    assert merge(pieces, max_gap=1, max_size=100) == [Fetch(0, 30, (0, 1, 2)), Fetch(40, 50, (3, 4))]
    assert merge(pieces, max_gap=0, max_size=15) == [
        Fetch(0, 10, (0,)),
        Fetch(10, 20, (1,)),
        Fetch(21, 30, (2,)),
        Fetch(40, 50, (3, 4)),
    ]


def test_planning_many_pieces_takes_time_in_proportion():
    began = time.process_time()
    [fetch] = merge([(at, at + 1) for at in range(400_000)], max_gap=0, max_size=1 << 20)
    assert fetch == Fetch(0, 400_000, tuple(range(400_000)))
    assert time.process_time() - began < 20  # what grows with the square takes minutes
