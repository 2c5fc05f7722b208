"""What the planner says of a pass is what counting over all of its tasks gives; no block would be better."""

import math
from itertools import accumulate, pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.jobs.numbering import Blocks
from streamzarr.jobs.planner import (
    FILES,
    Even,
    Requests,
    Source,
    Target,
    Uneven,
    held_bytes,
    one_pass,
    pass_of,
    passes_of,
)
from streamzarr.jobs.planner.blocks import SAME
from streamzarr.jobs.planner.cost import DECODED, idle
from streamzarr.jobs.planner.ends import held
from streamzarr.jobs.planner.passes import LEAST_CHUNKS, SELDOM, WORTH, cost_of
from streamzarr.jobs.wire import MAX_BLOCK

FREE = Requests(0.0, 1, 0.0)


@st.composite
def ends(draw, most=3):
    """A source, of even or uneven chunks, with or without shards, and a target of it."""
    ndim = draw(st.integers(0, most))
    sharded = draw(st.booleans())
    chunks, shards = [], []
    for _ in range(ndim):
        if sharded or draw(st.booleans()):
            size, step = draw(st.integers(0, 14)), draw(st.integers(1, 6))
            chunks.append(Even(size, step))
            shards.append(Even(size, step * draw(st.integers(1, 3))))
        else:
            chunks.append(Uneven(tuple(draw(st.lists(st.integers(1, 5), max_size=5)))))
    factor = tuple(draw(st.integers(1, 3)) for _ in range(ndim)) if draw(st.booleans()) else ()
    shape = tuple(-(-axis.size // f) for axis, f in zip(chunks, factor or (1,) * ndim, strict=True))
    source = Source(tuple(chunks), draw(st.sampled_from([1, 8])), draw(st.integers(1, 4)), None)
    if sharded:
        source = Source(source.chunks, source.itemsize, source.readers, tuple(shards))
    steps = tuple(draw(st.integers(1, 5)) for _ in range(ndim))
    wide = draw(st.sampled_from([0, 32]))
    return source, Target(shape, steps, draw(st.sampled_from([1, 4])), factor, wide, draw(st.integers(1, 3)))


bounds = st.integers(1, 20_000)


def edges(axis):
    lengths = (
        axis.lengths
        if isinstance(axis, Uneven)
        else [min(axis.step, axis.size - start) for start in range(0, axis.size, axis.step)]
    )
    return list(pairwise(accumulate(lengths, initial=0)))


def overlapped(axis, start, stop):
    return [(a, b) for a, b in edges(axis) if a < stop and b > start]


def counted(source, target, block):
    """Carry a pass out in thought, task by task: tasks, chunks, cells decoded, requests, greatest memory."""
    blocks = Blocks(target.grid, block)
    tasks = chunks = cells = requests = most = number = 0
    seen = set()
    while number < math.prod(target.grid):
        run = blocks.run(number)
        inside = [blocks.chunk(n) for n in run]
        seen.update(inside)
        region = [
            (min(i) * step, min((max(i) + 1) * step, axis.size))
            for i, step, axis in zip(zip(*inside, strict=True), target.steps, source.chunks, strict=True)
        ]
        pieces = [overlapped(axis, *part) for axis, part in zip(source.chunks, region, strict=True)]
        objects = math.prod(
            len(overlapped(axis, *part)) for axis, part in zip(source.stored, region, strict=True)
        )
        cells += math.prod(sum(b - a for a, b in along) for along in pieces)
        requests += objects * (1 if source.shards is None else 2)
        size = math.prod(b - a for a, b in region)
        most = max(most, held_bytes(held(source, target), size, objects, len(inside)))
        tasks, chunks, number = tasks + 1, chunks + len(inside), run.stop
    assert len(seen) == chunks  # each in one task
    return tasks, chunks, cells, requests, most


def check(source, target, found):
    tasks, chunks, cells, requests, most = counted(source, target, found.block)
    assert (found.tasks, found.writes, found.reads) == (tasks, chunks, requests)
    assert found.bytes_read == cells * source.itemsize
    assert found.bytes_written == math.prod(target.shape) * target.itemsize
    assert found.decoded == (cells / source.cells if source.cells else 0)
    assert most <= found.held_bytes
    assert math.prod(found.block) <= MAX_BLOCK


@given(ends(), bounds)
def test_a_pass_is_what_its_tasks_are(both, bound):
    source, target = both
    found = one_pass(source, target, bound, FILES)
    check(source, target, found)
    assert found.held_bytes <= bound or set(found.block) <= {1}


@given(ends(), bounds)
def test_no_block_would_read_more_often_than_single_chunks(both, bound):
    source, target = both
    found = one_pass(source, target, bound, FILES)
    single = pass_of(source, target, (1,) * len(target.chunks))
    assert found.bytes_read <= single.bytes_read
    assert found.reads <= single.reads


@given(ends(most=2), bounds)
@settings(deadline=None)
def test_no_block_within_the_bound_decodes_less(both, bound):
    source, target = both
    found = one_pass(source, target, bound, FREE)

    def cost(each):
        return idle(float(max(each.tasks, 1))) * each.bytes_read / DECODED

    def fits(block):
        """However many chunks its tasks touch: of blocks of one size only one is looked at."""
        lengths = zip(block, target.steps, source.chunks, strict=True)
        region = math.prod(min(length * step, axis.size) for length, step, axis in lengths)
        return held_bytes(held(source, target), region, touched=1000, chunks=1000) <= bound

    blocks = product(*(range(1, max(n, 1) + 1) for n in target.grid))
    others = [pass_of(source, target, block) for block in blocks if fits(block)]
    assert cost(found) <= min(map(cost, others), default=math.inf) * SAME


@given(ends(), st.integers(1, 3000))
@settings(deadline=None)
def test_passes_lead_from_the_source_to_the_target(both, bound):
    source, target = both
    passes = passes_of(source, target, bound, FREE)
    least = max(bound, LEAST_CHUNKS * source.itemsize * math.prod(axis.largest for axis in source.chunks))
    reads = source
    for found in passes[:-1]:
        between = Target(source.shape, found.chunks, source.itemsize, (), 0, target.in_flight, target.readers)
        assert found == pass_of(reads, between, found.block)
        check(reads, between, found)
        assert found.held_bytes <= least or set(found.block) <= {1}
        reads = Source.of(source.shape, found.chunks, source.itemsize, target.readers)
    assert passes[-1] == pass_of(reads, target, passes[-1].block)
    check(reads, target, passes[-1])
    assert passes[-1].held_bytes <= least or set(passes[-1].block) <= {1}
    direct = one_pass(source, target, bound, FREE)
    assert len(passes) == 1 or direct.decoded > SELDOM
    assert cost_of(passes, FREE) <= cost_of((direct,), FREE) * WORTH
    assert passes_of(source, target, bound, FREE, single=True) == (direct,)


@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 40))
def test_uneven_chunks_of_one_length_are_even_ones(count, step, every):
    even = Even(count * step - step // 2, step)
    same = Uneven((*[step] * (count - 1), step - step // 2))
    assert (same.size, same.count, same.largest) == (even.size, even.count, even.largest)
    assert same.again(every) == even.again(every)
    assert same.touched(every) <= even.touched(every) <= same.touched(every) + 1


MAPS, SERIES = (1, 512, 1024), (128, 32, 64)
LONG = (2048, 16, 32)


@pytest.mark.parametrize("bound", [64, 100, 128, 192, 256])
@pytest.mark.parametrize("maps", [128, 2048])
@pytest.mark.parametrize("back", [False, True])
def test_maps_become_series_and_series_maps_with_each_byte_decoded_twice_at_most(maps, bound, back):
    shape, series = (maps, 512, 1024), SERIES if maps == 128 else LONG
    one, other = (series, MAPS) if back else (MAPS, series)
    passes = passes_of(Source.of(shape, one, 4, 3), Target(shape, other, 4, readers=3), bound << 20, FILES)
    assert sum(found.decoded for found in passes) <= 2.1
    assert all(found.held_bytes <= bound << 20 for found in passes)


def test_what_fits_at_once_is_decoded_once():
    shape = (128, 512, 1024)
    [found] = passes_of(Source.of(shape, MAPS, 4, 3), Target(shape, SERIES, 4), 512 << 20, FILES)
    assert found.decoded == 1


def test_tiny_chunks_are_many_a_task_and_few_chunks_one_a_task():
    def block(shape, chunks):
        return one_pass(Source.of(shape, chunks, 4, 3), Target(shape, chunks, 4), 128 << 20, FILES).block

    assert block((64_000_000, 64), (64, 64)) == (256, 1)  # a million of 16 KiB
    assert block((64_000, 64_000), (64, 64)) == (1, 250)
    assert block((64 * 255, 64), (64, 64)) == (1, 1)
    assert block((64 * 256, 64), (64, 64)) == (2, 1)
    assert block((10**6, 1024), (1, 1024)) == (1024, 1)


def test_requests_weigh_where_they_are_slow():
    shape = (2048, 512, 1024)

    def count(requests):
        passes = passes_of(Source.of(shape, MAPS, 4), Target(shape, LONG, 4), 256 << 20, requests)
        return sum(found.reads + found.writes for found in passes)

    assert count(Requests(1.0, 1, 1.0)) < count(FREE) / 2


@pytest.mark.parametrize("count", [10**5, 10**6])
def test_axes_of_many_chunks_are_planned_as_well(count):
    [found] = passes_of(
        Source.of((count * 10,), (10,), 8, 3), Target((count * 10,), (7,), 8), 128 << 20, FILES
    )
    assert found.decoded < 1.01
