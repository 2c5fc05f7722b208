"""The unit of a job's task is one object of the target: a chunk, or a shard where the target has shards."""

import msgspec
import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.jobs.execute import TaskExecutor, layout_of
from streamzarr.jobs.numbering import Numbering, chunk_region
from streamzarr.jobs.wire import Stage, Task, encode
from tests.support.inline import carry_out

VALUES = np.arange(1, 71, dtype="i4").reshape(10, 7)


@pytest.mark.parametrize(
    "layout",
    [{"chunks": (4, 3)}, {"chunks": (2, 1), "shards": (4, 3)}, {"chunks": (1, 7), "shards": (10, 7)}],
)
def test_every_task_writes_one_object_that_no_other_task_writes(tmp_path, layout):
    sz.create_array(tmp_path / "source.zarr", data=VALUES, chunks=(3, 2))
    target = sz.create_array(tmp_path / "target.zarr", shape=VALUES.shape, dtype="i4", **layout)
    stage = Stage("copy", str(tmp_path / "source.zarr"), str(tmp_path / "target.zarr"), layout_of(target))
    plan = Numbering.of([stage])
    execute = TaskExecutor([str(tmp_path)])
    covered = np.zeros(VALUES.shape, int)
    before = set(target.store.list())
    assert plan.tasks == target.grid.size
    for number in range(plan.tasks):
        chunk = plan.chunk(number)
        covered[chunk_region(stage.layout, chunk)] += 1
        carry_out(execute, Task(1, "job", number, chunk, msgspec.Raw(encode(stage))))
        after = set(target.store.list())
        assert after - before == {target.chunk_key(chunk)}
        before = after
    assert (covered == 1).all()
    assert np.array_equal(target[:], VALUES)
