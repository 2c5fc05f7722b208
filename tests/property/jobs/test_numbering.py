"""Tasks cover the target exactly once, and numbers and chunks are one to one."""

import math
from bisect import bisect_left, bisect_right
from itertools import pairwise, product

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from streamzarr.jobs.numbering import Blocks, Numbering, chunk_region, grid_shape, source_region
from streamzarr.jobs.wire import Layout, Stage

axes = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5)), min_size=0, max_size=3)


def stage(axes):
    layout = Layout(tuple(a for a, _ in axes), tuple(c for _, c in axes), "<f4", 3, msgspec.Raw(b"[]"))
    return Stage("copy", "file:///s", "file:///t", layout)


@given(st.lists(axes, min_size=1, max_size=3))
def test_tasks_are_one_to_one_with_the_chunks_of_all_stages(all_axes):
    plan = Numbering.of([stage(axes) for axes in all_axes])
    seen = [(plan.stage_of(task), plan.chunk(task)) for task in range(plan.tasks)]
    expected = [
        (i, tuple(chunk))
        for i, part in enumerate(plan.stages)
        for chunk in np.ndindex(grid_shape(part.layout))
    ]
    assert seen == expected
    assert [task for i in range(len(all_axes)) for task in plan.span(i)] == list(range(plan.tasks))


@given(axes)
def test_regions_cover_the_target_once(axes):
    plan = Numbering.of([stage(axes)])
    layout = plan.stages[0].layout
    hits = np.zeros(layout.shape, int)
    for task in range(plan.tasks):
        hits[chunk_region(layout, plan.chunk(task))] += 1
    assert (hits == 1).all()


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 6))
def test_source_regions_of_a_downsampled_axis_cover_the_source_once(size, f, chunk):
    target = -(-size // f)
    hits = np.zeros(size, int)
    for start in range(0, target, chunk):
        region = (slice(start, min(start + chunk, target)),)
        hits[source_region(region, (f,), (size,))] += 1
    assert (hits == 1).all()


def test_a_task_outside_the_plan_is_an_index_error():
    plan = Numbering.of([stage([(4, 2)])])
    assert plan.tasks == math.prod(grid_shape(plan.stages[0].layout)) == 2
    with pytest.raises(IndexError):
        plan.stage_of(2)


def split_at(numbers, apart):
    """Cut a list wherever two neighbours are `apart`."""
    parts = []
    for number in numbers:
        if parts and not apart(parts[-1][-1], number):
            parts[-1].append(number)
        else:
            parts.append([number])
    return parts


blocked = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 7)), min_size=0, max_size=4)


@given(blocked)
def test_the_chunks_of_a_block_follow_on_one_another(axes):
    blocks = Blocks(tuple(n for n, _ in axes), tuple(size for _, size in axes))
    count = math.prod(blocks.grid)
    expected = [
        chunk
        for corner in np.ndindex(tuple(-(-n // size) for n, size in axes))
        for chunk in product(
            *(range(i * size, min((i + 1) * size, n)) for i, (n, size) in zip(corner, axes, strict=True))
        )
    ]
    assert [blocks.chunk(number) for number in range(count)] == expected
    assert [blocks.number(chunk) for chunk in expected] == list(range(count))
    ordinals = [blocks.ordinal(chunk) for chunk in expected]
    assert sorted(set(ordinals)) == list(range(blocks.count))
    assert ordinals == sorted(ordinals)
    for number in range(0, count, 7):
        run = blocks.run(number)
        first = bisect_left(ordinals, ordinals[number])
        assert run == range(first, bisect_right(ordinals, ordinals[number]))


@given(blocked, st.data())
def test_runs_hold_each_number_once_and_stay_within_a_block(axes, data):
    stage_ = structs.replace(stage([(n, 1) for n, _ in axes]), block=tuple(size for _, size in axes))
    numbering = Numbering.of([stage_, stage_])
    numbers = data.draw(st.lists(st.integers(0, numbering.tasks - 1), unique=True).map(sorted))
    cuts = data.draw(st.sets(st.integers(0, numbering.tasks)))
    parts = split_at(numbers, lambda one, other: other > one + 1 or other in cuts)
    runs = list(numbering.runs(range(part[0], part[-1] + 1) for part in parts))
    assert [number for run in runs for number in run] == numbers
    for run in runs:
        assert len({numbering.block(number) for number in run}) == 1
    for one, other in pairwise(runs):
        assert one.stop < other.start or numbering.block(one.start) != numbering.block(other.start)
