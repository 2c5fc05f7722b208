"""One task against arrays that change under it: the store is hooked, so each moment can be chosen."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import SourceChangedError
from streamzarr.jobs.execute import TargetChangedError, TaskExecutor
from streamzarr.queue.retry import is_transient
from streamzarr.stores import LocalStore, MemoryStore, open_store, register_store
from streamzarr.testing.faults import WrappedStore
from tests.support.hooked import SOURCE, Hooked, Place


class Unconditional(WrappedStore):
    @property
    def capabilities(self):
        return replace(self.inner.capabilities, conditional_put=False)


@pytest.fixture(params=["memory", "local"])
def place(request, tmp_path):
    Hooked.scheme("hookedmemory", lambda url: MemoryStore(url.authority, url.path))
    Hooked.scheme("hookedlocal", lambda url: LocalStore(f"/{url.path}"))
    if request.param == "memory":
        name = tmp_path.name
        return Place(f"memory://{name}/{{}}", f"hookedmemory://{name}/{{}}")
    return Place(f"{tmp_path}/{{}}", f"hookedlocal://{tmp_path}/{{}}")


# -- the source


def other_source(place):
    """Another array of the same shape, as a user would put it there."""
    place.remove("a.zarr")
    sz.create_array(place.plain.format("a.zarr"), data=SOURCE + 100, chunks=(2,), compressors=None)


CHANGES = {
    "removed": lambda place: place.remove("a.zarr"),
    "replaced": other_source,
    "edited": lambda place: sz.open_array(place.plain.format("a.zarr"), mode="r+").attrs.update(a=1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("missing", ["fill", "error"])
@pytest.mark.parametrize(
    "moment", ["before it is opened", "between two chunks of one block", "after reading"]
)
def test_a_source_that_changed_is_an_error_and_nothing_is_written(place, change, missing, moment):
    place.target()
    before = place.tree()
    task = place.task(missing=missing)
    if moment == "before it is opened":
        change(place)
    elif moment == "between two chunks of one block":
        place.before("get", "c/2", lambda: change(place))
    else:
        place.before("head", "zarr.json", lambda: change(place), nth=3)  # pinned, pinned again, then checked
    with pytest.raises(SourceChangedError, match="since the job was submitted") as caught:
        place.execute(task)
    assert not is_transient(caught.value)
    assert place.tree() == before


def test_chunks_that_were_never_stored_are_still_a_choice(place):
    place.target()
    open_store(place.plain.format("a.zarr")).delete("c/1")
    assert place.execute(place.task()) == 32
    assert place.written()[:4].tolist() == [1, 2, 0, 0]


def test_an_older_task_without_a_pin_is_held_to_what_was_opened(place):
    place.target()
    task = place.task(source_etag="")
    place.before("get", "c/2", lambda: place.remove("a.zarr"))
    with pytest.raises(SourceChangedError):
        place.execute(task)


# -- the target


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("there", [False, True], ids=["first writing", "second writing"])
@pytest.mark.parametrize("moment", ["looking", "putting", "replacing"])
def test_a_task_of_the_job_before_changes_nothing(place, fill, there, moment):
    place.target()
    task = place.task()
    if there:
        place.execute(task)  # delivered twice: the chunk is there already
    kept = {}

    def second_job():
        place.overwrite(fill=fill)
        kept.update(place.tree())

    if moment == "looking":
        place.before("get", "c/2", second_job)
    else:
        place.before("put", "c/0", second_job, nth=1 if moment == "putting" else 2)
    if moment == "replacing" and not there:
        assert place.execute(task) == 32  # there is no second put
        return
    assert place.execute(task) is None
    assert place.tree() == kept


def test_a_queued_task_that_begins_after_the_next_job_has_ended_changes_nothing(place):
    place.target()
    task = place.task()
    place.overwrite()
    kept = place.tree()
    assert place.execute(task) is None
    assert place.tree() == kept


def test_a_late_put_in_a_fresh_target_is_replaced_by_its_own_job(place):
    place.target()
    task = place.task()

    def second_job_begins():
        place.unwanted.add("job1")
        place.remove("b.zarr")
        place.target()

    place.before("put", "c/0", second_job_begins)
    place.execute(task)
    other_source(place)
    assert place.execute(place.task(job="job2")) == 32
    assert place.written()[:8].tolist() == (SOURCE[:8] + 100).tolist()


def test_a_task_that_runs_twice_writes_the_same_twice(place):
    place.target()
    task = place.task()
    assert place.execute(task) == place.execute(task) == 32
    assert place.written()[:8].tolist() == SOURCE[:8].tolist()


def test_an_edited_target_is_opened_anew_for_the_next_attempt(place):
    target = place.target()
    task = place.task()
    place.before("get", "c/2", lambda: target.attrs.update(note="edited"))
    with pytest.raises(TargetChangedError) as caught:
        place.execute(task)
    assert is_transient(caught.value)
    assert place.execute(task) == 32
    assert place.written()[:8].tolist() == SOURCE[:8].tolist()


def test_a_block_of_fill_is_stored_only_where_the_target_took_anothers_place(place):
    sz.open_array(place.plain.format("a.zarr"), mode="r+")[:8] = 0
    place.target()
    assert place.execute(place.task()) == 32
    assert "c/0" not in place.tree()
    assert place.execute(place.task(job="job2", write_empty=True)) == 32
    assert place.tree()["c/0"] == bytes(32)


def test_a_chunk_that_others_keep_writing_is_tried_again_later(place):
    target = place.target()
    task = place.task()

    def hook(call):
        if call.operation == "put" and call.key == "c/0":
            target.write_chunk((0,), np.ones(8, "i4"))

    Hooked.hook = staticmethod(hook)
    with pytest.raises(TargetChangedError, match="again and again") as caught:
        place.execute(task)
    assert is_transient(caught.value)


def test_a_normal_task_asks_the_store_for_little(place):
    place.target()
    place.execute(place.task(1))
    calls = []
    Hooked.hook = staticmethod(lambda call: calls.append((call.operation, call.key)))
    place.execute(place.task(0))
    assert [call for call in calls if not call[0].startswith("get")] == [
        ("head", "zarr.json"),  # of the source, after reading
        ("head", "zarr.json"),  # of the target
        ("put", "c/0"),
    ]


def test_a_store_without_conditional_put_is_looked_at_before_each_write(place, tmp_path):
    register_store(
        "plain", lambda url: Unconditional(Hooked(MemoryStore(url.authority, url.path))), replace=True
    )
    other = Place(f"memory://{tmp_path.name}x/{{}}", f"plain://{tmp_path.name}x/{{}}")
    other.target()
    task = other.task()
    assert other.execute(task) == other.execute(task) == 32
    kept = {}

    def second_job():
        other.overwrite()
        kept.update(other.tree())

    other.before("get", "c/2", second_job)
    assert other.execute(task) is None
    assert other.tree() == kept


# -- waiting for others


def test_a_task_that_waits_for_bytes_is_not_in_flight(tmp_path):
    """Its time, and the death of its process meanwhile, are others' doing."""
    reading, gate = threading.Event(), threading.Event()
    Hooked.scheme("hookedlocal", lambda url: LocalStore(f"/{url.path}"))
    place = Place(f"{tmp_path}/{{}}", f"hookedlocal://{tmp_path}/{{}}")
    place.target()
    place.executor = TaskExecutor([place.hooked.format("")], max_bytes=1)  # one task at a time
    held, spans = set(), []

    @contextmanager
    def in_flight(number, chunks):
        assert tuple(chunks) == (number,)
        held.add(number)
        spans.append(number)
        yield
        held.remove(number)

    def hold():
        reading.set()
        assert gate.wait(60)

    place.before("get", "c/0", hold)
    first, second = (
        threading.Thread(target=place.execute, args=(place.task(number), partial(in_flight, number)))
        for number in range(2)
    )
    first.start()
    assert reading.wait(60)
    second.start()
    deadline = time.monotonic() + 60
    while not place.executor._budget._queue:  # it waits
        assert time.monotonic() < deadline
    assert held == {0}
    gate.set()
    first.join(60)
    second.join(60)
    assert (held, sorted(spans)) == (set(), [0] * 4 + [1] * 4)  # opening, reading, computing, writing
    assert place.written()[:16].tolist() == SOURCE[:16].tolist()
