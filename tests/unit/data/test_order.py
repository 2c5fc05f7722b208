"""The order of rows: every row once, whatever stretches it is taken in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.data.order import ByChunks, ByRows, Feistel, InOrder, shuffled


def rows_of(order, start, stop):
    """Return the rows of a stretch, and the lengths of its windows."""
    rows, sizes = [], []
    for window in order.windows(start, stop):
        read = np.concatenate([np.arange(run.start, run.stop) for run in window.reads]) if isinstance(
            window.reads, tuple
        ) else window.reads  # fmt: skip
        rows.extend((read if window.order is None else read[window.order]).tolist())
        sizes.append(len(read))
    return rows, sizes


KINDS = ("in order", "by chunks", "by rows")


def make(kind, edges, buffer, seed=(1, 2)):
    if kind == "in order":
        return InOrder(edges, buffer)
    return ByChunks(edges, buffer, seed) if kind == "by chunks" else ByRows(int(edges[-1]), buffer, seed)


@given(
    kind=st.sampled_from(KINDS),
    chunks=st.lists(st.integers(1, 9), max_size=12),
    buffer=st.integers(1, 40),
    data=st.data(),
)
def test_stretches_make_up_every_row_once_in_windows_of_bounded_size(kind, chunks, buffer, data):
    edges = np.concatenate([[0], np.cumsum(chunks, dtype=np.intp)]).astype(np.intp)
    total = int(edges[-1])
    cuts = sorted(data.draw(st.lists(st.integers(0, total), max_size=4)))
    order = make(kind, edges, buffer)
    rows = []
    for start, stop in zip([0, *cuts], [*cuts, total], strict=True):
        part, sizes = rows_of(order, start, stop)
        assert len(part) == stop - start
        assert all(0 < size < buffer + max(chunks, default=1) for size in sizes)
        assert rows_of(make(kind, edges, buffer), start, stop)[0] == part
        rows += part
    assert sorted(rows) == list(range(total))
    assert kind != "in order" or rows == list(range(total))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_seeds_and_epochs_give_other_orders(kind):
    edges = np.arange(0, 1001, 10)
    orders = {tuple(rows_of(make(kind, edges, 50, seed), 0, 1000)[0]) for seed in [(1, 0), (1, 1), (2, 0)]}
    assert len(orders) == 3


def test_windows_of_chunks_are_whole_chunks_in_random_order():
    order = ByChunks(np.arange(0, 1001, 10), 30, (5, 0))
    windows = list(order.windows(0, 1000))
    runs = [run for window in windows for run in window.reads]
    assert all(run.start % 10 == 0 and run.stop - run.start == 10 for run in runs)
    starts = [run.start for run in runs]
    assert sorted(starts) == list(range(0, 1000, 10))
    assert starts != sorted(starts)
    assert {len(window.reads) for window in windows} == {3, 1}


def test_reading_in_order_ends_windows_with_chunks():
    windows = [window.reads[0] for window in InOrder(np.array([0, 4, 8, 12, 14]), 6).windows(1, 13)]
    assert [(run.start, run.stop) for run in windows] == [(1, 8), (8, 13)]


@given(size=st.integers(1, 3000), keys=st.lists(st.integers(0, 2**63 - 1), min_size=4, max_size=8))
def test_the_network_is_a_permutation(size, keys):
    numbers = Feistel(size, keys)[np.arange(size)]
    assert sorted(numbers.tolist()) == list(range(size))


def test_many_rows_are_shuffled_without_an_array_of_them():
    size = (1 << 40) + 12345
    order = shuffled(size, (3, 4))
    assert isinstance(order, Feistel)
    some = order[np.arange(20_000)]
    assert len(set(some.tolist())) == 20_000
    assert some.min() >= 0
    assert some.max() < size
    # As a fair order would: means and neighbours that know nothing of each other.
    assert abs(some.mean() / size - 0.5) < 0.02
    assert abs(np.corrcoef(some[:-1], some[1:])[0, 1]) < 0.03
    assert not np.array_equal(some, shuffled(size, (3, 5))[np.arange(20_000)])
