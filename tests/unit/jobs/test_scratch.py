"""Intermediate arrays: made when they are needed, and nothing but them removed."""

import logging

import msgspec
import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import ConfigError, KeyNotFoundError, NodeExistsError, SourceChangedError, StoreError
from streamzarr.jobs import scratch as module
from streamzarr.jobs.execute import TaskExecutor, layout_of
from streamzarr.jobs.pin import etag_of
from streamzarr.jobs.scratch import create_scratch, prepare, remove_scratch, scratch_space
from streamzarr.jobs.wire import Stage, Task, encode
from streamzarr.queue.retry import is_transient
from streamzarr.stores import LocalStore, MemoryStore

JOB = "01M7Y1TCG75RQM4QSKJ7P15XR6"
OTHER = "01M7Y1TCG75RQM4QSKJ7P15XR7"


def chain(folder, space="b.zarr.scratch", job=JOB):
    """The stages of a copy through one intermediate array; nothing but source and target is there."""
    source = sz.create_array(str(folder / "a.zarr"), data=np.arange(16.0).reshape(4, 4), chunks=(1, 4))
    target = sz.create_array(str(folder / "b.zarr"), shape=(4, 4), chunks=(4, 1), dtype="f8")
    between = create_scratch(MemoryStore(), source, (4, 2))
    url = f"file://{folder}/{space}/{job}/0"
    return (
        Stage("copy", source.url, url, layout_of(between), scratch=True, source_etag=etag_of(source)),
        Stage("copy", url, target.url, layout_of(target), missing="error"),
    )


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# ---------------------------------------------------------------- making


def test_it_is_made_when_its_stage_begins_and_kept_when_it_is_there(tmp_path):
    stages = chain(tmp_path)
    prepare(JOB, stages, 0, begun=False)
    array = sz.open_array(stages[0].target, mode="r+")
    assert layout_of(array) == stages[0].layout
    array[...] = 1
    prepare(JOB, stages, 0, begun=False)
    prepare(JOB, stages, 0, begun=True)
    prepare(JOB, stages, 1, begun=False)
    assert array[...].all()


@pytest.mark.parametrize(("number", "begun"), [(0, True), (1, False), (1, True)])
def test_one_that_was_there_and_is_gone_is_not_made_anew(tmp_path, number, begun):
    stages = chain(tmp_path)
    with pytest.raises(SourceChangedError, match=rf"{JOB}/0 is gone, .* submit the job again"):
        prepare(JOB, stages, number, begun=begun)
    assert not (tmp_path / "b.zarr.scratch").exists()


def test_it_is_not_made_of_another_source_than_the_jobs(tmp_path):
    stages = chain(tmp_path)
    sz.create_array(stages[0].source, shape=(4, 4), chunks=(1, 4), dtype="i2", overwrite=True)
    with pytest.raises(SourceChangedError, match=r"a\.zarr has changed since the job was submitted"):
        prepare(JOB, stages, 0, begun=False)
    assert not (tmp_path / "b.zarr.scratch").exists()


def test_something_else_in_its_place_is_left_alone(tmp_path):
    stages = chain(tmp_path)
    sz.create_array(stages[0].target, shape=(4, 4), chunks=(2, 2), dtype="f8")
    before = files(tmp_path)
    with pytest.raises(NodeExistsError, match=rf"{JOB}/0 is something else than the intermediate array"):
        prepare(JOB, stages, 0, begun=False)
    assert files(tmp_path) == before


def test_a_group_in_its_place_is_left_alone(tmp_path):
    stages = chain(tmp_path)
    sz.create_group(stages[0].target)
    with pytest.raises(NodeExistsError, match=rf"{JOB}/0 is something else than the intermediate array"):
        prepare(JOB, stages, 0, begun=False)


def test_of_two_that_make_it_at_the_same_time_both_go_on(tmp_path, monkeypatch):
    stages = chain(tmp_path)

    def later(store, source, chunks):
        create_scratch(store, source, chunks)
        return create_scratch(store, source, chunks)

    monkeypatch.setattr(module, "create_scratch", later)
    prepare(JOB, stages, 0, begun=False)
    assert layout_of(sz.open_array(stages[0].target)) == stages[0].layout


def test_a_job_without_intermediate_arrays_needs_nothing(tmp_path):
    _, last = chain(tmp_path)
    prepare(JOB, [last], 0, begun=True)


@pytest.mark.parametrize("gone", ["the array", "a chunk"])
def test_a_task_that_finds_it_gone_fails_for_good_and_writes_nothing(tmp_path, gone):
    stages = chain(tmp_path)
    if gone == "a chunk":
        prepare(JOB, stages, 0, begun=False)
    before = files(tmp_path)
    says = {"the array": "is gone, .* submit the job again", "a chunk": "chunk .* is missing"}[gone]
    with pytest.raises((SourceChangedError, KeyNotFoundError), match=says) as caught:
        carry_out(stages[1], TaskExecutor([str(tmp_path)]))
    assert f"b.zarr.scratch/{JOB}/0" in str(caught.value)
    assert not is_transient(caught.value)
    assert files(tmp_path) == before


def carry_out(stage, execute):
    """Carry out the first task of a stage; raises what its chunk fails of."""

    def tell(number, outcome):
        if isinstance(outcome, BaseException):
            raise outcome

    execute(Task(1, JOB, 0, (0, 0), msgspec.Raw(encode(stage))), [0], tell)


# ---------------------------------------------------------------- where


def test_a_whole_bucket_has_nothing_beside_it():
    with pytest.raises(ConfigError, match=r"nothing can be beside s3://lab; say with scratch="):
        scratch_space(None, "s3://lab")
    assert scratch_space("s3://lab/tmp/", "s3://lab") == "s3://lab/tmp"


# ---------------------------------------------------------------- removing


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "half removed"])
def test_it_is_removed_with_the_folders_that_were_made_for_it(tmp_path, whole):
    stages = chain(tmp_path)
    before = files(tmp_path)
    prepare(JOB, stages, 0, begun=False)
    sz.open_array(stages[0].target, mode="r+")[...] = 1
    if not whole:
        (tmp_path / f"b.zarr.scratch/{JOB}/0/zarr.json").unlink()
    remove_scratch(JOB, stages)
    assert files(tmp_path) == before
    remove_scratch(JOB, stages)  # again: nothing is there
    assert files(tmp_path) == before


def test_scratch_space_that_was_given_stays_and_so_does_what_it_holds(tmp_path):
    (tmp_path / "tmp").mkdir()
    stages = chain(tmp_path, "tmp")
    prepare(JOB, stages, 0, begun=False)
    remove_scratch(JOB, stages)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_others_have_in_the_scratch_space_stays(tmp_path):
    stages = chain(tmp_path)
    prepare(JOB, stages, 0, begun=False)
    (tmp_path / f"b.zarr.scratch/{OTHER}").mkdir()
    (tmp_path / f"b.zarr.scratch/{JOB}/notes").write_text("mine")
    remove_scratch(JOB, stages)
    assert files(tmp_path / "b.zarr.scratch") == [JOB, f"{JOB}/notes", OTHER]


@pytest.mark.parametrize("url", ["documents/0", f"{OTHER}/0", f"{JOB}/zero", f"{JOB}", "0"])
def test_a_forged_registration_has_nothing_else_made_or_removed(tmp_path, caplog, url):
    _, last = chain(tmp_path)
    (tmp_path / url).mkdir(parents=True, exist_ok=True)
    (tmp_path / url / "file").write_text("precious")
    forged = Stage("copy", last.source, f"file://{tmp_path}/{url}", last.layout, scratch=True)
    before = files(tmp_path)
    job = "documents" if "documents" in url else JOB
    remove_scratch(job, [forged, last])
    with pytest.raises(ConfigError, match="is no place of an intermediate array of job"):
        prepare(job, [forged, last], 0, begun=False)
    assert files(tmp_path) == before
    assert "is no place of an intermediate array of job" in caplog.text


def test_one_that_cannot_be_removed_is_told_and_fails_nothing(tmp_path, caplog, monkeypatch):
    stages = chain(tmp_path)
    prepare(JOB, stages, 0, begun=False)

    def refuse(store, prefix):
        raise StoreError("read-only file system")

    monkeypatch.setattr(LocalStore, "delete_prefix", refuse)
    with caplog.at_level(logging.WARNING):
        remove_scratch(JOB, stages)
    assert f"{stages[0].target} could not be removed" in caplog.text
    assert f"streamzarr job forget {JOB}" in caplog.text
    assert "read-only file system" in caplog.text
