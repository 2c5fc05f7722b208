"""What a plan says is what happens: every read and write counted, and the memory of each task measured."""

import threading
import tracemalloc
from collections import Counter
from typing import ClassVar

import msgspec
import numpy as np
import pytest

import streamzarr as sz
from streamzarr import jobs
from streamzarr.errors import ConfigError, ContainsArrayError, NodeNotFoundError
from streamzarr.jobs import JobTopics
from streamzarr.jobs.execute import TaskExecutor
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.preview import WORKER_BYTES
from streamzarr.jobs.register import find_job
from streamzarr.jobs.scratch import prepare
from streamzarr.jobs.wire import Task, encode
from streamzarr.queue import open_broker
from streamzarr.stores import LocalStore, register_store
from streamzarr.testing.faults import WrappedStore
from tests.integration.jobs.test_kinds import altitude
from tests.support.inline import carry_out

READS = {"get", "get_into", "get_ranges", "get_pieces", "fetch"}


class Noted(WrappedStore):
    """Counts reads and writes of chunks, by the place of their array."""

    counts: ClassVar[Counter] = Counter()
    lock = threading.Lock()

    def __init__(self, url, folder):
        super().__init__(LocalStore(folder / url.path, fsync=False))
        self._url = str(url)

    @property
    def url(self):
        return self._url

    def around(self, call, action):
        if not call.key.rpartition("/")[2].startswith((".", "zarr.json")):
            what = "read" if call.operation in READS else call.operation
            with Noted.lock:  # a task reads with several threads
                Noted.counts[self._url, what] += 1
        return action()


@pytest.fixture
def places(tmp_path):
    register_store("noted", lambda url: Noted(url, tmp_path / "lab"), replace=True)
    Noted.counts.clear()
    return lambda name: f"noted://lab/{name}"


def carried_out(tmp_path, places, kind="copy", **options):
    """Carry a job out task by task; return its plan, and of each stage what was counted and held."""
    source, target = places("a.zarr"), places("b.zarr")
    planned = jobs.plan(kind, source, target, **options)
    with (
        open_broker(f"sqlite:///{tmp_path}/queue.db") as opened,
        jobs.submit(kind, source, target, broker=opened, **options) as job,
    ):
        stages = find_job(opened, JobTopics(), job.id).submitted.stages
    numbering, execute, found = Numbering.of(stages), TaskExecutor([places("")]), []
    for number, stage in enumerate(stages):
        prepare(job.id, stages, number, begun=False)
        Noted.counts.clear()
        tasks, held = 0, 0
        for run in numbering.runs([numbering.span(number)]):
            chunk = numbering.chunk(run.start)
            tracemalloc.start()
            carry_out(execute, Task(1, job.id, run.start, chunk, msgspec.Raw(encode(stage)), len(run)))
            held = max(held, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            tasks += 1
        reads, writes = Noted.counts[stage.source, "read"], Noted.counts[stage.target, "put"]
        found.append((tasks, reads, writes, held))
    return planned, found


def check(planned, found):
    assert [(stage.tasks, stage.reads, stage.writes) for stage in planned.stages] == [
        (tasks, reads, writes) for tasks, reads, writes, _ in found
    ]
    for stage, (*_, held) in zip(planned.stages, found, strict=True):
        assert held <= stage.task_bytes + (1 << 20)  # what is no chunk
    assert planned.tasks == sum(tasks for tasks, *_ in found)


def test_an_intermediate_array(tmp_path, places):
    data = np.random.default_rng(0).normal(size=(128, 128, 256)).astype("f4")
    sz.create_array(places("a.zarr"), data=data, chunks=(1, 128, 256))
    planned, found = carried_out(tmp_path, places, chunks=(128, 16, 16), max_task_bytes=6 << 20)
    assert [stage.scratch for stage in planned.stages] == [True, False]
    assert sum(stage.decoded for stage in planned.stages) <= 2.1
    assert all(stage.task_bytes <= 6 << 20 for stage in planned.stages)
    check(planned, found)
    np.testing.assert_array_equal(sz.open_array(places("b.zarr"))[...], data)


def test_altitude_in_other_chunks(tmp_path, places):
    data = altitude()
    sz.create_array(places("a.zarr"), data=data, chunks=(135, 135), zarr_format=2)
    planned, found = carried_out(tmp_path, places, chunks=(500, 500), max_task_bytes=16 << 20)
    check(planned, found)
    np.testing.assert_array_equal(sz.open_array(places("b.zarr"))[...], data)


def test_altitude_as_a_pyramid(tmp_path, places):
    sz.create_array(places("a.zarr"), data=altitude(), chunks=(135, 135))
    planned, found = carried_out(tmp_path, places, "downsample", factor=2, levels=3)
    assert [stage.operation for stage in planned.stages] == ["copy", "downsample", "downsample"]
    check(planned, found)


def test_shards(tmp_path, places):
    data = np.arange(512 * 512, dtype="i4").reshape(512, 512)
    sz.create_array(places("a.zarr"), data=data, chunks=(16, 16), shards=(128, 128))
    planned, found = carried_out(tmp_path, places, chunks=(96, 96))
    check(planned, found)


def test_a_plan_makes_nothing_and_refuses_what_submitting_would(tmp_path):
    source, target = str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")
    sz.create_array(source, shape=(256, 128, 256), chunks=(1, 128, 256), dtype="f4")
    jobs.plan("copy", source, target, chunks=(256, 16, 16), max_task_bytes=1 << 20)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    with pytest.raises(NodeNotFoundError):
        jobs.plan("copy", target, source)
    with pytest.raises(ConfigError, match="same place"):
        jobs.plan("copy", source, source)
    with pytest.raises(ConfigError, match="takes no factor"):
        jobs.plan("copy", source, target, factor=2)


@pytest.mark.parametrize(
    ("scratch", "error", "message"),
    [
        ("a.zarr/tmp", ConfigError, "is, or lies in, the source"),
        ("b.zarr", ConfigError, "is, or lies in, the target"),
        ("other.zarr/tmp", ContainsArrayError, "where nothing can be created"),
    ],
)
@pytest.mark.parametrize("needed", [True, False])
def test_a_plan_refuses_scratch_space_that_submitting_would(
    tmp_path, monkeypatch, scratch, error, message, needed
):
    monkeypatch.chdir(tmp_path)
    sz.create_array("a.zarr", shape=(256, 128, 256), chunks=(1, 128, 256), dtype="f4")
    sz.create_array("other.zarr", shape=(4,), chunks=(2,), dtype="f4")
    options = {"chunks": (256, 16, 16), "max_task_bytes": 1 << (20 if needed else 30)}
    with pytest.raises(error, match=message):
        jobs.plan("copy", "a.zarr", "b.zarr", scratch=scratch, **options)


def test_an_intermediate_array_of_too_many_chunks_wants_more_memory_not_larger_chunks(tmp_path):
    source, target = str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")
    sz.create_array(source, shape=(10**6, 10**5, 1000), chunks=(1, 10**5, 1000), dtype="f8")
    with pytest.raises(ConfigError, match=r"2000000000 of them in scratch .*; use a larger max_task_bytes"):
        jobs.plan("copy", source, target, chunks=(10**6, 10, 10))
    assert len(jobs.plan("copy", source, target, chunks=(10**6, 10, 10), max_task_bytes="64GiB").stages) == 2
    with pytest.raises(ConfigError, match="max_task_bytes: '64 gigs' is not a number of bytes"):
        jobs.plan("copy", source, target, max_task_bytes="64 gigs")


def test_the_memory_of_a_worker_is_that_of_its_threads_within_its_bound(tmp_path):
    source, target = str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")
    sz.create_array(source, shape=(64, 1024, 1024), chunks=(1, 1024, 1024), dtype="f4")

    def held(**options):
        planned = jobs.plan("copy", source, target, **options)
        return planned.worker_bytes - WORKER_BYTES, planned.stages[0].task_bytes

    total, task = held()
    assert total == task
    total, task = held(threads=3)
    assert total == 3 * task
    total, task = held(threads=3, max_bytes=2 * task)
    assert total == 2 * task
    total, task = held(threads=3, max_bytes=1)
    assert total == task


@pytest.mark.parametrize("shape", [(), (0,), (0, 4)])
def test_arrays_without_axes_or_cells(tmp_path, shape):
    source = str(tmp_path / "a.zarr")
    sz.create_array(source, shape=shape, chunks=(2,) * len(shape), dtype="f4")
    planned = jobs.plan("copy", source, str(tmp_path / "b.zarr"))
    cells = 0 if shape else 1
    assert (planned.tasks, planned.reads, planned.writes) == (cells, cells, cells)
    assert planned.bytes_read == planned.bytes_written == 4 * cells


@pytest.mark.parametrize("kind", ["str", "bytes", "M8[s]", "S3", [("a", "i4"), ("b", "f4")]])
def test_a_plan_for_elements_of_any_dtype(tmp_path, kind):
    sz.create_array(f"{tmp_path}/a.zarr", shape=(8,), chunks=(2,), dtype=kind)
    [stage] = jobs.plan("copy", f"{tmp_path}/a.zarr", f"{tmp_path}/b.zarr", chunks=4).stages
    assert (stage.tasks, stage.reads, stage.writes) == (2, 4, 2)
