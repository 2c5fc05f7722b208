"""A task of many chunks writes what as many tasks of one chunk do, and reads its source once."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import msgspec
import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, KeyNotFoundError, MessageError, StoreError, name_of
from streamzarr.jobs.execute import TaskExecutor, layout_of
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.outcome import Outcome
from streamzarr.jobs.transforms import transform
from streamzarr.jobs.wire import Stage, Task, encode
from streamzarr.stores import MemoryStore
from tests.support.hooked import Hooked
from tests.support.inline import carry_out
from tests.support.job_transforms import ERRORS


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr("streamzarr.jobs.transforms._registered", {})


class Bench:
    """A source of `data` and a target, in memory behind a hook, and the tasks between them."""

    def __init__(self, name, data, *, source=None, target=None, dtype=None, store=Hooked, **stage):
        store.scheme("hooked", lambda url: MemoryStore(url.authority, url.path))
        self.plain, self.url = f"memory://{name}/{{}}", f"hooked://{name}/{{}}"
        how = {"shape": data.shape, "dtype": dtype or data.dtype}
        self.source = sz.create_array(self.plain.format("a"), **how, **(source or {}))
        self.source[...] = data
        self.target = sz.create_array(self.plain.format("b"), **{**how, **(target or {})})
        stage.setdefault("operation", "copy")
        self.stage = Stage(
            source=self.url.format("a"), target=self.url.format("b"), layout=layout_of(self.target), **stage
        )
        self.numbering = Numbering.of([self.stage])
        self.execute = TaskExecutor([self.url.format("")])
        self.calls = []
        Hooked.hook = staticmethod(lambda call: self.calls.append((call.operation, call.key)))

    def task(self, numbers):
        chunk = self.numbering.chunk(numbers.start)
        return Task(1, "job", numbers.start, chunk, msgspec.Raw(encode(self.stage)), len(numbers))

    def tasks(self):
        return [self.task(run) for run in self.numbering.runs([range(self.numbering.tasks)])]

    def run(self):
        for task in self.tasks():
            carry_out(self.execute, task)
        return self.target[...]

    def outcome(self, numbers):
        """Carry out some chunks; return what came of it."""
        outcome, task = Outcome(), self.task(numbers)
        outcome.begin()
        assert self.execute(task, task.numbers, outcome.tell)
        return outcome

    def reads(self):
        return [key for operation, key in self.calls if operation.startswith("get") and "zarr" not in key]


GRID = np.arange(1, 9 * 7 + 1, dtype="i4").reshape(9, 7)


@pytest.mark.parametrize("block", [(), (1, 1), (2, 2), (3, 1), (5, 4), (9, 9)])
@pytest.mark.parametrize(
    "source", [{"chunks": (1, 7)}, {"chunks": (4, 3)}, {"chunks": (1, 1), "shards": (4, 4)}]
)
def test_a_copy_by_blocks_is_a_copy(tmp_path, block, source):
    bench = Bench(tmp_path.name, GRID, source=source, target={"chunks": (2, 3)}, block=block)
    np.testing.assert_array_equal(bench.run(), GRID)


@pytest.mark.parametrize("block", [(2, 2), (5, 1)])
def test_shards_are_written_by_blocks(tmp_path, block):
    target = {"chunks": (1, 2), "shards": (2, 2)}
    bench = Bench(tmp_path.name, GRID, source={"chunks": (9, 1)}, target=target, block=block)
    np.testing.assert_array_equal(bench.run(), GRID)


def test_each_source_chunk_of_a_block_is_read_once(tmp_path):
    bench = Bench(tmp_path.name, GRID, source={"chunks": (1, 7)}, target={"chunks": (9, 1)}, block=(1, 7))
    bench.run()
    assert sorted(bench.reads()) == [f"c/{row}/0" for row in range(9)]


def test_a_block_looks_at_source_and_target_once(tmp_path):
    bench = Bench(tmp_path.name, GRID, source={"chunks": (9, 7)}, target={"chunks": (9, 1)}, block=(1, 7))
    bench.run()
    del bench.calls[:]
    bench.target.store.delete_prefix("c")
    bench.run()
    assert [call for call in bench.calls if not call[0].startswith("get")] == [
        ("head", "zarr.json"),  # of the source, after reading
        ("head", "zarr.json"),  # of the target
        *[("put", f"c/0/{column}") for column in range(7)],
    ]


def test_a_store_without_conditional_put_is_looked_at_before_each_chunk(tmp_path):
    class Unconditional(Hooked):
        @property
        def capabilities(self):
            return replace(self.inner.capabilities, conditional_put=False)

    bench = Bench(tmp_path.name, GRID, target={"chunks": (9, 4)}, block=(1, 2), store=Unconditional)
    np.testing.assert_array_equal(bench.run(), GRID)
    looks = [call for call in bench.calls if call[0] in ("head", "put")]
    assert looks[-4:] == [("head", "zarr.json"), ("put", "c/0/0"), ("head", "zarr.json"), ("put", "c/0/1")]


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("count", range(1, 7))
def test_part_of_a_block_writes_its_chunks_and_no_others(tmp_path, first, count):
    count = min(count, 6 - first)
    bench = Bench(tmp_path.name, GRID, source={"chunks": (2, 2)}, target={"chunks": (3, 4)}, block=(3, 2))
    carry_out(bench.execute, bench.task(range(first, first + count)))
    wanted = np.zeros_like(GRID)
    for number in range(first, first + count):
        where = bench.target.grid.slices(bench.numbering.chunk(number))
        wanted[where] = GRID[where]
    np.testing.assert_array_equal(bench.target[...], wanted)


def test_what_lies_apart_in_a_block_is_read_apart(tmp_path):
    bench = Bench(
        tmp_path.name,
        np.ones((64, 64), "u1"),
        source={"chunks": (8, 8)},
        target={"chunks": (8, 8)},
        block=(8, 8),
    )
    outcome = Outcome()
    assert bench.execute(bench.task(range(64)), [0, 63], outcome.tell)
    assert sorted(bench.reads()) == ["c/0/0", "c/7/7"]
    assert sorted(outcome.written) == [0, 63]


def test_a_block_larger_than_the_worker_may_hold_is_cut(tmp_path):
    bench = Bench(tmp_path.name, GRID, source={"chunks": (9, 1)}, target={"chunks": (9, 1)}, block=(1, 7))
    bench.execute = TaskExecutor([bench.url.format("")], max_bytes=1)
    np.testing.assert_array_equal(bench.run(), GRID)


def test_a_job_that_is_cancelled_ends_between_two_chunks_of_a_block(tmp_path):
    bench = Bench(tmp_path.name, GRID, target={"chunks": (1, 7)}, block=(9, 1))
    outcome = Outcome()
    bench.execute = TaskExecutor([bench.url.format("")], goes_on=lambda job: len(outcome.written) < 3)
    assert not bench.execute(bench.task(range(9)), range(9), outcome.tell)
    assert sorted(outcome.written) == [0, 1, 2]
    assert not outcome.failed
    assert not outcome.passing
    np.testing.assert_array_equal(bench.target[...], np.where(np.arange(9)[:, None] < 3, GRID, 0))


def test_errors_that_are_kept_hold_no_values_of_their_chunks(tmp_path, monkeypatch):
    blocks = []

    def picky(stage, part, *_):
        own = part.copy()
        blocks.append(weakref.ref(own))
        raise ValueError("not these", own)

    monkeypatch.setattr("streamzarr.jobs.boxwork.compute_chunk", picky)
    bench = Bench(tmp_path.name, GRID, target={"chunks": (1, 7)}, block=(9, 1))
    outcome = bench.outcome(range(9))
    gc.collect()
    assert [name_of(failed.error) for failed in outcome.failed.values()] == ["ValueError"] * 9
    assert str(outcome.failed[0].error).startswith("('not these', array(")
    assert [block() for block in blocks] == [None] * 9


def test_an_array_without_dimensions(tmp_path):
    assert Bench(tmp_path.name, np.array(7, "i4")).run() == 7


@pytest.mark.parametrize("data", [["a", "bc", "", "ü"], [b"a", b"bcd", b"", b"\0"]])
def test_text_and_bytes_of_any_length(tmp_path, data):
    kind = type(data[0])
    values = np.array(data, object if kind is bytes else np.dtypes.StringDType())
    bench = Bench(tmp_path.name, values, dtype=kind, source={"chunks": 4}, target={"chunks": 1}, block=(3,))
    assert bench.run().tolist() == data


@pytest.mark.parametrize("method", ["mean", "nearest", "max"])
@pytest.mark.parametrize("block", [(), (2, 2), (3, 4)])
def test_a_downsampling_by_blocks(tmp_path, method, block):
    data = np.random.default_rng(0).integers(0, 1000, (19, 13)).astype("f4")
    wanted = np.empty((10, 5), "f4")
    for i, j in np.ndindex(wanted.shape):
        cell = data[2 * i : 2 * i + 2, 3 * j : 3 * j + 3]
        wanted[i, j] = {"mean": cell.mean(dtype="f8"), "nearest": cell[0, 0], "max": cell.max()}[method]
    bench = Bench(
        tmp_path.name,
        data,
        source={"chunks": (5, 4)},
        target={"shape": (10, 5), "chunks": (3, 2)},
        operation="downsample",
        factor=(2, 3),
        method=method,
        block=block,
    )
    np.testing.assert_array_equal(bench.run(), wanted)


@pytest.mark.parametrize("block", [(), (2, 3)])
def test_a_transform_is_given_an_array_of_its_own(tmp_path, registry, block):
    """It may change it: what the next chunk is made of is another one."""
    threads = set()

    @transform
    def spoil(chunk):
        assert chunk.flags.writeable
        assert chunk.flags.c_contiguous
        threads.add(threading.current_thread())
        whole = chunk if chunk.base is None else chunk.base
        chunk += 1000
        result = chunk.copy()
        whole[...] = -1
        return result

    bench = Bench(
        tmp_path.name,
        GRID,
        source={"chunks": (4, 7)},
        target={"chunks": (3, 3)},
        operation="map",
        transform="spoil",
        block=block,
    )
    np.testing.assert_array_equal(bench.run(), GRID + 1000)
    assert threads == {threading.current_thread()}


def test_many_chunks_are_written_at_once_where_the_store_likes_that(tmp_path, registry):
    together = threading.Barrier(4)
    callers = set()

    @transform
    def plus_one(chunk):
        callers.add(threading.current_thread())
        return chunk + 1

    class Distant(Hooked):
        @property
        def capabilities(self):
            return replace(self.inner.capabilities, in_flight=5)

        def around(self, call, action):
            if call.operation == "put":
                together.wait(60)
            return super().around(call, action)

    data = np.arange(8, dtype="i4")
    bench = Bench(
        tmp_path.name,
        data,
        source={"chunks": 8},
        target={"chunks": 1},
        operation="map",
        transform="plus_one",
        block=(8,),
        store=Distant,
    )
    np.testing.assert_array_equal(bench.run(), data + 1)
    assert callers == {threading.current_thread()}


# -- failures


def corrupt(bench, key):
    bench.source.store.put(key, b"no such thing")


def test_a_chunk_that_cannot_be_computed_is_lost_and_the_others_are_written(tmp_path, registry):
    @transform
    def picky(chunk):
        if chunk.flat[0] in (2, 5):
            raise ValueError(f"cannot take {chunk.flat[0]}")
        return chunk

    data = np.arange(8, dtype="i4")
    bench = Bench(tmp_path.name, data, target={"chunks": 1}, operation="map", transform="picky", block=(8,))
    outcome = bench.outcome(range(8))
    assert {number: str(failed.error) for number, failed in outcome.failed.items()} == {
        2: "cannot take 2",
        5: "cannot take 5",
    }
    assert sorted(outcome.written) == [0, 1, 3, 4, 6, 7]
    assert bench.target[...].tolist() == [0, 1, 0, 3, 4, 0, 6, 7]


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_a_transform_throws_costs_its_chunk_only(tmp_path, registry, error):
    @transform
    def throw(block):
        if block[0] == 3:
            raise error()
        return block

    data = np.arange(8)
    bench = Bench(
        tmp_path.name,
        data,
        source={"chunks": (8,)},
        target={"chunks": (1,)},
        operation="map",
        transform="throw",
        block=(8,),
    )
    with ThreadPoolExecutor(1) as pool:  # on the main thread a KeyboardInterrupt is Ctrl-C
        outcome = pool.submit(bench.outcome, range(8)).result()
    assert list(outcome.failed) == [3]
    thrown, told = name_of(error()), name_of(outcome.failed[3].error)
    assert told == thrown
    assert sorted(outcome.written) == [0, 1, 2, 4, 5, 6, 7]


def test_a_value_that_does_not_fit_costs_its_chunk_only(tmp_path):
    data = np.array([1, 2, 300, 4], "i4")
    bench = Bench(tmp_path.name, data, target={"chunks": 1, "dtype": "u1"}, block=(4,))
    outcome = bench.outcome(range(4))
    assert [(number, type(failed.error).__name__) for number, failed in outcome.failed.items()] == [
        (2, "CastingError")
    ]
    assert "chunk [2]" in str(outcome.failed[2].error)
    assert bench.target[...].tolist() == [1, 2, 0, 4]


@pytest.mark.parametrize("missing", [False, True])
def test_what_cannot_be_read_is_found_by_halves(tmp_path, missing):
    """Two source chunks of 256 are bad; only what is made of them is lost, and little is read again."""
    data = np.arange(1, 257, dtype="i4").reshape(16, 16)
    bench = Bench(
        tmp_path.name,
        data,
        source={"chunks": (1, 1)},
        target={"chunks": (2, 2)},
        block=(8, 8),
        missing="error" if missing else "fill",
    )
    for key in ("c/3/7", "c/12/0"):
        if missing:
            bench.source.store.delete(key)
        else:
            corrupt(bench, key)
    outcome = bench.outcome(range(64))
    assert sorted(outcome.failed) == [1 * 8 + 3, 6 * 8 + 0]
    for number, chunk in ((11, "(3, 7)"), (48, "(12, 0)")):
        assert isinstance(outcome.failed[number].error, KeyNotFoundError if missing else CodecError)
        assert f"chunk {chunk}" in str(outcome.failed[number].error)
    assert len(outcome.written) == 62
    wanted = data.copy()
    wanted[2:4, 6:8] = wanted[12:14, 0:2] = 0
    np.testing.assert_array_equal(bench.target[...], wanted)
    assert len(bench.reads()) < 4 * 256


class Away(Hooked):
    """Fails once for each of the operations in `left`."""

    left: set

    def around(self, call, action):
        if (call.operation, call.key) in Away.left:
            Away.left.remove((call.operation, call.key))
            raise StoreError("503")
        return super().around(call, action)


def test_what_may_pass_is_tried_again_alone(tmp_path):
    bench = Bench(tmp_path.name, np.arange(1, 6, dtype="i4"), target={"chunks": 1}, block=(5,), store=Away)
    Away.left = {("put", "c/1"), ("put", "c/3")}
    outcome = bench.outcome(range(5))
    assert sorted(outcome.written) == [0, 2, 4]
    with pytest.raises(StoreError, match="503"):
        outcome.check()
    outcome.begin()
    task = bench.task(range(5))
    assert bench.execute(task, outcome.left(task.numbers), outcome.tell)
    outcome.check()
    assert bench.target[...].tolist() == [1, 2, 3, 4, 5]
    assert [(run.task, run.count, run.attempts) for run in outcome.written_runs()] == [
        (0, 1, 1),
        (1, 1, 2),
        (2, 1, 1),
        (3, 1, 2),
        (4, 1, 1),
    ]


def test_a_source_that_is_away_is_not_cut_in_halves(tmp_path):
    bench = Bench(
        tmp_path.name,
        np.arange(4, dtype="i4"),
        source={"chunks": 4},
        target={"chunks": 1},
        block=(4,),
        store=Away,
    )
    Away.left = set()
    bench.execute(bench.task(range(1)), [0], Outcome().tell)  # opened
    reads = len(bench.reads())

    class All(set):
        def __contains__(self, call):
            return call == ("get_into", "c/0")

        def remove(self, call):
            """It stays away."""

    Away.left = All()
    outcome = bench.outcome(range(4))
    assert len(bench.reads()) == reads
    assert len({id(error) for error in outcome.passing.values()}) == 1
    assert sorted(outcome.passing) == [0, 1, 2, 3]


def test_a_task_that_is_none_of_its_stage_is_refused(tmp_path):
    bench = Bench(tmp_path.name, GRID, target={"chunks": (3, 3)}, block=(2, 2))
    for task, reason in (
        (msgspec.structs.replace(bench.task(range(2)), count=5), "at most the 4 that are left of its block"),
        (msgspec.structs.replace(bench.task(range(1)), chunk=(3, 0)), "outside the grid"),
        (msgspec.structs.replace(bench.task(range(1)), chunk=(0,)), "outside the grid"),
    ):
        with pytest.raises(MessageError, match=reason):
            carry_out(bench.execute, task)
